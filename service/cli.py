"""The `holdfast` command: its words, and which file does what each of them says.

Covers: parsing, and what must be settled before any heavy import. Does not cover: the words themselves (`service.commands`).
Exit codes: 0 done, 1 failed, 2 wrong usage, configuration or platform, 3 no server runs on the store
or the gate refused what was trained, 75 another process trains it already, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from service.version import program_version

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; every word sets `run`, a function of the parsed arguments that returns the exit code."""
    from service.commands import check, demo, export, fetch, operate, predict, schedule, serve, status, train, versions, watch

    parser = argparse.ArgumentParser(
        prog="holdfast",
        description="A model server that holds fast while models download, load, fail and change.",
    )
    parser.add_argument("--version", action="version", version=f"holdfast {program_version()}")
    words = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (serve, demo, fetch, check, status, watch, predict, operate, train, versions, export, schedule):
        command.add_parser(words)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. argparse leaves by SystemExit(2) on wrong usage, SystemExit(0) after --help and --version."""
    # Before numpy is imported anywhere: every further BLAS thread costs 40 MB, and requests run side by side already.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = build_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8, and a terminal need not know every sign
    if sys.platform != "linux":
        print(f"holdfast: needs Linux (memfd, rlimits), not {sys.platform}: run it in a container.", file=sys.stderr)
        return EXIT_USAGE
    try:
        code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain that it cannot flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
