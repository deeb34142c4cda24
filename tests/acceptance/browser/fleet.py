"""Models of every kind and in every state, for a page that shows them all.

Covers: their files and where they are fetched from, and small trainings. Does not cover: the server (`tests.acceptance.running.serving`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from tests.acceptance.running import Beside
from tests.artifacts.content import content_dict
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.integration.training.drawing import planted_data, write_sqlite

SLOW, FAST = 64 << 10, 64 << 20
"""Bytes a second of the download: slow enough to be watched, fast enough to be over."""


@dataclass
class Download:
    """An artifact whose way a test makes slower and faster."""

    url: str
    size: int
    files: FileServer
    proxy: FaultProxy

    def at(self, bytes_per_s: float) -> None:
        """From now on at this speed."""
        self.proxy.plan.bytes_per_s = bytes_per_s


def slow_download(beside: Beside, folder: Path, bytes_per_s: float = SLOW) -> Download:
    """An ALS model of some 700 KB."""
    content = write(als_dict("str", users=4000, items=200), folder / "slow", "pickle4").read_bytes()
    files = beside.enter(FileServer({"/als.pkl": Served(content)}))
    proxy = beside.enter(FaultProxy(files.address, Plan(bytes_per_s=bytes_per_s)))
    return Download(f"{proxy.url}/als.pkl", len(content), files, proxy)


def als(folder: Path) -> str:
    return str(write(als_dict("int"), folder / "als.pkl", "pickle4"))


def content(folder: Path) -> str:
    """A recommender that knows items but no users."""
    return str(write(content_dict(), folder / "content.pkl", "pickle4"))


def iris(folder: Path) -> str:
    """A classifier with named features."""
    table = load_iris(as_frame=True)
    path = folder / "iris.joblib"
    joblib.dump(RandomForestClassifier(20, random_state=0).fit(table.data, table.target), path)
    return str(path)


def sign_in_page(folder: Path, name: str = "login.html") -> str:
    """What is often served in the place of a model."""
    path = folder / name
    path.write_text("<!DOCTYPE html><title>Sign in</title>")
    return str(path)


QUICK: Mapping[str, Any] = {"factors": 16, "regularization": 30.0, "sweeps": 3}
"""Parameters of an `als` that takes a second."""
LONG: Mapping[str, Any] = {"factors": 512, "regularization": 30.0, "sweeps": 1000}
"""Those of one that outlasts every test, with a sweep every moment."""


def trainings(folder: Path, *, models: Mapping[str, Mapping[str, Any]] | None = None, **trainings: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a holdfast.toml with these trainings, over planted data in SQLite; an `als` unless they say otherwise."""
    write_sqlite(folder / "data.db", planted_data())
    sections: dict[str, Any] = {"data": {"url": f"sqlite:///{folder / 'data.db'}"}, "models": dict(models or {})}
    for name, training in trainings.items():
        plain = {key: value for key, value in training.items() if not isinstance(value, Mapping)}
        sections[f"training.{name}"] = {"algorithm": "als", "memory": "1GiB", **plain}
        parameters = {} if "algorithm" in training else {"parameters": QUICK}
        tables = {key: value for key, value in training.items() if isinstance(value, Mapping)}
        sections |= {f"training.{name}.{key}": table for key, table in {**parameters, **tables}.items()}
    return sections


def config(models: Mapping[str, Mapping[str, Any]], **server: Any) -> dict[str, Any]:
    """Sections of a holdfast.toml."""
    return {**({"server": server} if server else {}), "models": dict(models)}
