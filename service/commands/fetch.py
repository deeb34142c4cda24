"""`holdfast fetch`: fetch and convert every configured model into the store, and exit (to bake models into an image)."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from service.commands.configuration import add_config_arguments, expected_errors, settings_of
from service.commands.progress import ModelProgress

if TYPE_CHECKING:
    from config.schema import Settings
    from service.lifecycle.registry import Registry
    from service.lifecycle.view import ModelView

SHOW_INTERVAL_S = 0.2


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("fetch", help="bring every configured model into the store and exit", description=__doc__)
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch; 0 when every model is in the store and current, 1 when one failed or none is configured."""
    from service.logs import set_up_logging

    settings = settings_of(arguments)
    # What goes well is on stdout; a defect's traceback belongs into the log.
    set_up_logging(settings.server.log_format, level=logging.WARNING)
    if not settings.models:
        print("holdfast: no model is configured: there is nothing to fetch", file=sys.stderr)
        return 1
    try:
        views = asyncio.run(fetch_all(settings, ModelProgress(sys.stdout)))
    except expected_errors() as error:
        print(f"holdfast: cannot fetch: {error}", file=sys.stderr)
        return 1
    failed = [view for view in views if view.entry.failure is not None or view.entry.live is None]
    for view in failed:
        failure = view.entry.failure
        print(f"holdfast: {view.settings.name}: {f'{failure.type}: {failure.message}' if failure else 'did not load'}", file=sys.stderr)
    return 1 if failed else 0


async def fetch_all(settings: Settings, progress: ModelProgress) -> tuple[ModelView, ...]:
    """One attempt for each model, through the same path as a server's; how they ended. Raises OSError for a store that cannot be used."""
    from service.app import build_loading, build_runner
    from service.background import running

    supervisor, loader, runner = build_loading(settings, build_runner(settings))
    async with running(supervisor, loader, runner):
        registry = supervisor.registry
        for name in settings.models:
            registry.load(name)
        while not await _all_settled(registry, settings):
            progress.show(registry.snapshot(), time.time())
        views = registry.snapshot()
        progress.show(views, time.time())
        progress.end()
        return views


async def _all_settled(registry: Registry, settings: Settings) -> bool:
    await asyncio.gather(*(registry.wait_settled(name, SHOW_INTERVAL_S) for name in settings.models))
    return all(view.entry.attempt is None for view in registry.snapshot())
