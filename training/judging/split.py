"""What is kept from training, so that a model can be measured on what it has not seen.

Covers: the split of a run (by time, else a stable random one), what of it can be measured, what two versions can be compared
on, and the small second split that parameters are searched on. Does not cover: measuring (`training.judging.evaluate`). numpy only.

By time: one cut for everybody; what happened later is held out, what happened at the cut is learned from. So "later than the
cut of both" is well defined for two versions, whenever they were trained. Random: a pair of user and item is held out if the
hash of (user id, item id, salt) falls below the share, so that the same pair is held out in every run of that salt, and a
version of another run has never learned it either. Measured are users who are left with something to learn from, on items that
somebody else has left, and that are new to the user: what a model could have answered. What is new to everybody is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.recent import is_among
from training.dataset.base import Dataset, Id, Interactions
from training.errors import Untrainable

Kind = Literal["time", "random"]
Keys = NDArray[np.int64]
"""Pairs of user and item as user row * items + item row; sorted and distinct where not said otherwise."""

SALT = "1"
"""Of every random split: versions of one training, and the parts of a hybrid, can only be compared where they share it."""
VALIDATED_USERS = 5_000
"""Users that parameters are searched on: their mean NDCG has a standard error of about 0.005."""
_LEAST_OF_SHARE, _LEAST_TRAINED = 0.5, 0.5
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Cut(NamedTuple):
    """How a version's data were split, as it stands in its record.

    at: latest time it learned from, Unix seconds, None for a random split. salt and share: of a random split.
    """

    kind: Kind
    at: float | None
    salt: str
    share: float


class Held(NamedTuple):
    """Users who are measured, (n,) ascending rows, and the items held out of each: items[indptr[i]:indptr[i + 1]], ascending."""

    users: NDArray[np.int64]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]

    @classmethod
    def of(cls, keys: Keys, count: int) -> Held:
        """From sorted, distinct pairs of a catalogue of `count` items."""
        users, starts = np.unique(keys // count, return_index=True)
        return cls(users, np.append(starts, len(keys)).astype(np.int64), (keys % count).astype(np.int32))

    def take(self, which: NDArray[np.int64]) -> Held:
        """Those of ascending positions."""
        indptr, cells = chosen_rows(self.indptr, which)
        return Held(self.users[which], indptr, self.items[cells])


class SeenItems(NamedTuple):
    """Distinct pairs as the cells of a CSR matrix (users, items): indptr (users + 1,), indices ascending in a row."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    @classmethod
    def of(cls, keys: Keys, users: int, count: int) -> SeenItems:
        indptr = np.searchsorted(keys, np.arange(users + 1, dtype=np.int64) * count)
        return cls(indptr.astype(np.int64), (keys % count).astype(np.int32))

    def keys(self, count: int) -> Keys:
        """The sorted pairs that it was made of."""
        return np.repeat(np.arange(len(self.indptr) - 1, dtype=np.int64) * count, np.diff(self.indptr)) + self.indices


class Ground(NamedTuple):
    """What versions are measured on: what is held out, and what users had before it, which is no answer."""

    held: Held
    seen: SeenItems


@dataclass(frozen=True, slots=True)
class Split:
    """A data set in two. train: what is learned from, the rest of it is as it was. after: what is held out of it, all of it.

    held: what of that can be measured. seen: what users have in `train`. marks: (after,) the time, or the hash in 0..1, that put
    each interaction there. notes: JSON, how many were left out of the measuring, and why the split is no split by time.
    """

    train: Dataset
    after: Interactions
    held: Held
    seen: SeenItems
    cut: Cut
    marks: NDArray[np.float64]
    notes: dict[str, int | str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return self.cut.kind

    @property
    def ground(self) -> Ground:
        """What a version of this very run is measured on."""
        return Ground(self.held, self.seen)

    def shared_with(self, others: Sequence[Cut]) -> Ground | None:
        """What neither this split nor any of `others` learned from: the ground that their versions meet on.

        None where no ground is fair: one split by time and one at random, or two at random with different salts.
        """
        if any(other.kind != self.cut.kind or other.salt != self.cut.salt for other in others):
            return None
        if self.cut.kind == "time":
            is_fresh = self.marks > max((other.at for other in others if other.at is not None), default=-np.inf)
        else:
            is_fresh = self.marks < min((other.share for other in others), default=1.0)
        if bool(is_fresh.all()):
            return self.ground
        users, count = len(self.train.user_ids), len(self.train.item_ids)
        mine = self.seen.keys(count)
        between = pairs(self.after.take(~is_fresh), count)
        learned = np.sort(np.concatenate((mine, between[~is_among(between, mine)])), kind="stable")
        # A pair that comes again after the later cut is not new to the user: `_measurable` leaves it out.
        held, _ = _measurable(pairs(self.after.take(is_fresh), count), learned, mine, count)
        return Ground(held, SeenItems.of(learned, users, count))


def split(dataset: Dataset, share: float, salt: str = SALT) -> Split:
    """Hold out the latest `share` (0..1) of the interactions, or a random one of them where they have no times that tell.

    Where no user could be measured by time (everybody came once), the split is random, too. Raises Untrainable where nothing is
    left to learn from.
    """
    interactions = dataset.interactions
    if not len(interactions):
        raise Untrainable("there are no interactions to learn from")
    why = "the interactions have no times"
    if interactions.times is not None:
        at = cut_time(interactions.times, share)
        why = "the interactions do not have times that tell earlier from later"
        if at is not None:
            found = _parted(dataset, interactions.times > at, interactions.times, Cut("time", at, "", share))
            if len(found.held.users):
                return found
            why = "no user has interactions both before and after any cut in time"
    hashes = pair_hashes(dataset, salt)
    found = _parted(dataset, hashes < share, hashes, Cut("random", None, salt, share))
    if not len(found.train.interactions):
        raise Untrainable(f"all {len(interactions)} interactions are held out: there is too little to learn from")
    found.notes["random_because"] = why
    return found


def cut_time(times: NDArray[np.float64], share: float) -> float | None:
    """The time up to which interactions are learned from; None where none parts them well.

    Interactions at the cut stay in train. Where so many share it that less than half of `share` would be held out, the cut is
    the time before it, unless that leaves less than half of all to learn from.
    """
    ordered = np.sort(times)
    total = len(ordered)
    wanted = max(1, round(share * total))
    at = float(ordered[max(0, total - wanted - 1)])
    later = total - int(np.searchsorted(ordered, at, side="right"))
    if later >= max(1.0, _LEAST_OF_SHARE * wanted):
        return at
    before = int(np.searchsorted(ordered, at, side="left"))
    if before >= _LEAST_TRAINED * total:
        return float(ordered[before - 1])
    return at if later else None


def pair_hashes(dataset: Dataset, salt: str) -> NDArray[np.float64]:
    """(interactions,) a number in 0..1 of each pair of user id, item id and salt: the same in every run and on every machine."""
    interactions = dataset.interactions
    mixed = _id_hashes(dataset.user_ids, f"{salt}/user")[interactions.users] * _MIX
    mixed ^= _id_hashes(dataset.item_ids, f"{salt}/item")[interactions.items]
    # The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of the input reaches every bit of the output.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def _id_hashes(ids: Sequence[Id], person: str) -> NDArray[np.uint64]:
    key = person.encode()[:64]

    def one(id: Id) -> int:
        kind = b"i" if isinstance(id, int) else b"s"
        return int.from_bytes(blake2b(kind + str(id).encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest(), "little")

    return np.fromiter(map(one, ids), np.uint64, len(ids))


def _parted(dataset: Dataset, is_after: NDArray[np.bool_], marks: NDArray[np.float64], cut: Cut) -> Split:
    users, count = len(dataset.user_ids), len(dataset.item_ids)
    train, after = dataset.interactions.take(~is_after), dataset.interactions.take(is_after)
    learned = pairs(train, count)
    held, notes = _measurable(pairs(after, count), learned, learned, count)
    notes["held_out"] = len(after)
    rest = Dataset(
        dataset.user_ids,
        dataset.item_ids,
        train,
        dataset.fingerprint,
        dataset.items,
        dataset.user_features,
        dataset.item_features,
    )
    return Split(rest, after, held, SeenItems.of(learned, users, count), cut, marks[is_after], notes)


def _measurable(held: Keys, had: Keys, learned: Keys, count: int) -> tuple[Held, dict[str, int | str]]:
    """Of held-out pairs those that are new to their user, of users and items that are learned from; and how many are not."""
    new = held[~is_among(held, had)]
    is_warm_user = is_among(new // count, learned // count)
    is_warm_item = np.bincount(learned % count, minlength=count)[new % count] > 0
    notes: dict[str, int | str] = {
        "known_pairs": len(held) - len(new),
        "cold_users": len(np.unique(new[~is_warm_user] // count)),
        "cold_items": len(np.unique(new[~is_warm_item] % count)),
    }
    return Held.of(new[is_warm_user & is_warm_item], count), notes


def chosen_rows(indptr: NDArray[np.signedinteger], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of a CSR matrix the (len(rows) + 1,) bounds of some rows by themselves, and the positions of their cells in it."""
    lengths = (indptr[rows + 1] - indptr[rows]).astype(np.int64)
    bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    return bounds, np.repeat(indptr[rows] - bounds[:-1], lengths) + np.arange(bounds[-1])


def pairs(interactions: Interactions, count: int) -> Keys:
    """Sorted and distinct pairs of user and item of a catalogue of `count` items."""
    keys = interactions.users.astype(np.int64) * count + interactions.items
    keys.sort()  # numpy's own `unique` hashes first, and takes seventy times as long for millions of pairs
    return keys[np.concatenate(([True], keys[1:] != keys[:-1]))] if len(keys) else keys


def validation(dataset: Dataset, seed: int, *, most_users: int = VALIDATED_USERS) -> Split:
    """Hold out one random item of up to `most_users` users with at least two: to search parameters on, inside a run's train.

    Items nobody else has stay in. `cut` is that of a random split, which is not stable: only for use within one run.
    """
    rng = np.random.default_rng(seed)
    interactions, count = dataset.interactions, len(dataset.item_ids)
    keys = pairs(interactions, count)
    _, starts, lengths = np.unique(keys // count, return_index=True, return_counts=True)
    able = np.flatnonzero(lengths >= 2)
    if len(able) > most_users:
        able = np.sort(rng.choice(able, most_users, replace=False))
    chosen = keys[starts[able] + rng.integers(lengths[able])] if len(able) else np.empty(0, np.int64)
    items = chosen % count
    left = np.bincount(keys % count, minlength=count) - np.bincount(items, minlength=count)
    chosen = chosen[left[items] > 0]
    is_held = is_among(interactions.users.astype(np.int64) * count + interactions.items, chosen)
    return _parted(dataset, is_held, np.zeros(len(interactions)), Cut("random", None, f"validation/{seed}", 0.0))
