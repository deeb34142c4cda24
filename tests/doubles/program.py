"""What makes a double a program: one JSON line out, then serving until stdin ends or a signal comes.

Does not cover: the arguments of each (its own `main`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Double(Protocol):
    """Something that runs and can say where."""

    def describe(self) -> Mapping[str, Any]:
        """JSON-ready: addresses and `env`."""
        ...


async def serve(double: AbstractAsyncContextManager[Double]) -> None:
    """Run the double; print what it says of itself; return when nobody needs it any more."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, over.set)
    is_piped = not os.isatty(0)

    def on_input() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            over.set()

    async with double as running:
        if is_piped:
            try:
                loop.add_reader(0, on_input)
            except PermissionError:  # /dev/null and files: only a signal ends it
                is_piped = False
        print(json.dumps(running.describe()), flush=True)
        await over.wait()
        if is_piped:
            loop.remove_reader(0)
    sys.stdout.flush()
