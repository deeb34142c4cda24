"""`holdfast demo`: make interactions, train two small models on them on the first run, and serve these through the real path."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.commands.configuration import add_config_arguments, settings_of
from service.commands.serve import run_server


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("demo", help="train two small models on made-up data and serve them", description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("--folder", type=Path, help="where the demo's data and models lie (default: demo in the store)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare and serve; 1 if the preparation failed."""
    from loaders.errors import LoadError
    from training.demo import DemoFailed, prepare
    from training.progress import ConsoleProgress

    settings = settings_of(arguments)
    folder = arguments.folder or settings.store.path / "demo"
    try:
        with ConsoleProgress() as progress:
            demo = prepare(folder, on_progress=progress)
    except (LoadError, DemoFailed, OSError) as error:
        print(f"holdfast: the demo could not be made: {error}", file=sys.stderr)
        return 1
    models = {model.name: model for model in demo.settings()}
    server = replace(settings.server, default_model=settings.server.default_model if settings.server.default_model in models else "als")
    return run_server(replace(settings, server=server, models={**settings.models, **models}), _say_what_to_try)


def _say_what_to_try(url: str) -> None:
    question = """'{"user_id": 1, "k": 5}'"""
    print(f"Serving on {url}. Try:", file=sys.stderr)
    print(f"  curl {url}/models", file=sys.stderr)
    print(f"  curl -d {question} {url}/models/als/predict", file=sys.stderr, flush=True)
