"""A loading child that is let run in small steps, so that a test meets it in the phase it wants, on any machine.

Covers: SIGSTOP and SIGCONT from outside, as any operator could send. Does not cover: what is then done to it.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil

from tests.acceptance.running import LOADS_WITHIN_S, Server
from tests.support import wait_until_sync

_BEGUN_BYTES = 3 << 20
"""A child that has read less, of its own program, is nowhere near its first phase's work: it need not be slowed down."""


def loading_child(server: Server) -> psutil.Process | None:
    """The one child that loads a model, None while there is none. Raises AssertionError for several."""
    found = [child for child in server.children() if _is_loading(child)]
    assert len(found) <= 1, found
    return found[0] if found else None


def _is_loading(child: psutil.Process) -> bool:
    try:
        return "loaders.child" in child.cmdline()
    except psutil.NoSuchProcess:
        return False


def stopped_in(server: Server, name: str, phase: str, also: Callable[[psutil.Process], bool] = lambda child: True) -> psutil.Process:
    """The child that loads model `name`, stopped in `phase` with `also` true of it. Raises AssertionError if it went past it.

    Between two steps the child stands still, so what the server shows then is where the child is.
    """
    child: psutil.Process = wait_until_sync(lambda: loading_child(server), LOADS_WITHIN_S, what=f"a child loads {name}")
    wait_until_sync(lambda: child.io_counters().read_chars > _BEGUN_BYTES, LOADS_WITHIN_S, what="the child has begun")
    while True:
        child.suspend()
        status = server.model(name)
        assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE, f"{name} went past {phase}: {status['story'][-3:]}"
        if status["phase"] == phase and also(child):
            return child
        child.resume()
