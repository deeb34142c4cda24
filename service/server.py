"""One serving process, from the first byte it listens for to its exit.

Covers: signals, the order of starting and stopping, server.json, telling systemd. Does not cover: what is served
(`service.app`), the sockets (`service.listening`, `service.connections`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from config.schema import Settings
from service.app import build_app
from service.connections import Connections
from service.keys import STOPPING
from service.listening import Listener, listen
from service.notify import Notifier
from service.presence import Presence, announce, withdraw

INTERRUPTED = 130
"""Exit code of a stop that was not waited for: 128 and the number of SIGINT, as shells have it."""
_CLEANUP_S = 0.5
"""For handlers that are cancelled after the drain."""
_log = logging.getLogger("holdfast.server")


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """The log of aiohttp's own server, in which what a client did wrong is one line and not an error with a traceback."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        if isinstance(exc_info, HttpProcessingError | web.RequestPayloadError):
            _log.info("bad request", extra={"action": "request", "cause": " ".join(str(exc_info).split())})
        else:
            super().exception(msg, *args, exc_info=exc_info, **kwargs)


async def serve(settings: Settings, *, environ: Mapping[str, str] = os.environ, on_listening: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain for at most `drain` seconds and return.

    SIGINT during the drain ends the process at once; another SIGTERM, which some supervisors send for good measure, changes
    nothing. `on_listening` is told the URL. Raises OSError when the address or the store cannot be had.
    """
    notifier = Notifier(environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _ask_to_stop, stop, number)
    app = build_app(settings, environ=environ)
    app.on_response_prepare.append(_last_answer)
    runner = web.AppRunner(app, handle_signals=False, handler_cancellation=True, access_log=None, shutdown_timeout=_CLEANUP_S)
    http_log = HttpLog(logging.getLogger("aiohttp.server"), {})
    listener: Listener | None = None
    looking: asyncio.Task[None] | None = None
    try:
        await runner.setup()
        connections = Connections(cast(web.Server, runner.server), settings.server, http_log)
        listener = await listen(connections, settings.server.host, settings.server.port)
        looking = asyncio.create_task(connections.look_after(), name="connections")
        announce(settings.store.path, Presence(os.getpid(), listener.url, time.time()))
        _log.info("listening", extra={"action": "start", "url": listener.url, "models": len(settings.models), "pid": os.getpid()})
        notifier.send(READY=1)
        if on_listening is not None:
            on_listening(listener.url)
        await stop.wait()
    finally:
        notifier.send(STOPPING=1)
        withdraw(settings.store.path)
        if listener is not None:
            await runner.shutdown()  # not ready any more; nobody waits for a model, streams of events end
            await listener.aclose()
            await _drain(connections, settings.server.drain_s)
        if looking is not None:
            looking.cancel()
        await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    _log.info("stopped", extra={"action": "stop", "pid": os.getpid()})


async def _last_answer(request: web.Request, response: web.StreamResponse) -> None:
    """A stopping server tells every client that the connection ends with this answer (RFC 9112, 9.6)."""
    if request.app[STOPPING].is_set():
        response.force_close()
        response.headers["Connection"] = "close"


async def _drain(connections: Connections, drain_s: float) -> None:
    left = await connections.drain(drain_s)
    if left:
        _log.warning("requests were still running at the end of the drain", extra={"action": "stop", "requests": left})


def _ask_to_stop(stop: asyncio.Event, number: signal.Signals) -> None:
    if not stop.is_set():
        _log.info("stopping", extra={"action": "stop", "signal": number.name})
        stop.set()
    elif number == signal.SIGINT:
        _log.warning("interrupted again: not waiting for anybody", extra={"action": "stop"})
        os._exit(INTERRUPTED)
