"""`holdfast serve`: load the configured models and answer requests until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from service.commands.configuration import add_config_arguments, expected_errors, settings_of

if TYPE_CHECKING:
    from config.schema import Settings


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("serve", help="load the configured models and answer requests", description=__doc__)
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 after a stop by signal, 1 if the server could not start, 2 for a wrong configuration."""
    settings = settings_of(arguments)
    return run_server(settings)


def run_server(settings: Settings, on_listening: Callable[[str], None] | None = None) -> int:
    """Serve these settings until a signal; the exit code."""
    from service.logs import set_up_logging
    from service.server import serve

    set_up_logging(settings.server.log_format)
    # What is imported stays: without this, each full collection would look at all of it, and hold the event loop for that long.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(serve(settings, on_listening=on_listening))
    except expected_errors() as error:
        logging.getLogger("holdfast.server").debug("could not start", exc_info=error)
        print(f"holdfast: cannot serve: {error}", file=sys.stderr)
        return 1
    return 0
