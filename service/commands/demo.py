"""`holdfast demo`: made-up interactions in SQLite, and everything that Holdfast does with such data: train, judge, publish, serve.

On the first run four models are trained on them while the server answers already; later runs serve what was published.
Their configuration lies beside the data, demo.toml, for the other words when the demo has ended.
"""

from __future__ import annotations

import argparse
import shlex
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.commands.configuration import EXIT_CONFIGURATION, add_config_arguments, settings_of
from service.commands.serve import run_server
from service.commands.server import EXIT_FAILED

if TYPE_CHECKING:
    from config.schema import Settings

SOMEBODY_NEW = 9001
"""A user whom the demo's data do not know."""


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("demo", help="train, judge, publish and serve four models of made-up data", description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("--folder", type=Path, help="where the demo's data lie (default: demo in the store)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the data and serve; 1 if that could not be, 2 for a wrong configuration or one that has trainings of its own."""
    from loaders.errors import LoadError
    from training.demo import DemoRefused, check, demo_settings, make_database, write_configuration

    settings = settings_of(arguments)
    folder = arguments.folder or settings.store.path / "demo"
    try:
        check(settings, folder)
        database = make_database(folder, on_begin=lambda: _say("Making 60,000 interactions of 2,000 users with 1,000 items"))
        configuration = write_configuration(settings, database)
    except DemoRefused as error:
        _say(f"holdfast: the demo does not start: {error}")
        return EXIT_CONFIGURATION
    except (LoadError, OSError, sqlite3.Error) as error:
        _say(f"holdfast: the demo could not be made: {error}")
        return EXIT_FAILED
    settings = demo_settings(settings, database)
    what_stays = _what_stays(configuration)
    code = run_server(settings, _what_to_try(settings))
    if code == 0:
        _say(what_stays)
    return code


def _program() -> str:
    return sys.argv[0] if "/" in sys.argv[0] else "holdfast"


def _what_stays(configuration: Path) -> str:
    here = Path.cwd()
    shown = configuration.relative_to(here) if configuration.is_relative_to(here) else configuration
    config = f"--config {shlex.quote(str(shown))}"
    lines = [f"{_program()} {word} {config}" for word in ("versions als", "serve")]
    return "\n  ".join(["What the demo made stays, and its configuration. Look at it, or serve it:", *lines])


def _what_to_try(settings: Settings) -> Callable[[str], None]:
    has_token = bool(settings.server.admin_token)
    bearer = "$ADMIN_LOAD_TOKEN" if has_token else settings.data.ingest_token
    program = _program()
    liked = ", ".join(f'{{"user_id": {SOMEBODY_NEW}, "item_id": {item}}}' for item in (5, 25, 45))

    def say(url: str) -> None:
        lines = [
            f"Serving on {url}; the page there shows the models being trained. Try, in another terminal:",
            f"""  curl -H 'Prefer: wait=60' -d '{{"user_id": 1, "k": 5}}' {url}/models/hybrid/predict""",
            "Somebody new does something, and is answered from it:",
            f"""  curl -H "Authorization: Bearer {bearer}" -d '{{"interactions": [{liked}]}}' {url}/interactions""",
            f"""  curl -d '{{"user_id": {SOMEBODY_NEW}, "k": 5, "fields": ["title"]}}' {url}/models/hybrid/predict""",
            f"  {program} versions als",
            "Train on the new data, and go back to the version before:",
            f"  {program} train als",
            f"  {program} rollback als",
        ]
        if not has_token:
            lines.append(f"Those two need a token, here and there: export ADMIN_LOAD_TOKEN=choose-one, and start again with {program} demo")
        _say("\n".join(lines))

    return say


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
