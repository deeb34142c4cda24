"""The embedded default of `holdfast demo`: made-up interactions in SQLite, and ordinary trainings over them.

Covers: making the database, once and whole; the settings under which the ordinary parts train, judge, publish and serve: two
recommenders that know who liked what, one that knows the items, and a hybrid; the same as a file, for other commands. Does not
cover: what was planted (`training.made_up.planted`), training (`training.running.runner`), serving.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from config.checks import HYBRID, PUBLISHED
from config.schema import DataSettings, ModelSettings, Settings, TrainingSettings
from loaders.errors import MissingLibrary
from loaders.published import PublishedFolder
from training.whole_files import whole_file

TRAININGS = (
    TrainingSettings("als", algorithm="als", parameters={"factors": 64}),
    TrainingSettings("content", algorithm="content"),
    TrainingSettings("features", algorithm="features", parameters={"factors": 32, "regularization": 150.0}),
    TrainingSettings(
        HYBRID,
        algorithm=HYBRID,
        parts={"content": "content", "collaborative": "als"},
        # As the search would find it, roughly: searching trains both parts once more, and somebody is waiting.
        parameters={"content_weight": 0.6, "content_weight_warm": 0.1, "warm_interactions": 20},
    ),
)
CONFIGURATION = "demo.toml"
_HEADER = "# What `holdfast demo` serves, for other commands: written at each of its starts. Copy it to change it."
_LIBRARIES = ("implicit", "scipy", "sklearn", "threadpoolctl")


class DemoRefused(Exception):
    """The demo would be in the way of what is configured or published; the message says of what."""


def database_in(folder: Path) -> Path:
    """Where the demo's interactions and items are."""
    return folder / "demo.db"


def check(settings: Settings, folder: Path) -> None:
    """Raise DemoRefused where the demo would meet somebody's trainings, MissingLibrary where it could not train."""
    if settings.training:
        names = ", ".join(f"[training.{name}]" for name in settings.training)
        raise DemoRefused(f"it brings trainings of its own, and this configuration has {names}: start it in another folder")
    if not database_in(folder).exists():
        for training in TRAININGS:
            if PublishedFolder(settings.store.path, training.name).names():
                raise DemoRefused(
                    f"{settings.store.path / training.name} has what another training published: use another store, --set store.path=DIR"
                )
    missing = [library for library in _LIBRARIES if find_spec(library) is None]
    if missing:
        raise MissingLibrary(f'the demo trains its models with {missing[0]}: pip install "holdfast[train]"', libraries=missing)


def make_database(folder: Path, *, on_begin: Callable[[], None] = lambda: None) -> Path:
    """The database under `folder`, made in about a second if it is not there; `on_begin` is called before that.

    Whole or not there at all, also where two processes make it at once. Raises OSError, sqlite3.Error.
    """
    # These load numpy, which a demo that is refused has no use for.
    from training.made_up.interactions import write_database
    from training.made_up.planted import plant

    database = database_in(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder):
        if not database.exists():
            on_begin()
            with whole_file(database) as partial:
                write_database(partial, plant())
    return database


def demo_settings(settings: Settings, database: Path) -> Settings:
    """What the operator asked for, with the demo's data, trainings and models; models of other names stay.

    Without an ingest token one is made up, so that interactions can be posted to it.
    """
    data = DataSettings(url=f"sqlite:///{database.absolute()}", ingest_token=settings.data.ingest_token or secrets.token_urlsafe(12))
    models = {each.name: _served(each.name) for each in TRAININGS}
    chosen = settings.server.default_model
    return replace(
        settings,
        server=replace(settings.server, default_model=chosen if chosen in settings.models else HYBRID),
        data=data,
        training={each.name: each for each in TRAININGS},
        models={**settings.models, **models},
    )


def write_configuration(settings: Settings, database: Path) -> Path:
    """The demo's part of the settings as a file beside the database, with which `holdfast serve` serves the same. Raises OSError.

    No token is in it.
    """
    tables: dict[str, Mapping[str, object]] = {
        "server": {"default_model": HYBRID},
        "store": {"path": str(settings.store.path)},
        "data": {"url": f"sqlite:///{database.absolute()}"},
    }
    for each in TRAININGS:
        given = {"algorithm": each.algorithm, "parts": each.parts, "parameters": each.parameters}
        tables[f"training.{each.name}"] = {key: value for key, value in given.items() if value}
    lines = [_HEADER]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    path = database.with_name(CONFIGURATION)
    with _locked(path.parent), whole_file(path) as partial:
        partial.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogateescape")
    return path


def _toml(value: object) -> str:
    """A text, a number or a table of them: but for the table they are written as in JSON."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def _served(training: str) -> ModelSettings:
    source = f"{PUBLISHED}{training}"
    return ModelSettings(training, source=source, watch=True, fallback=source)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process makes what lies in the folder. The lock dies with its holder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
