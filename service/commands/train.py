"""`holdfast train [NAME|--all]`: new versions from new data, through the running server or, without one, on the store.

Covers: who carries the runs out, showing them, interrupting them, exit codes. Does not cover: what a run is
(`training.running.runner`), its lines (`service.commands.run_progress`).
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from service.client import Holdfast, HoldfastError, ModelUnknown, RequestRefused
from service.client.errors import slug_of
from service.client.wire import query, segment
from service.commands.configuration import EXIT_CONFIGURATION, expected_errors, settings_of
from service.commands.run_progress import RunProgress, ending_lines
from service.commands.server import EXIT_FAILED, add_server_arguments, client_of, find_server, tell, token_of

if TYPE_CHECKING:
    from config.schema import Settings
    from training.running.runner import Runner
    from training.running.runs import Run

EXIT_REFUSED = 3
EXIT_BUSY = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""
LOOK_S = 0.3
_DESCRIPTION = """\
Train, and publish what passes the gate. A running server is asked to, and what serves goes on meanwhile; without one, or with --local,
this process does it on the store, beside a server that may run: it picks the new version up by itself."""
_EPILOG = """\
Exit codes: 0 published, or nothing new in the data; 1 it failed or was cancelled; 2 wrong usage or configuration; 3 refused by the
gate, what served goes on; 75 another run of it waits or runs already; 130 interrupted, which cancels the run."""


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("train", help="train new versions from new data", description=_DESCRIPTION, epilog=_EPILOG)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("name", metavar="NAME", nargs="?", help="the training, or a model that one stands behind")
    which.add_argument("--all", action="store_true", help="every training, parts before what is made of them")
    parser.add_argument("--force", action="store_true", help="publish whatever the gate says, and train even from unchanged data")
    parser.add_argument("--local", action="store_true", help="train in this process, also where a server runs")
    add_server_arguments(parser, is_admin=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train; the exit code is that of the epilog. Leaves by SystemExit(2) for a wrong configuration."""
    if arguments.local:
        return _in_this_process(settings_of(arguments), arguments)
    found = find_server(arguments)
    if found.url is None and found.settings is not None:
        return _in_this_process(found.settings, arguments)
    with client_of(found, token=token_of(arguments, found.settings)) as client:
        return _through(client, arguments)


def exit_code(runs: Sequence[Mapping[str, Any]], *, is_busy: bool = False) -> int:
    """What came of several runs as a whole: the worst of it. `is_busy`: some were not begun, because they run already."""
    ended = {run["status"] for run in runs}
    if ended - {"published", "skipped", "refused"}:
        return EXIT_FAILED
    return EXIT_BUSY if is_busy else EXIT_REFUSED if "refused" in ended else 0


def who() -> str:
    """Who asks: the name of the user, where there is one, and of the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def _print(runs: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    if not arguments.json:
        print("\n".join(line for each in runs for line in ending_lines(each)))
    else:
        print(json.dumps({"runs": runs} if arguments.all else runs[0], indent=2))


def _busy(message: str) -> int:
    print(f"holdfast: {message}", file=sys.stderr)
    return EXIT_BUSY


# -- through a server -------------------------------------------------------------------------------------------------


def _through(client: Holdfast, arguments: argparse.Namespace) -> int:
    asked = query({"by": who(), **({"force": "true"} if arguments.force else {})})
    path = "/api/ml/train-all" if arguments.all else f"/models/{segment(arguments.name)}/train"
    try:
        began = client.ask("POST", f"{path}{asked}", is_admin=True)
        runs = began["runs"] if arguments.all else [began["run"]]
        ended = _followed(client, runs)
    except RequestRefused as error:
        tell(error, client.url)
        if slug_of(error.problem) == "training-runs":
            return EXIT_BUSY
        return EXIT_CONFIGURATION if isinstance(error, ModelUnknown) or slug_of(error.problem) == "not-trained-here" else EXIT_FAILED
    except HoldfastError as error:
        tell(error, client.url)
        return EXIT_FAILED
    _print(ended, arguments)
    return exit_code(ended)


def _followed(client: Holdfast, runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The runs when all are over; where somebody interrupts, they are cancelled. Raises HoldfastError."""
    progress = RunProgress(sys.stderr)
    ended: list[Mapping[str, Any]] = []
    try:
        for run in runs:
            told = client.ask("GET", f"/training/runs/{segment(run['id'])}")
            while told["ended_at"] is None:
                progress.show(told)
                time.sleep(LOOK_S)
                told = client.ask("GET", f"/training/runs/{segment(run['id'])}")
            ended.append(told)
    except KeyboardInterrupt:
        progress.end()
        for run in runs[len(ended) :]:
            _cancel(client, run["id"])
        raise
    finally:
        progress.end()
    return ended


def _cancel(client: Holdfast, run_id: str) -> None:
    try:
        client.ask("POST", f"/training/runs/{segment(run_id)}/cancel{query({'by': who()})}", is_admin=True)
    except HoldfastError as error:
        tell(error, client.url)  # it ended in this moment, or the server did
    else:
        print(f"holdfast: run {run_id} is cancelled", file=sys.stderr)


# -- in this process --------------------------------------------------------------------------------------------------


def _in_this_process(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.app import build_runner
    from service.logs import set_up_logging
    from training.running.arrangement import training_behind

    set_up_logging(settings.server.log_format, level=logging.ERROR)  # how a run ended is printed
    training = None if arguments.all else training_behind(settings, arguments.name)
    if training is None and not (arguments.all and settings.training):
        configured = ", ".join(settings.training) or "none"
        print(f"holdfast: no [training.{arguments.name or 'NAME'}] is configured (there are: {configured})", file=sys.stderr)
        return EXIT_CONFIGURATION
    try:
        return asyncio.run(_train(build_runner(settings), training, arguments))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    except expected_errors() as error:
        print(f"holdfast: cannot train: {error}", file=sys.stderr)
        return EXIT_FAILED


async def _train(runner: Runner, training: str | None, arguments: argparse.Namespace) -> int:
    from training.running.refused import AlreadyRunning
    from training.running.runs import RunCause

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _stop, asyncio.current_task())
    asked: dict[str, Any] = {"cause": RunCause.COMMAND, "requested_by": who(), "force": arguments.force}
    await runner.open()
    try:
        busy: list[AlreadyRunning] = []
        if training is None:
            runs, busy = await runner.start_all(**asked)
        else:
            runs = [await runner.start(training, **asked)]
        for error in busy:
            _busy(str(error))
        ended = [run.to_json() for run in await _watched(runner, runs)]
    except AlreadyRunning as error:
        return _busy(str(error))
    finally:
        await runner.aclose()
    if ended:
        _print(ended, arguments)
    return exit_code(ended, is_busy=bool(busy))


async def _watched(runner: Runner, runs: Sequence[Run]) -> list[Run]:
    """The runs when all are over."""
    progress = RunProgress(sys.stderr)
    ended = []
    try:
        for run in runs:
            told = await runner.wait(run.id, 0)
            while not told.status.is_over:
                progress.show(told.to_json())
                told = await runner.wait(run.id, LOOK_S)
            ended.append(told)
    except asyncio.CancelledError:
        progress.end()
        for run in runs[len(ended) :]:
            await runner.cancel(run.id, by=who())
            print(f"holdfast: run {run.id} is cancelled", file=sys.stderr)
        raise
    finally:
        progress.end()
    return ended


def _stop(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
