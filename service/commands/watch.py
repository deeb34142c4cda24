"""`holdfast watch`: the progress of every model and training run as it happens, as bars on a terminal and as lines elsewhere.

Covers: what is shown of the server's events, and when to stop. Does not cover: the events and their connection (`service.client`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from service.client import Event, HoldfastError, ModelStatus, Snapshot, TrainingRun, Transition
from service.client.events import KINDS
from service.commands.progress import ModelProgress, printable
from service.commands.run_progress import RunChanges
from service.commands.server import EXIT_FAILED, add_server_arguments, client_of, find_server, seconds_in, tell

if TYPE_CHECKING:
    from service.client import AsyncHoldfast

_DESCRIPTION = """\
Show the progress of every model of a running server, and of its training runs as they come along, until interrupted or until all
models are ready."""
_EPILOG = """\
Exit codes: 0 every required model is ready (--until-ready); 1 one of them failed for good, --deadline passed, or the server is gone;
2 wrong usage or configuration; 3 no server runs on the store; 130 interrupted."""


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("watch", help="show live progress of every model and training run", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--until-ready",
        action="store_true",
        help="end as soon as every required model is ready, or one failed for good; runs are not waited for",
    )
    parser.add_argument("--deadline", metavar="SECONDS", type=seconds_in, help="end after so long (default: never)")
    add_server_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Watch; the exit code is that of the epilog. Leaves by SystemExit: 2 for a wrong configuration, 3 without a server."""
    with client_of(find_server(arguments)) as client:
        try:
            return asyncio.run(_watch(client.twin(), arguments))
        except HoldfastError as error:
            tell(error, client.url)
            return EXIT_FAILED


async def _watch(client: AsyncHoldfast, arguments: argparse.Namespace) -> int:
    """Show the server's events until there is a verdict. Raises HoldfastError."""
    board = _board(arguments)
    models: dict[str, ModelStatus] = {}
    try:
        async with client, asyncio.timeout(arguments.deadline), aclosing(client.events()) as events:
            async for event in events:
                board.show(event, changed_by(event, models))
                if arguments.until_ready and (verdict := verdict_on(models)) is not None:
                    break
    except TimeoutError:
        waiting = ", ".join(name for name, model in models.items() if not model.is_ready)
        verdict = f"--deadline passed; not ready: {waiting or 'nothing was heard of the server'}"
    finally:
        board.end()
    if verdict:
        print(printable(f"holdfast: {verdict}"), file=sys.stderr)
    return EXIT_FAILED if verdict else 0


def changed_by(event: Event, models: dict[str, ModelStatus]) -> list[ModelStatus]:
    """The models that an event is about, as they are after it; `models`, by name, is brought up to date."""
    if isinstance(event, Snapshot):
        models.clear()
        models.update({model.name: model for model in event.models})
        return list(event.models)
    if isinstance(event, Transition):
        models[event.model] = event.status
    elif isinstance(event, TrainingRun):
        return []  # what it publishes is told of the model, too
    elif event.model in models:
        told = msgspec.structs.asdict(event)
        models[event.model] = msgspec.structs.replace(models[event.model], **{name: told[name] for name in told if name != "model"})
    return [models[event.model]] if event.model in models else []


def verdict_on(models: Mapping[str, ModelStatus]) -> str | None:
    """ "" when every required model is ready, else why that will not come by itself; None while it may."""
    if not models:
        return "no model is configured"
    required = [model for model in models.values() if model.required]
    hopeless = [model.name for model in required if model.is_hopeless]
    if hopeless:
        return f"will not be ready: {', '.join(hopeless)}"
    return "" if all(model.is_ready for model in required) else None


class Board(Protocol):
    """Where events are shown."""

    def show(self, event: Event, changed: Sequence[ModelStatus]) -> None: ...

    def end(self) -> None: ...


class _Lines:
    """Prints a line where a model or a run changed."""

    def __init__(self) -> None:
        self._models = ModelProgress(sys.stdout)
        self._runs = RunChanges(sys.stdout)

    def show(self, event: Event, changed: Sequence[ModelStatus]) -> None:
        self._models.show_models(msgspec.to_builtins(changed))
        if isinstance(event, TrainingRun):
            self._runs.show(msgspec.to_builtins(event))

    def end(self) -> None:
        self._models.end()


class _Bars:
    """Draws a bar for each model, and for each training that ran."""

    def __init__(self) -> None:
        from service.commands.bars import Bars

        self._bars = Bars()

    def show(self, event: Event, changed: Sequence[ModelStatus]) -> None:
        self._bars.show_models(msgspec.to_builtins(changed))
        if isinstance(event, TrainingRun):
            self._bars.show_run(msgspec.to_builtins(event))
        elif isinstance(event, Snapshot):
            self._bars.forget_runs()

    def end(self) -> None:
        self._bars.end()


class _Events:
    """Prints every event as a line of JSON, with its kind as `event_type`."""

    def show(self, event: Event, changed: Sequence[ModelStatus]) -> None:
        told = msgspec.to_builtins(event)
        if isinstance(event, TrainingRun):
            del told["log"]  # which no event has
        print(json.dumps({"event_type": KINDS[type(event)], **told}), flush=True)

    def end(self) -> None:
        """Every line was whole."""


def _board(arguments: argparse.Namespace) -> Board:
    if arguments.json:
        return _Events()
    return _Bars() if sys.stdout.isatty() else _Lines()
