"""The leave-one-out protocol of He et al. (Neural collaborative filtering, WWW 2017): one item of each user among 99 others.

Covers: folders in its format, a made-up one of the size of ml-1m, HR@10 and NDCG@10. Does not cover: training (`bench.quality`).

A folder has `train.rating` and `test.rating`, of lines `user <tab> item <tab> rating <tab> time`, and `test.negative`, of lines
`(user,item) <tab> item <tab> item ...`; the names may have a prefix ("ml-1m.train.rating"). What is rated counts 1, whatever
the rating. As in the original evaluation a negative that is the user's own positive, or there twice, is dropped, and an item
with the positive's score ranks before it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset.base import Dataset, Fingerprint, Interactions, Items

TOP = 10
NEGATIVES = 99
_TEXT_SEPARATOR = " "


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """train: a data set whose rows are ids of all files, ascending. tests: (row of a user, the positive's row, negatives' rows)."""

    name: str
    train: Dataset
    tests: list[tuple[int, int, NDArray[np.int64]]]


def read_folder(folder: Path) -> LeaveOneOut:
    """The data of a folder, with what items.csv tells of the items where there is one. Raises OSError, ValueError."""
    train = _numbers(_only(folder, "train.rating"))
    positives = _numbers(_only(folder, "test.rating"))
    negatives = _sampled(_only(folder, "test.negative"))
    users = np.unique(np.concatenate((train[:, 0], positives[:, 0])))
    items = np.unique(np.concatenate((train[:, 1], positives[:, 1], *negatives.values())))
    tests = []
    for user, item in positives.tolist():
        if (user, item) not in negatives:
            raise ValueError(f"test.negative has no line ({user},{item})")
        others = np.unique(negatives[user, item])
        tests.append((_row(users, user), _row(items, item), np.searchsorted(items, others[others != item])))
    name = _only(folder, "train.rating").name.removesuffix("train.rating").strip(".") or folder.name
    rows = (np.searchsorted(users, train[:, 0]), np.searchsorted(items, train[:, 1]))
    return LeaveOneOut(name, _dataset(users, items, *rows, _items_of(folder / "items.csv", items)), tests)


def _sampled(path: Path) -> dict[tuple[int, int], NDArray[np.int64]]:
    """The negatives of each pair of user and positive."""
    found = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            pair, *sampled = line.split("\t")
            if not line.strip():
                continue
            try:
                user, item = map(int, pair.strip("()").split(","))
                found[user, item] = np.array([int(each) for each in sampled if each.strip()], np.int64)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {line[:40]!r} is not (user,item) and items between tabs") from error
    return found


def _only(folder: Path, ending: str) -> Path:
    found = sorted(path for path in folder.iterdir() if path.name == ending or _has_prefix(path.name, ending))
    if len(found) != 1:
        raise ValueError(f"{folder} has {len(found)} files *{ending}, not one")
    return found[0]


def _has_prefix(name: str, ending: str) -> bool:
    return name.endswith((f".{ending}", f"-{ending}", f"_{ending}")) and not name.startswith(".")


def _numbers(path: Path) -> NDArray[np.int64]:
    """(lines, 2) the users and items of a file of ratings."""
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    try:
        found: NDArray[np.int64] = np.loadtxt(path, np.int64, usecols=(0, 1), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def _row(ids: NDArray[np.int64], id: int) -> int:
    return int(np.searchsorted(ids, id))


def _dataset(users: Any, items: Any, user_rows: Any, item_rows: Any, told: Items | None = None) -> Dataset:
    """Without times: the last item of each user is held out already, and no other time tells one interaction from the next."""
    interactions = Interactions(user_rows.astype(np.int32), item_rows.astype(np.int32), np.ones(len(user_rows), np.float32))
    return Dataset(users.tolist(), items.tolist(), interactions, Fingerprint(len(user_rows), None, ""), told)


def _items_of(path: Path, items: NDArray[np.int64]) -> Items | None:
    """Column item_id, categories (category, categories or genres; several separated by |) and text (every other column)."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        told = {int(line["item_id"]): line for line in csv.DictReader(file)}
    category_names = ("category", "categories", "genres")
    texts, categories = [], []
    for item in items.tolist():
        line = told.get(item, {})
        texts.append(_TEXT_SEPARATOR.join(value for name, value in line.items() if name not in ("item_id", *category_names) and value))
        categories.append(tuple(word for name in category_names for word in (line.get(name) or "").split("|") if word))
    return Items(texts, categories)


def made_up(users: int = 6_040, items: int = 3_706, mean_items: int = 165, seed: int = 0) -> LeaveOneOut:
    """A set with a long tail of items and of users, of some hundred thousand to a million interactions; the same for a seed.

    A user likes an item with a probability in proportion to its popularity times exp(x.y), x and y normal of 24 factors, the first
    ones the widest; drawn without repetition. One of the user's items is left out, and 99 of the others drawn, at random.
    """
    rng = np.random.default_rng(seed)
    factors = 24
    width = 1.0 * (1.0 + np.arange(factors)) ** -0.5
    tastes = (rng.normal(size=(users, factors)) * width).astype(np.float32)
    kinds = rng.normal(size=(items, factors)).astype(np.float32)
    popularity = np.log((30.0 + rng.permutation(items)) ** -1.1)
    lengths = np.clip(np.exp(rng.normal(np.log(mean_items) - 0.4, 0.9, users)).astype(int), 20, items // 2)
    found, tests = [], []
    for user in range(users):
        order = np.argsort(-(kinds @ tastes[user] + popularity + rng.gumbel(size=items)))
        mine = rng.permutation(order[: lengths[user]])
        found.append(np.sort(mine[1:]))
        tests.append(
            (user, int(mine[0]), np.sort(rng.choice(order[lengths[user] :], min(NEGATIVES, items - lengths[user]), replace=False)))
        )
    user_rows = np.repeat(np.arange(users), lengths - 1)
    return LeaveOneOut("made-up", _dataset(np.arange(users), np.arange(items), user_rows, np.concatenate(found)), tests)


def evaluate(data: LeaveOneOut, scores: Callable[[int, NDArray[np.int64]], NDArray[Any]]) -> tuple[float, float]:
    """HR@10 and NDCG@10. scores(user row, item rows): (items,) not finite where an item has none, which ranks last."""
    hits = gains = 0.0
    for user, positive, negatives in data.tests:
        found = scores(user, np.append(negatives, positive)).astype(np.float64)
        found[~np.isfinite(found)] = -np.inf
        rank = int((found[:-1] >= found[-1]).sum())
        if rank < TOP:
            hits += 1.0
            gains += 1.0 / np.log2(rank + 2.0)
    return hits / len(data.tests), gains / len(data.tests)
