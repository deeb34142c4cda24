"""`holdfast schedule install|remove|show`: what [training.NAME] schedules say, kept by the cron of this host.

Covers: the lines, one a training with a schedule. Does not cover: the crontab itself (`service.crontab`), the schedules that a server
keeps (`service.training`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.commands.configuration import EXIT_CONFIGURATION, add_config_arguments, settings_of
from service.commands.progress import printable

if TYPE_CHECKING:
    from config.schema import Settings
    from service.crontab import Block

EXIT_FAILED = 1
LOG = "schedule.log"
"""In the store: what scheduled runs print."""
_DESCRIPTION = """\
Keep the schedules of [training.NAME] by cron: one block in the crontab of this user, with a line a training; everything else in it stays
as it is. A server that runs keeps them itself and needs none of this. Both at once do no harm: a training that runs already is not
begun again, and unchanged data are not trained on again."""
_EPILOG = """\
Lines run `holdfast train NAME --local` on the store, in the time zone of cron, without jitter; what they print goes to schedule.log in the
store. Cron knows the configuration file and a .env beside it, and no other environment. Exit codes: 0 done; 1 not, the reason is on
stderr; 2 wrong usage or configuration."""


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("schedule", help="keep the schedules of trainings by cron", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "action",
        choices=tuple(_ACTIONS),
        help="install: put the lines into the crontab, in place of earlier ones; remove: take them out; show: both",
    )
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; the exit code is that of the epilog. Leaves by SystemExit(2) for a wrong configuration."""
    return _ACTIONS[arguments.action](arguments)


def _install(arguments: argparse.Namespace) -> int:
    from service import crontab

    settings, config = settings_of(arguments), _config_of(arguments)
    try:
        lines = lines_of(settings, config)
        if not lines:
            return _failed("no [training.NAME] has a schedule: there is nothing to install")
        settings.store.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # the log lies there, and cron opens it first
        before = crontab.read()
        after = _block(config).put(before, lines)
        if after != before:
            crontab.write(after)
    except (crontab.CrontabError, OSError) as error:
        return _failed(str(error))
    print("installed already:" if after == before else "installed:")
    _print(lines)
    _warn(settings)
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    # Not by the settings: what was installed can be removed when they are wrong, too.
    from service import crontab

    try:
        before = crontab.read()
        after = _block(_config_of(arguments)).without(before)
        if after != before:
            crontab.write(after)
    except crontab.CrontabError as error:
        return _failed(str(error))
    print("nothing was installed" if after == before else "removed")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from service import crontab

    settings, config = settings_of(arguments), _config_of(arguments)
    try:
        wanted = lines_of(settings, config)
        installed = _block(config).lines_in(crontab.read())
    except crontab.CrontabError as error:
        return _failed(str(error))
    if installed is None:
        print("nothing is installed")
    else:
        print("installed:")
        _print(installed)
    if not wanted:
        print("no [training.NAME] has a schedule")
    elif wanted != installed:
        print("would be installed:")
        _print(wanted)
    _warn(settings)
    return 0


_ACTIONS = {"install": _install, "remove": _remove, "show": _show}


def lines_of(settings: Settings, config: Path) -> list[str]:
    """A line of a crontab for each training with a schedule. Raises CrontabError for a schedule, or a path, that cron does not know."""
    from service.crontab import CrontabError, command_line, times_of

    lines = []
    for name, training in settings.training.items():
        if not training.schedule:
            continue
        times = times_of(training.schedule)
        if times is None:
            raise CrontabError(f"cron does not know what training.{name}.schedule says, {training.schedule!r}: leave it to a server")
        words = [sys.executable, "-I", "-m", "service.cli", "train", name, "--local", "--config", str(config)]
        lines.append(f"{times} {command_line(words, log=str(settings.store.path.absolute() / LOG))}")
    return lines


def _config_of(arguments: argparse.Namespace) -> Path:
    """The file that the settings are from. Leaves by SystemExit(2) where there is none: cron has no environment that could say more."""
    from config.load import file_of

    path = file_of(Path(arguments.config) if arguments.config else None, os.environ, Path.cwd())
    if path is None:
        print("holdfast: no configuration file: cron has no other settings; name one with --config", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION)
    return path.absolute()


def _block(config: Path) -> Block:
    from service.crontab import Block

    return Block(str(config))


def _warn(settings: Settings) -> None:
    from config.layers import COMMAND_LINE, ENVIRONMENT
    from service.presence import find

    elsewhere = sorted(key for key, origin in settings.origins.items() if origin.startswith((ENVIRONMENT, COMMAND_LINE)))
    if elsewhere:
        _say(f"cron does not know what stands in no file: put {', '.join(elsewhere)} into the configuration file or the .env beside it")
    presence = find(settings.store.path)
    if presence is not None and any(training.schedule for training in settings.training.values()):
        _say(f"the server at {presence.url} keeps the schedules of this store itself")


def _print(lines: list[str]) -> None:
    print("\n".join(f"  {printable(line)}" for line in lines))


def _say(words: str) -> None:
    print(printable(f"holdfast: {words}"), file=sys.stderr)


def _failed(why: str) -> int:
    _say(why)
    return EXIT_FAILED
