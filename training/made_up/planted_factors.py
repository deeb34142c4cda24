"""Made-up data of which the truth is known: factors that made the interactions, features that made the factors, texts of categories.

Covers: a data set as a training reads it, and beside it what a trainer must find: the generating factors, interactions held out,
items and users whose interactions are all held out (cold) but whose features are told. Does not cover: the data of the demo
(`training.made_up.planted`), measuring (`bench.planted`).

There are a few tastes. A user is a mixture of them, which follows from age, region and something of their own; each taste is a
distribution over items, which follows from an item's category, tags, popularity and something of its own. A user's likes are
drawn without repetition, each with a probability in proportion to x.y, the user's mixture times the item's share of each
taste: the matrix of interactions is of low rank but for chance. An item's text is words of its category among a few of
other categories and some that say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.dataset.base import Dataset, Features, Fingerprint, Interactions, Items

Floats = NDArray[np.float32]

FIRST_AT = 1_735_689_600.0
"""Unix time of the first possible interaction, 2025-01-01T00:00Z."""
SPAN_S = 180 * 86_400.0

_CATEGORIES, _TAGS, _TAGS_EACH = 12, 24, 2
_AGES, _REGIONS = 6, 8
_WORDS, _WORDS_EACH, _STRAY_WORDS, _EMPTY_WORDS, _EMPTY_WORDS_EACH = 10, 4, 2, 40, 4
_POPULARITY_SLOPE = 0.25
_SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "wo", "xu", "za")


@dataclass(frozen=True, slots=True)
class PlantedFactors:
    """Data and truth. Ids are ints from 1; row r has id r + 1.

    dataset: without everything below that is held out. held: interactions of users and items that `dataset` has others of.
    cold_items, cold_users: ascending rows that `dataset` has features of and no interaction. of_cold_items: what warm users did
    with cold items. of_cold_users: what cold users did with warm items. user_factors (users, f), item_factors (items, f): not
    negative, x.y is how likely a like is, up to a constant. categories: (items,) the category of each item, by number.
    """

    dataset: Dataset
    held: Interactions
    cold_items: NDArray[np.int64]
    cold_users: NDArray[np.int64]
    of_cold_items: Interactions
    of_cold_users: Interactions
    user_factors: Floats
    item_factors: Floats
    categories: NDArray[np.int64]


def plant_factors(
    *,
    users: int = 4_000,
    items: int = 2_000,
    factors: int = 4,
    likes_per_user: int = 50,
    purity: float = 20.0,
    own_share: float = 0.2,
    holdout: float = 0.1,
    cold_share: float = 0.0,
    seed: int = 7,
) -> PlantedFactors:
    """Draw data; the same arguments give the same ones.

    factors: tastes. purity: the greater, the fewer tastes a feature speaks for. own_share: how much of users and items no feature
    tells, 0..1. holdout: share of the warm interactions that is held out. cold_share: of items, and of users.
    """
    rng = np.random.default_rng(seed)
    category, item_features = _item_features(rng, items)
    user_features = _user_features(rng, users)
    user_factors = _shares(rng, user_features, factors, purity, own_share)
    popularity = (1.0 + rng.permutation(items) / 10.0) ** -_POPULARITY_SLOPE
    item_factors = _shares(rng, item_features, factors, purity, own_share) * popularity.astype(np.float32)[:, np.newaxis]
    item_factors /= item_factors.sum(axis=0)

    everything = _likes(rng, user_factors @ item_factors.T, likes_per_user)
    is_cold_item, is_cold_user = (_some(rng, count, cold_share) for count in (items, users))
    with_cold_item, by_cold_user = is_cold_item[everything.items], is_cold_user[everything.users]
    is_warm = ~with_cold_item & ~by_cold_user
    is_held = is_warm & (rng.random(len(everything)) < holdout)
    train = everything.take(is_warm & ~is_held)
    dataset = Dataset(
        user_ids=range(1, users + 1),
        item_ids=range(1, items + 1),
        interactions=train,
        fingerprint=Fingerprint(len(train), FIRST_AT + SPAN_S, f"planted-{seed}"),
        items=_described(rng, category),
        user_features=user_features,
        item_features=item_features,
    )
    return PlantedFactors(
        dataset,
        everything.take(is_held),
        np.flatnonzero(is_cold_item),
        np.flatnonzero(is_cold_user),
        everything.take(with_cold_item & ~by_cold_user),
        everything.take(by_cold_user & ~with_cold_item),
        user_factors,
        item_factors,
        category,
    )


def without_categories(dataset: Dataset) -> Dataset:
    """The same, with nothing told of the items but their texts."""
    assert dataset.items is not None  # noqa: S101  planted data have items
    count = len(dataset.item_ids)
    return replace(dataset, items=replace(dataset.items, categories=[()] * count, columns={}), item_features=None)


def _item_features(rng: np.random.Generator, items: int) -> tuple[NDArray[np.int64], Features]:
    category = rng.integers(_CATEGORIES, size=items)
    tags = np.argsort(rng.random((items, _TAGS)), axis=1)[:, :_TAGS_EACH]
    columns = np.sort(np.hstack((category[:, np.newaxis], _CATEGORIES + tags)), axis=1)
    names = [f"category={at}" for at in range(_CATEGORIES)] + [f"tag={at}" for at in range(_TAGS)]
    return category, _one_hot(names, columns)


def _user_features(rng: np.random.Generator, users: int) -> Features:
    columns = np.stack((rng.integers(_AGES, size=users), _AGES + rng.integers(_REGIONS, size=users)), axis=1)
    return _one_hot([f"age={at}" for at in range(_AGES)] + [f"region={at}" for at in range(_REGIONS)], columns)


def _one_hot(names: list[str], columns: NDArray[np.int64]) -> Features:
    rows, each = columns.shape
    return Features(
        names, np.arange(0, rows * each + 1, each, dtype=np.int64), columns.ravel().astype(np.int32), np.ones(rows * each, np.float32)
    )


def _shares(rng: np.random.Generator, features: Features, factors: int, purity: float, own_share: float) -> Floats:
    """(rows, factors) not negative: the sum of what the row's features bring, and of something of its own."""
    rows = len(features.indptr) - 1
    of_feature = rng.gamma(1.0 / purity, size=(len(features.names), factors))
    told = of_feature[features.indices].reshape(rows, -1, factors).sum(axis=1)
    own = rng.gamma(1.0 / purity, size=(rows, factors))
    shares: Floats = ((1.0 - own_share) * told / told.mean() + own_share * own / own.mean()).astype(np.float32)
    return shares


def _likes(rng: np.random.Generator, chances: Floats, likes_per_user: int) -> Interactions:
    """Gumbel noise on log-weights, then the largest: a draw without replacement for every user at once."""
    users, items = chances.shape
    order = np.argsort(-(np.log(chances) + rng.gumbel(size=chances.shape)), axis=1)
    likes = np.clip(rng.poisson(likes_per_user, size=users), min(5, items), items)
    rows, rank = np.nonzero(np.arange(items) < likes[:, np.newaxis])
    times = FIRST_AT + rng.integers(int(SPAN_S), size=len(rows)).astype(np.float64)
    return Interactions(rows.astype(np.int32), order[rows, rank].astype(np.int32), np.ones(len(rows), np.float32), times)


def _some(rng: np.random.Generator, count: int, share: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.zeros(count, np.bool_)
    found[rng.choice(count, round(share * count), replace=False)] = True
    return found


def _described(rng: np.random.Generator, category: NDArray[np.int64]) -> Items:
    words = _vocabulary(rng, _CATEGORIES * _WORDS + _EMPTY_WORDS)
    of_category, empty = np.array(words[: _CATEGORIES * _WORDS]).reshape(_CATEGORIES, _WORDS), words[_CATEGORIES * _WORDS :]
    texts = [
        " ".join(
            (
                *rng.choice(of_category[at], _WORDS_EACH, replace=False),
                *rng.choice(of_category.ravel(), _STRAY_WORDS),
                *rng.choice(empty, _EMPTY_WORDS_EACH, replace=False),
            )
        )
        for at in category.tolist()
    ]
    names = [f"category {at}" for at in category.tolist()]
    return Items(texts, [(name,) for name in names], {"title": texts, "category": names})


def _vocabulary(rng: np.random.Generator, count: int) -> list[str]:
    """`count` different words of three syllables."""
    base = len(_SYLLABLES)
    numbers = rng.choice(base**3, count, replace=False).tolist()
    return [_SYLLABLES[at % base] + _SYLLABLES[at // base % base] + _SYLLABLES[at // base**2] for at in numbers]
