"""Small data sets whose structure is known, as types of `training.dataset` and as a SQLite file. Deterministic."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.dataset.base import Dataset, Fingerprint, Interactions, Items
from training.made_up.planted import Planted, plant


def planted_data(*, users: int = 300, items: int = 200, share: float = 1.0, seed: int = 7) -> Dataset:
    """Groups of users who like groups of items, the earliest `share` of it. User ids "u0"..., item ids 0..."""
    planted = plant(users=users, items=items, likes_per_user=20, seed=seed)
    n = int(len(planted.users) * share)
    return dataset_of(planted, slice(0, n))


def dataset_of(planted: Planted, part: slice) -> Dataset:
    interactions = Interactions(
        planted.users[part].astype(np.int32),
        planted.items[part].astype(np.int32),
        planted.weights[part].astype(np.float32),
        planted.timestamps[part].astype(np.float64),
    )
    users, items = len(planted.user_groups), len(planted.titles)
    columns = {"title": list(planted.titles)}
    told = Items(planted.titles, [(category,) for category in planted.categories], columns)
    return Dataset([f"u{row}" for row in range(users)], list(range(items)), interactions, Fingerprint(len(interactions), None, ""), told)


def shuffled(dataset: Dataset, seed: int = 0) -> Dataset:
    """Every interaction has somebody else's item: as many of each item and of each user, and nothing to learn."""
    interactions = dataset.interactions
    items = np.random.default_rng(seed).permutation(interactions.items)
    return replace(dataset, interactions=replace(interactions, items=items))


def without_times(dataset: Dataset) -> Dataset:
    return replace(dataset, interactions=replace(dataset.interactions, times=None))


def write_sqlite(path: Path, dataset: Dataset) -> None:
    """The tables `interactions` and `items` of a new database, or of one whose tables are replaced."""
    interactions = dataset.interactions
    times = [None] * len(interactions) if interactions.times is None else interactions.times.tolist()
    rows = zip(interactions.users.tolist(), interactions.items.tolist(), interactions.weights.tolist(), times, strict=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript("DROP TABLE IF EXISTS interactions; DROP TABLE IF EXISTS items;")
        database.execute("CREATE TABLE interactions (user_id TEXT, item_id INTEGER, weight REAL, ts REAL)")
        database.execute("CREATE TABLE items (item_id INTEGER PRIMARY KEY, title TEXT, category TEXT)")
        database.executemany(
            "INSERT INTO interactions VALUES (?, ?, ?, ?)",
            ((dataset.user_ids[user], dataset.item_ids[item], weight, at) for user, item, weight, at in rows),
        )
        if dataset.items is not None:
            told = zip(dataset.item_ids, dataset.items.columns["title"], dataset.items.categories, strict=True)
            database.executemany("INSERT INTO items VALUES (?, ?, ?)", ((id, title, categories[0]) for id, title, categories in told))
