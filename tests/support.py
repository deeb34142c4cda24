"""What several test modules need: waiting for a condition, a free port, running Python on its own.

Does not cover: leaks (`tests.leaks`), the environment (`tests.conftest`).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

POLL_S = 0.01


class ConditionNotMet(AssertionError):
    """A condition that a test waited for did not come true before its deadline."""


def wait_until_sync(condition: Callable[[], Any], deadline_s: float = 10.0, *, what: str = "") -> Any:
    """Call `condition` until it gives something true and return that. Raises ConditionNotMet after `deadline_s` seconds."""
    ends_at = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        if time.monotonic() >= ends_at:
            raise ConditionNotMet(f"not within {deadline_s} s: {what or condition}; last value {value!r}")
        time.sleep(POLL_S)


async def wait_until(condition: Callable[[], Any | Awaitable[Any]], deadline_s: float = 10.0, *, what: str = "") -> Any:
    """Like `wait_until_sync`, while the event loop runs on; `condition` may be a coroutine function."""
    ends_at = time.monotonic() + deadline_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() >= ends_at:
            raise ConditionNotMet(f"not within {deadline_s} s: {what or condition}; last value {value!r}")
        await asyncio.sleep(POLL_S)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on just now; prefer port 0 where the program tells which one it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def python_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a Python that a test starts: this one's, without what coverage or pytest put there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    return {**kept, **(extra or {})}


def run_python(
    code: str, *args: str, flags: tuple[str, ...] = (), python: str = sys.executable, deadline_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter from the checkout; the caller judges `returncode`. Raises subprocess.TimeoutExpired."""
    return subprocess.run(
        [python, *flags, "-c", code, *args],
        cwd=ROOT,
        env=python_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )
