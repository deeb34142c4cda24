"""Small data sets of every kind, and a trainer's way from one to what serves, as a run takes it but without a process.

Covers: data by name, fitting with the parts that a hybrid wants, writing and opening the bundle file. Does not cover: what must
hold of it (`tests.contracts.test_trainers`), reading data (`tests.contracts.test_datasets`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from loaders.bundle_file import open_published_scorer, write_bundle_file
from loaders.published import MODEL_FILE, RECORD_FILE, PublishedVersion
from models.hybrid.blending import DEFAULT_PARTS
from models.hybrid.score import HybridScorer
from training.dataset.base import Dataset, Features, Fingerprint, Interactions, Items
from training.trainers import open_trainer
from training.trainers.base import Ask, OnProgress, Trained
from training.trainers.bundles import Cells
from training.trainers.parameters import check

PARTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "content": ("content", {}),
    "collaborative": ("als", {"factors": 8, "regularization": 10.0, "sweeps": 3}),
}
"""Role -> algorithm and parameters of the parts that a hybrid is tried with."""
VERSION = "20261121T101500-3fa9c1"
MEMORY_BYTES = 2 << 30
# tqdm, inside implicit, makes a semaphore shared between processes at its first bar and keeps it: a plain lock leaves nothing.
tqdm.set_lock(threading.RLock())
_GROUPS = ("lake", "temple", "market")


def data(
    cells: Sequence[tuple[int, int]],
    users: int,
    items: int,
    *,
    user_id: Callable[[int], Any] = lambda row: row + 1,
    item_id: Callable[[int], Any] = lambda row: row + 1,
    weights: Sequence[float] | None = None,
    has_times: bool = True,
) -> Dataset:
    """Interactions between rows, with texts, categories and features of everything."""
    rows, columns = np.array(cells, np.int32).reshape(-1, 2).T
    interactions = Interactions(
        np.ascontiguousarray(rows),
        np.ascontiguousarray(columns),
        np.ones(len(cells), np.float32) if weights is None else np.array(weights, np.float32),
        np.linspace(1.7e9, 1.8e9, len(cells)) if has_times else None,
    )
    groups = [_GROUPS[row % len(_GROUPS)] for row in range(items)]
    texts = [f"{group} number{row}, a {group} of the {'sun' if row % 2 else 'moon'}" for row, group in enumerate(groups)]
    return Dataset(
        [user_id(row) for row in range(users)],
        [item_id(row) for row in range(items)],
        interactions,
        Fingerprint(len(cells), None, "made up"),
        Items(texts, [(group,) for group in groups], {"title": texts, "price": list(range(items))}),
        _marks(users, 2),
        _marks(items, 3),
    )


def _marks(rows: int, marks: int) -> Features:
    return Features(
        [f"mark={at}" for at in range(marks)],
        np.arange(rows + 1, dtype=np.int64),
        np.arange(rows, dtype=np.int32) % marks,
        np.ones(rows, np.float32),
    )


def grouped(users: int = 24, items: int = 18, seed: int = 0) -> list[tuple[int, int]]:
    """Each user has most items of one group and some of the others."""
    rng = np.random.default_rng(seed)
    groups = len(_GROUPS)
    return [(u, i) for u in range(users) for i in range(items) if rng.random() < (0.6 if u % groups == i % groups else 0.12)]


def _every(users: int, items: int) -> list[tuple[int, int]]:
    return [(user, item) for user in range(users) for item in range(items)]


def _weights(count: int) -> list[float]:
    return list(np.random.default_rng(1).choice([0.5, 1.0, 3.0, 250.0], count))


KINDS: Mapping[str, Callable[[], Dataset]] = {
    "int-ids-and-times": lambda: data(grouped(), 24, 18),
    "str-ids-without-times": lambda: data(
        grouped(), 24, 18, user_id=lambda row: f"user-{row}", item_id=lambda row: f"ding ü {row}", has_times=False
    ),
    "ids-of-both-kinds": lambda: data(grouped(), 24, 18, item_id=lambda row: row if row % 2 else str(row)),
    "weights": lambda: data(grouped(), 24, 18, weights=_weights(len(grouped()))),
    "pairs-that-repeat": lambda: data(grouped() + grouped()[::2], 24, 18),
    "one-item": lambda: data(_every(5, 1), 5, 1),
    "one-user": lambda: data(_every(1, 6), 1, 6),
    "one-pair": lambda: data([(0, 0)], 1, 1),
    "cold-users-and-items": lambda: data(grouped(), 30, 25),
    "everybody-has-everything": lambda: data(_every(6, 5), 6, 5),
    "everybody-has-one": lambda: data([(user, user % 3) for user in range(9)], 9, 3),
}
"""Everything that a trainer must make something of that answers."""

EMPTY = data([], 0, 0)


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted trainer. scorer: opened from its file (a hybrid: bound to its parts). progress: what it told."""

    trained: Trained
    scorer: Any
    progress: list[tuple[str, int, int]] = field(default_factory=list)


def ask_for(algorithm: str, dataset: Dataset, folder: Path, *, held: Sequence[tuple[int, int]] = (), **given: Any) -> Ask:
    """What a run would give; `held` are interactions that users have besides, and that must not be learned from."""
    everything = dataset.interactions
    if held:
        users, items = np.array(held, np.int32).T
        everything = Interactions(
            np.concatenate((everything.users, users)),
            np.concatenate((everything.items, items)),
            np.concatenate((everything.weights, np.ones(len(held), np.float32))),
        )
    ask = Ask(
        dataset,
        Cells.of(everything, len(dataset.user_ids), len(dataset.item_ids)),
        check(algorithm, given),
        seed=0,
        memory_bytes=MEMORY_BYTES,
        threads=2,
    )
    if algorithm != "hybrid":
        return ask
    learned_from = dataset if len(dataset.interactions) else KINDS["one-pair"]()
    parts = {role: publish(name, learned_from, folder, held, parameters) for role, (name, parameters) in PARTS.items()}
    return replace(ask, parts=parts, part_models=DEFAULT_PARTS)


def publish(algorithm: str, dataset: Dataset, store: Path, held: Sequence[tuple[int, int]], given: Mapping[str, Any]) -> Path:
    """The folder of a version, as a run leaves it."""
    folder = store / algorithm / VERSION
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    trained = fit(algorithm, ask_for(algorithm, dataset, store, held=held, **given))
    size, digest = write_bundle_file(folder / MODEL_FILE, trained.bundle)
    record = PublishedVersion(
        version=VERSION,
        training=algorithm,
        algorithm=algorithm,
        family=trained.bundle.family,
        trained_at=1.7e9,
        published_at=1.7e9,
        bytes=size,
        sha256=digest,
        code_version="0",
        seconds=1.0,
        peak_bytes=None,
        split="random",
        cut_at=None,
        parameters=trained.parameters,
    )
    (folder / RECORD_FILE).write_text(json.dumps(asdict(record)))
    return folder


def fit(algorithm: str, ask: Ask, on_progress: OnProgress = lambda step, done, total: None) -> Trained:
    """What the trainer of this name gives."""
    return open_trainer(algorithm).fit(ask, on_progress)


def learn(algorithm: str, dataset: Dataset, folder: Path, *, held: Sequence[tuple[int, int]] = (), **given: Any) -> Learned:
    """Fit, write, open."""
    ask = ask_for(algorithm, dataset, folder, held=held, **given)
    progress: list[tuple[str, int, int]] = []
    trained = fit(algorithm, ask, lambda *told: progress.append(told))
    path = folder / f"{algorithm}.safetensors"
    write_bundle_file(path, trained.bundle)
    scorer: Any = open_published_scorer(path)
    if isinstance(scorer, HybridScorer):
        parts: dict[str, Any] = {role: open_published_scorer(version / MODEL_FILE) for role, version in ask.parts.items()}
        scorer = scorer.bind(parts, dict.fromkeys(parts, VERSION))
    return Learned(trained, scorer, progress)
