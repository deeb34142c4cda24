"""What every word of the command line has in common: the configuration, or every problem with it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.schema import Settings

EXIT_CONFIGURATION = 2


def expected_errors() -> tuple[type[Exception], ...]:
    """What the world can do to a command: told in one line, without a traceback."""
    from loaders.cache import StoreInUse
    from loaders.errors import LoadError
    from training.running.refused import TrainingUnavailable

    return (OSError, LoadError, StoreInUse, TrainingUnavailable)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """--config, --set and the flags of single settings, each with its environment variable in the help."""
    from config.reference import add_serve_arguments

    add_serve_arguments(parser)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings; with problems, prints one a line with its file, variable or flag, and leaves by SystemExit(2)."""
    from config.errors import ConfigError
    from config.load import load_settings
    from config.reference import overrides_of
    from loaders.sources import check_source
    from models import FAMILIES
    from training.running.schedule import check_schedule
    from training.trainers import TRAINERS
    from training.trainers.parameters import problems as check_parameters

    config_file = Path(arguments.config) if arguments.config else None
    try:
        return load_settings(
            overrides_of(arguments),
            config_file=config_file,
            environ=os.environ,
            cwd=Path.cwd(),
            check_source=check_source,
            families=FAMILIES,
            algorithms=TRAINERS,
            check_schedule=check_schedule,
            check_parameters=check_parameters,
        )
    except ConfigError as error:
        for problem in error.problems:
            print(f"holdfast: {problem}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from error
