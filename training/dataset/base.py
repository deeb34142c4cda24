"""What a training reads: interactions, items and features, by row number.

Covers: types only. Does not cover: where they come from (one file a kind of database), what is kept from training
(`training.judging.split`). Users and items have rows 0..n-1; every array here speaks of rows, and the id lists say which id each row has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from training.trainers.base import OnProgress

Id = int | str


@dataclass(frozen=True, slots=True)
class Interactions:
    """What users did with items, in no particular order; a pair may appear several times.

    users, items: (n,) int32 rows. weights: (n,) float32, positive. times: (n,) float64 Unix seconds, None where the data have none.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, which: NDArray[Any]) -> Interactions:
        """Those of a mask or of positions."""
        times = None if self.times is None else self.times[which]
        return Interactions(self.users[which], self.items[which], self.weights[which], times)


@dataclass(frozen=True, slots=True)
class Features:
    """Named features of users or of items: a CSR matrix (rows, len(names)) in its three arrays.

    indptr: (rows + 1,) int64; indices: (n,) int32 columns, ascending in a row; values: (n,) float32.
    """

    names: Sequence[str]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Items:
    """What is told of the items, one entry a row; an item that is only known from interactions has "" and ().

    text: its text columns, joined by spaces. categories: those it belongs to. columns: every column by name, for answers.
    """

    text: Sequence[str]
    categories: Sequence[tuple[str, ...]]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the data were, so that a run can tell whether anything changed. Independent of the order of rows.

    interactions: rows read. latest_at: the greatest time, Unix seconds, None without times. digest: hex, of everything read
    (interactions, items, features).
    """

    interactions: int
    latest_at: float | None
    digest: str

    def to_json(self) -> dict[str, Any]:
        return {"interactions": self.interactions, "latest_at": self.latest_at, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything a training reads. Items and users that only appear in `items` or in features have rows too: they are cold."""

    user_ids: Sequence[Id]
    item_ids: Sequence[Id]
    interactions: Interactions
    fingerprint: Fingerprint
    items: Items | None = None
    user_features: Features | None = None
    item_features: Features | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
    """What was left out or filled in, counted: see `training.dataset.interactions`."""


class Reader(Protocol):
    """One kind of database: a class in its own file, named in `training.dataset.READERS`."""

    def read(self, on_progress: OnProgress) -> Dataset:
        """Everything, as it was at one moment. Blocking; runs an event loop of its own where it needs one.

        Two reads of the same content give the same data set but for the order of interactions, whatever order the database
        gives its rows in: users and items are numbered in the order of their ids, whole numbers before text.
        Raises training.errors.DataUnavailable, BadData; loaders.errors.MissingLibrary.
        """
        ...
