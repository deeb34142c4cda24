"""What the data were, in one digest: equal for equal content, in whatever order and from whatever kind of database it came.

Covers: hashing interactions, items and features by their ids. Does not cover: what a run does with it (`training.running.steps`).

Every row gets a 64-bit hash of its ids and values, and the hashes are added up modulo 2^64: a sum does not know an order. Ids are
hashed by BLAKE2b (RFC 7693), numbers are mixed in by the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable
pseudorandom number generators, OOPSLA 2014). Python's own hash() differs from process to process. It guards against accidents,
not against someone who looks for two contents of one digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset.base import Features, Fingerprint, Id, Interactions, Items
from training.dataset.columns import holds_categories

Hashes = NDArray[np.uint64]
_AT_ONCE = 1 << 17
"""Interactions hashed in one step: bounds its private memory to some 10 MiB."""
_EPOCH = "1"
"""Of the way of hashing: with another one, every digest differs and every training runs once more."""


def fingerprint(
    user_ids: Sequence[Id],
    item_ids: Sequence[Id],
    interactions: Interactions,
    items: Items | None,
    user_features: Features | None,
    item_features: Features | None,
) -> Fingerprint:
    """The fingerprint of a data set. Deterministic across processes and machines."""
    users, catalogue = _hashes(user_ids), _hashes(item_ids)
    parts: list[list[int] | None] = [
        [len(interactions), _sum_of_interactions(interactions, users, catalogue)],
        None if items is None else _sum_of_items(items, catalogue),
        None if user_features is None else _sum_of_features(user_features, users),
        None if item_features is None else _sum_of_features(item_features, catalogue),
    ]
    latest = None if interactions.times is None or not len(interactions) else float(interactions.times.max())
    digest = blake2b(json.dumps([_EPOCH, *parts]).encode(), digest_size=16).hexdigest()
    return Fingerprint(len(interactions), latest, digest)


def _sum_of_interactions(interactions: Interactions, users: Hashes, items: Hashes) -> int:
    total = 0
    for start in range(0, len(interactions), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        columns = [users[interactions.users[some]], items[interactions.items[some]], _bits(interactions.weights[some])]
        if interactions.times is not None:
            columns.append(_bits(interactions.times[some]))
        total += _sum(_mixed(*columns))
    return total % (1 << 64)


def _sum_of_items(items: Items, hashes: Hashes) -> list[int]:
    # How a database writes several categories (a list, a text) is not content.
    columns = sorted((name, values) for name, values in items.columns.items() if not holds_categories(name))
    told = [
        _canonical([sorted(categories), [(name, values[row]) for name, values in columns if values[row] is not None]])
        for row, categories in enumerate(items.categories)
    ]
    return [len(told), _sum(_mixed(hashes, _hashes(told)))]


def _sum_of_features(features: Features, hashes: Hashes) -> list[int]:
    rows = np.repeat(hashes, np.diff(features.indptr))
    names = _hashes(features.names)
    return [len(features.values), _sum(_mixed(rows, names[features.indices], _bits(features.values)))]


def _hashes(ids: Iterable[Id]) -> Hashes:
    """(n,) of ids or texts; 1 and "1" differ."""
    encoded = (f"{'i' if isinstance(id, int) else 's'}{id}".encode("utf-8", "surrogatepass") for id in ids)
    return np.fromiter((int.from_bytes(blake2b(text, digest_size=8).digest(), "little") for text in encoded), np.uint64)


def _mixed(*columns: Hashes) -> Hashes:
    """(n,) one hash of each row of several columns, their order counted."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        mixed ^= column
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _bits(values: NDArray[Any]) -> Hashes:
    """Numbers as they lie in memory, -0 as 0."""
    bits: Hashes = (values + values.dtype.type(0)).view(f"u{values.itemsize}").astype(np.uint64)
    return bits


def _sum(hashes: Hashes) -> int:
    return int(hashes.sum(dtype=np.uint64))


def _canonical(value: Any) -> str:
    """As JSON; numbers that are equal are written alike, switches too (SQLite has none)."""
    return json.dumps(_plain(value), ensure_ascii=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bytes):
        return blake2b(value, digest_size=16).hexdigest()
    return int(value) if isinstance(value, bool) else value
