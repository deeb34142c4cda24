"""Bundles and scorers built in memory, and a naive ranking to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.factors.derived import Factors, derive
from models.factors.score import FactorScorer, open_scorer
from models.ids import IdTable, pack_ids
from models.packing import NO_OPTIONS, Options, pack

from .reading import records_of


def packed(artifact: Any, options: Options = NO_OPTIONS) -> Bundle:
    """The bundle of an object (or of a file), by way of its pickle, in memory of its own."""
    with TemporaryDirectory() as folder, records_of(artifact, Path(folder)) as root:
        bundle, _ = pack(root, options=options)
        return Bundle(bundle.family, {name: array.copy() for name, array in bundle.arrays.items()}, bundle.meta, bundle.details)


def table_of(ids: Sequence[Any] | NDArray[Any]) -> IdTable:
    arrays, meta = pack_ids("ids", ids)
    return IdTable("ids", Bundle("factors", arrays, {"ids": meta}), len(ids))


def factors_bundle(users: NDArray[Any], items: NDArray[Any], seen: NDArray[Any] | None = None) -> Bundle:
    """Ids are row numbers, items from 1000 on; `seen` is a users x items table of bools."""
    width = items.shape[1] if items.ndim == 2 else 0
    derived, fold_in = derive(Factors(users, items, "factors", width, width))
    arrays: dict[str, NDArray[Any]] = {"user_factors": users, "item_factors": items, **derived}
    meta: dict[str, Any] = {"fold_in": fold_in, "widths": {"embedding": width, "compared": width}}
    for name, count, first in (("user_ids", len(users), 0), ("item_ids", len(items), 1000)):
        packed, meta[name] = pack_ids(name, np.arange(first, first + count))
        arrays.update(packed)
    if seen is not None:
        arrays["seen.indptr"] = np.concatenate(([0], np.cumsum(seen.sum(axis=1)))).astype(np.int64)
        arrays["seen.indices"] = np.nonzero(seen)[1].astype(np.int32)
    return Bundle("factors", arrays, meta)


def scorer_of(users: NDArray[Any], items: NDArray[Any], seen: NDArray[Any] | None = None) -> FactorScorer:
    return open_scorer(factors_bundle(users, items, seen))


def naive(users: NDArray[Any], items: NDArray[Any], user: int, k: int, left_out: Sequence[int] = ()) -> list[tuple[int, float]]:
    """(row, score) of the k best by float64, one by one, ties in the order of rows, without scores that are no number."""
    with np.errstate(all="ignore"):
        scores = [(float((items[row].astype("f8") * users[user].astype("f8")).sum()), row) for row in range(len(items))]
    ranked = sorted((-score, row) for score, row in scores if np.isfinite(score) and row not in left_out)
    return [(row, -score) for score, row in ranked[:k]]
