"""A version's file, opened with its family's own scorer, as it would answer if nothing had happened since the cut.

Covers: from a file to a recommender whose users have what they had before the holdout, and what its rows are in the data set.
Does not cover: what it is asked and how good it is (`training.judging.evaluate`). numpy only; capped child.

A version that serves knows everything its users have, what was held out included, so that it never answers with it; models of
the family `neighbours`, and hybrids, also answer from it. Measured like that they would be told what they are asked for. So of each
bundle's seen items only those stay that are on the earlier side; all else is the very file that serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders.bundle_file import open_bundle_file
from models.bundle import BadBundle, Bundle
from models.hybrid.score import HybridScorer
from models.ids import IdTable
from models.opening import open_scorer_of, warm_scorer
from models.recommender import Recommender
from training.dataset.base import Dataset, Id
from training.errors import Untrainable
from training.judging.split import Ground, chosen_rows

Rows = NDArray[np.int64]
_SEEN = "seen.indptr"


class Known:
    """The ids of a data set, to be found again among those of a version."""

    def __init__(self, dataset: Dataset) -> None:
        self.users = dataset.user_ids
        self.items = dataset.item_ids

    @cached_property
    def item_rows(self) -> Mapping[Id, int]:
        return {id: row for row, id in enumerate(self.items)}

    def rows_of(self, ids: list[Id]) -> Rows:
        """The data set's row of each item id, -1 where it has none."""
        find = self.item_rows
        return np.fromiter((find.get(id, -1) for id in ids), np.int64, len(ids))


@dataclass(frozen=True, slots=True)
class Opened:
    """A version that can be asked. items: (its items,) their rows in the data set, -1 where it has none; rows: the reverse."""

    scorer: Recommender
    items: Rows
    rows: Rows


def open_version(path: Path, known: Known, ground: Ground, parts: Mapping[str, Path] | None = None) -> Opened:
    """Open a version's file for measuring the users of `ground`. parts: role -> file of the part, for hybrids.

    Raises loaders.errors.CorruptArtifact, OSError, and Untrainable for a model that cannot answer.
    """
    scorer = _open(path, known, ground)
    if isinstance(scorer, HybridScorer):
        opened: dict[str, Any] = {role: _open(file, known, ground) for role, file in (parts or {}).items()}
        try:
            scorer = scorer.bind(opened, dict.fromkeys(opened, ""))
        except (KeyError, TypeError) as error:
            raise Untrainable(f"the hybrid cannot be put together: {error}") from error
    assert isinstance(scorer, Recommender)  # noqa: S101  trainers make nothing else
    items = known.rows_of(scorer.items.ids(np.arange(scorer.items.count)))
    rows = np.full(len(known.items), -1, np.int64)
    there = np.flatnonzero(items >= 0)
    rows[items[there]] = there
    return Opened(scorer, items, rows)


def _open(path: Path, known: Known, ground: Ground) -> Recommender | HybridScorer:
    bundle = open_bundle_file(path)
    try:
        # As a load does: what is learned here (the range of scores) is what a hybrid scales its parts by.
        details = {**bundle.details, **warm_scorer(bundle.family, open_scorer_of(bundle))}
        scorer: Any = open_scorer_of(as_of_ground(Bundle(bundle.family, bundle.arrays, bundle.meta, details, True), known, ground))
    except BadBundle as error:
        raise Untrainable(f"the model cannot answer: {error}") from error
    found: Recommender | HybridScorer = scorer
    return found


def as_of_ground(bundle: Bundle, known: Known, ground: Ground) -> Bundle:
    """The bundle with the seen items of the ground's users, and of nobody else, as far as they had them before.

    Raises models.bundle.BadBundle.
    """
    if _SEEN not in bundle.arrays:
        return bundle
    indptr, indices = bundle.arrays[_SEEN], bundle.arrays["seen.indices"]
    users, items = len(indptr) - 1, int(bundle.meta["item_ids"]["count"])
    to_dataset = known.rows_of(IdTable("item_ids", bundle, items).ids(np.arange(items)))
    table = IdTable("user_ids", bundle, users)
    found = [table.row(known.users[user]) for user in ground.held.users.tolist()]
    rows = np.array([-1 if row is None else row for row in found], np.int64)
    order = np.argsort(rows, kind="stable")
    order = order[rows[order] >= 0]
    rows, owners = rows[order], ground.held.users[order]
    bounds, cells = chosen_rows(indptr, rows)
    columns = indices[cells]
    count = len(known.items)
    keys = np.repeat(owners, np.diff(bounds)) * count + to_dataset[columns]
    had, mine = chosen_rows(ground.seen.indptr, owners)
    stays = np.isin(keys, np.repeat(owners, np.diff(had)) * count + ground.seen.indices[mine]) & (to_dataset[columns] >= 0)
    lengths = np.zeros(users, np.int64)
    np.add.at(lengths, np.repeat(rows, np.diff(bounds))[stays], 1)
    arrays = dict(bundle.arrays)
    arrays[_SEEN] = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    arrays["seen.indices"] = columns[stays]
    if "seen.weights" in arrays:
        arrays["seen.weights"] = arrays["seen.weights"][cells[stays]]
    return Bundle(bundle.family, arrays, bundle.meta, bundle.details, bundle.is_checked)
