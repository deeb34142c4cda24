"""Made-up interactions with a structure that a recommender must find.

Covers: who liked what, how much and when, and the items' titles and categories, all from one seed. Every item belongs to
one group (its category); every user has a main and a second group, so that the matrix is close to low rank and a good
model is told from a popularity list. Does not cover: storage (`training.made_up.interactions`), data
of which the generating factors are known (`training.made_up.planted_factors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FIRST_AT = 1_735_689_600
"""Unix time of the first possible interaction, 2025-01-01T00:00Z."""
SPAN_S = 180 * 24 * 3600

_PLACES = ("Lake", "Temple", "Market", "Garden", "Museum", "Waterfall", "Beach", "Fortress", "Cave", "Bridge")
_KINDS = ("Hidden", "Golden")
_NAMES = ("Aru", "Belo", "Cinta", "Dara", "Elang", "Fajar", "Gita", "Harum", "Intan", "Jati", "Kelor", "Laut", "Mawar")

_MAIN_SHARE, _SECOND_SHARE, _ELSEWHERE_SHARE = 0.60, 0.25, 0.15
_POPULARITY_SLOPE = 0.6
_FEWEST_LIKES = 8


@dataclass(frozen=True, slots=True)
class Planted:
    """Interactions in time order, by row number of user and item, and the truth they were drawn from."""

    users: Array
    items: Array
    weights: Array
    timestamps: Array
    item_group: Array
    user_groups: Array
    """Main and second group of every user, shape (users, 2)."""
    titles: tuple[str, ...]
    categories: tuple[str, ...]


def plant(*, users: int = 2_000, items: int = 1_000, likes_per_user: int = 30, seed: int = 7) -> Planted:
    """Draw interactions; the same arguments give the same ones. Each pair of user and item appears at most once."""
    rng = np.random.default_rng(seed)
    names = [f"{kind} {place}" for place in _PLACES for kind in _KINDS]
    groups = len(names)
    item_group = np.arange(items) % groups
    popularity = (1.0 + np.arange(items) // groups) ** -_POPULARITY_SLOPE

    main = rng.integers(groups, size=users)
    second = (main + 1 + rng.integers(groups - 1, size=users)) % groups
    share = np.full((users, groups), _ELSEWHERE_SHARE / groups)
    share[np.arange(users), main] += _MAIN_SHARE
    share[np.arange(users), second] += _SECOND_SHARE

    # Gumbel noise on log-weights, then the largest: a draw without replacement for every user at once.
    order = np.argsort(-(np.log(share[:, item_group] * popularity) + rng.gumbel(size=(users, items))), axis=1)
    likes = np.clip(rng.poisson(likes_per_user, size=users), _FEWEST_LIKES, items)
    user_rows, rank = np.nonzero(np.arange(items) < likes[:, None])
    item_rows = order[user_rows, rank]

    is_favourite = item_group[item_rows] == main[user_rows]
    weights = 1.0 + rng.poisson(np.where(is_favourite, 1.5, 0.5)).clip(0, 4)
    timestamps = FIRST_AT + rng.integers(SPAN_S, size=len(user_rows))
    by_time = np.lexsort((item_rows, user_rows, timestamps))
    return Planted(
        users=user_rows[by_time],
        items=item_rows[by_time],
        weights=weights[by_time].astype(np.float32),
        timestamps=timestamps[by_time],
        item_group=item_group,
        user_groups=np.stack([main, second], axis=1),
        titles=tuple(f"{names[row % groups]} of {_NAMES[row // groups % len(_NAMES)]} {row // groups + 1}" for row in range(items)),
        categories=tuple(names[row % groups] for row in range(items)),
    )
