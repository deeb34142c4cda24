"""A registry that is whatever a test says, behind the real application.

Covers: what handlers read and command. Does not cover: how a model comes into a state (`service.lifecycle`'s own tests).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.schema import ModelSettings, ServerSettings, Settings, StoreSettings
from models.base import Id, InvalidQuery, Predictions, Query, Ranking, UnknownEntity
from models.estimator import Signature
from models.forms import ItemForm, RowForm
from models.turn import Turn
from service.lifecycle.changes import Subscription
from service.lifecycle.errors import NoEarlierVersion, UnknownModel, UnknownVersion
from service.lifecycle.lease import Held, Lease
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Live, Phase
from service.lifecycle.versions import KeptVersion, KeptVersions
from service.lifecycle.view import ModelView, NotReady

NOW = 1_700_000_000.0
VERSION = "20261121T101500-3fa9c1"
LIVE = Live(version=VERSION, revision="etag:1", since=NOW)


def live(name: str = "als", **changes: Any) -> Entry:
    return replace(Entry(name, live=LIVE), **changes)


def loading(name: str = "als", phase: Phase = Phase.DOWNLOADING, **changes: Any) -> Entry:
    attempt = Attempt(id=1, phase=phase, cause=Cause.START, started_at=NOW, bytes_done=25, bytes_total=100, progress=0.25)
    return Entry(name, attempt=replace(attempt, **changes), attempts_begun=1)


def failed(name: str = "als", *, type: str = "source_unavailable", next_attempt_at: float | None = None, **changes: Any) -> Entry:
    failure = Failure(type, f"{type} it is", retryable=next_attempt_at is not None, attempts=2, at=NOW, next_attempt_at=next_attempt_at)
    return replace(Entry(name, failure=failure), **changes)


class FakeItems:
    """The ids 101, 102, ... and "1,2"; their columns `title` and `kinds`."""

    def __init__(self, count: int = 20) -> None:
        self.count = count

    def row(self, id: Id) -> int | None:
        if id == "1,2":
            return self.count - 1
        return id - 101 if isinstance(id, int) and 101 <= id < 101 + self.count else None

    def ids(self, rows: NDArray[np.int64]) -> list[Id]:
        return [101 + int(row) for row in rows]

    def values(self, fields: Sequence[str], rows: NDArray[np.int64]) -> dict[str, list[Any]]:
        return {name: [f"{name} of {id}" for id in self.ids(rows)] for name in fields}

    def in_categories(self, categories: Sequence[str]) -> NDArray[np.bool_]:
        return np.ones(self.count, np.bool_)


@dataclass
class FakeScorer:
    """Knows users 1..9 and "one"; answers items 101, 102, ... with falling scores, after `before` ran."""

    family: str = "factors"
    kind: str = "recommender"
    details: Mapping[str, Any] = field(default_factory=dict)
    price: int = 1
    before: Callable[[], object] = lambda: None
    items: FakeItems = field(default_factory=FakeItems)
    notes: Mapping[str, Any] = field(default_factory=dict)
    most: int = 20
    """Items of an answer."""
    asked: list[Query] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    def cost(self, query: Query) -> int:
        return self.price

    def form(self) -> ItemForm:
        return ItemForm(users="mixed", items="int", has_categories=True, joins_liked=self.family == "hybrid", some_user=1, some_item=101)

    def knows_user(self, user: Id) -> bool:
        return user in (*range(1, 10), "one")

    def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
        self.asked.append(query)
        self.threads.append(threading.current_thread().name)
        self.before()
        if query.similar_to is not None and self.items.row(query.similar_to) is None:
            raise UnknownEntity("item_id", f"no item {query.similar_to!r}")
        return [self._one(at, user, query) for at, user in enumerate(query.users or [None])]

    def _one(self, at: int, user: Id | None, query: Query) -> Ranking | UnknownEntity:
        if user is not None and not self.knows_user(user):
            return UnknownEntity(f"users[{at}]", f"no user {user!r}")
        rows = np.arange(min(query.k, self.most))
        items = self.items.ids(rows)
        because = [[(id, 0.5), (103, 0.25)] for id in items] if query.explain else None
        columns = self.items.values(query.fields, rows)
        return Ranking(user, items, [1.0 / (101 + int(row)) for row in rows], columns, because, self.notes)


@dataclass
class FakeEstimator:
    """Predicts the sum of a row of two numbers, after `before` ran; has probabilities where it has classes."""

    family: str = "linear"
    kind: str = "estimator"
    details: Mapping[str, Any] = field(default_factory=dict)
    price: int = 1
    before: Callable[[], object] = lambda: None
    classes: list[Any] | None = None
    asked: list[int] = field(default_factory=list)
    """The rows of each call."""
    threads: list[str] = field(default_factory=list)

    def cost_of(self, instances: Sequence[Any]) -> int:
        return self.price

    def form(self) -> RowForm:
        classes = None if self.classes is None else tuple(self.classes)
        return RowForm(Signature(2, ("width", "height"), classes=classes), has_probabilities=classes is not None)

    def predict(self, instances: Sequence[Any]) -> Predictions:
        self.asked.append(len(instances))
        self.threads.append(threading.current_thread().name)
        self.before()
        for at, row in enumerate(instances):
            if len(row) != 2:
                raise InvalidQuery(f"instances[{at}]", f"has {len(row)} values, the model takes 2")
            if None in row:
                raise InvalidQuery(f"instances[{at}][{row.index(None)}]", "is missing")
        sums = [first + second for first, second in instances]
        return Predictions(sums, None if self.classes is None else [[0.25, 0.75] for _ in sums], self.classes)


class FakeHosted:
    """A model in another process that does what `answer` does."""

    family, kind = "hosted", "hosted"
    details: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, answer: Callable[[Sequence[Any], float], Awaitable[Predictions]]) -> None:
        self._answer = answer

    async def answer(self, instances: Sequence[Any], deadline_s: float, turn: Turn | None = None) -> Predictions:
        return await self._answer(instances, deadline_s)

    def form(self) -> RowForm:
        return RowForm(Signature(0))


@dataclass
class FakeLoaded:
    """A version without a mapping."""

    scorer: Any
    version: str = VERSION
    revision: str = "etag:1"
    family: str = "factors"
    artifact_bytes: int = 1000
    segment_bytes: int = 500
    loaded_at: float = NOW
    load: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    def on_death(self, tell: Callable[[str, str], None]) -> None:
        """Never dies."""

    async def close(self) -> None:
        """Nothing is mapped."""


class FakeRegistry:
    """The registry and its supervisor in one. `after[command]` says what a command makes of the entry."""

    def __init__(self, *entries: Entry, scorer: Any = None, **settings: Any) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self.settings = {name: ModelSettings(name=name, source=f"{name}.pkl", **settings) for name in self.entries}
        self.scorer = scorer or FakeScorer()
        self.after: dict[str, Callable[[Entry], Entry]] = {}
        self.commands: list[tuple[Any, ...]] = []
        self.held = Held("als", FakeLoaded(self.scorer))
        self.changed = asyncio.Condition()
        self.is_running = False
        self.failing: Exception | None = None
        self.rolled_back: list[str] = []
        """Models that have a version to go back to."""

    @property
    def leases(self) -> int:
        """How many are open."""
        return self.held.leases

    @property
    def registry(self) -> FakeRegistry:
        return self

    async def start(self) -> None:
        self.is_running = True

    async def aclose(self) -> None:
        assert not self.leases, "leases are still held: arrays would be unmapped under a thread that reads them"
        self.is_running = False

    async def put(self, entry: Entry) -> None:
        async with self.changed:
            self.entries[entry.name] = entry
            self.changed.notify_all()

    def view(self, name: str) -> ModelView:
        if self.failing is not None:
            raise self.failing
        if name not in self.entries:
            raise UnknownModel(name)
        facts = self.held.facts if self.entries[name].live is not None else None
        return ModelView(settings=self.settings[name], entry=self.entries[name], loaded=facts)

    def snapshot(self) -> tuple[ModelView, ...]:
        return tuple(self.view(name) for name in self.entries)

    async def versions(self, name: str) -> KeptVersions:
        loaded = self.view(name).loaded
        return KeptVersions(name) if loaded is None else KeptVersions(name, loaded.version, versions=(KeptVersion(loaded),))

    def acquire(self, name: str, *, demand: bool = True) -> Lease:
        view = self.view(name)
        if view.entry.live is None:
            raise NotReady(view)
        return self.held.lease()

    def subscribe(self) -> Subscription:
        return Subscription(self.view, lambda subscription: None)

    async def wait_ready(self, name: str, timeout_s: float) -> bool:
        return await self._wait(lambda: self.entries[name].live is not None, timeout_s)

    async def wait_settled(self, name: str, timeout_s: float) -> ModelView:
        await self._wait(lambda: self.entries[name].attempt is None, timeout_s)
        return self.view(name)

    async def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s), self.changed:
                return bool(await self.changed.wait_for(condition))
        except TimeoutError:
            return condition()

    def load(self, name: str) -> None:
        self._command("load", name)

    def unload(self, name: str) -> None:
        self._command("unload", name)

    def reload(self, name: str, force: bool = False) -> None:
        self._command("reload", name, force)

    def source_changed(self, name: str) -> None:
        self._command("source_changed", name)

    async def rollback(self, name: str, to: str | None = None, *, by: str = "") -> None:
        self._check_version(name, to)
        self._command("rollback", name, *(() if to is None else (to,)))

    async def activate(self, name: str, version: str, *, by: str = "") -> None:
        self._check_version(name, version)
        self._command("activate", name, version)

    async def unpin(self, name: str, *, by: str = "") -> None:
        self._check_version(name, None)
        self._command("unpin", name)

    def _check_version(self, name: str, version: str | None) -> None:
        self.view(name)
        if name not in self.rolled_back:
            raise NoEarlierVersion(name)
        if version not in (None, VERSION):
            raise UnknownVersion(name, str(version))

    def reload_all(self, force: bool = True) -> None:
        self.commands.append(("reload_all", force))
        for name in self.entries:
            self._apply("reload", name)

    async def clear(self, name: str | None = None) -> int:
        if name is None:
            self.commands.append(("clear", None))
        else:
            self._command("clear", name)
        return 4096

    def _command(self, word: str, name: str, *arguments: Any) -> None:
        self.view(name)
        self.commands.append((word, name, *arguments))
        self._apply(word, name)

    def _apply(self, word: str, name: str) -> None:
        if word in self.after:
            self.entries[name] = self.after[word](self.entries[name])


def settings_for(registry: FakeRegistry, store: Path, *, token: str = "", **server: Any) -> Settings:
    chosen = {"port": 0, "drain_s": 5.0, "admin_token": token, **server}
    return Settings(server=ServerSettings(**chosen), store=StoreSettings(path=store), models=dict(registry.settings))
