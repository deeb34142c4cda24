"""One serving process, from the first byte it listens for to its exit.

Covers: listening, signals, draining, server.json, telling systemd. Does not cover: what is served (`service.app`).
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
from service.notify import Notifier
from service.presence import Presence, announce, withdraw

BACKLOG = 1024
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a wildcard address is reached from this machine
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

    `on_listening` is told the URL. Raises OSError when the address or the store cannot be had.
    """
    notifier = Notifier(environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _ask_to_stop, stop, signal.Signals(number).name)
    app = build_app(settings, environ=environ)
    http_log = HttpLog(logging.getLogger("aiohttp.server"), {})
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        access_log=None,
        logger=http_log,
        shutdown_timeout=settings.server.drain_s,
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.server.host, settings.server.port, backlog=BACKLOG).start()
        url = url_of(runner)
        announce(settings.store.path, Presence(os.getpid(), url, time.time()))
        _log.info("listening", extra={"action": "start", "url": url, "models": len(settings.models), "pid": os.getpid()})
        notifier.send(READY=1)
        if on_listening is not None:
            on_listening(url)
        await stop.wait()
    finally:
        notifier.send(STOPPING=1)
        withdraw(settings.store.path)
        await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    _log.info("stopped", extra={"action": "stop", "pid": os.getpid()})


def _ask_to_stop(stop: asyncio.Event, name: str) -> None:
    if not stop.is_set():
        _log.info("stopping", extra={"action": "stop", "signal": name})
    stop.set()


def url_of(runner: web.AppRunner) -> str:
    """Where a client on this machine reaches the first site of `runner`."""
    host, port = cast("tuple[str, int]", runner.addresses[0][:2])
    host = LOOPBACK_OF.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
