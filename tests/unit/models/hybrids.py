"""A hybrid of two small factor models, and what it should answer, worked out from its parts' own answers item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Id, Query, Ranking
from models.bundle import Bundle
from models.factors.score import FactorScorer, open_scorer, warm
from models.hybrid.bound import BoundHybrid
from models.hybrid.pack import pack
from models.hybrid.score import HybridScorer
from models.hybrid.score import open_scorer as open_hybrid
from models.ids import pack_ids
from models.packing import NO_OPTIONS
from tests.unit.models.building import factors_bundle

USERS = 12
CONTENT_IDS: list[Id] = [f"i{row}" for row in range(30, 4, -1)]
COLLABORATIVE_IDS: list[Id] = [f"i{row}" for row in range(20)]
"""i0..i4 are known to the collaborative part alone, i20..i30 to the content part alone."""
NEWCOMER = 11
"""A user of the collaborative part who has nothing yet."""


def factors_part(items: Sequence[Id], seed: int, seen: NDArray[Any] | None = None, *, users: int = USERS) -> FactorScorer:
    """Users 0.. of a factor model over these items, its score range sampled."""
    rng = np.random.default_rng(seed)
    bundle = factors_bundle(rng.standard_normal((users, 6)) / 2, rng.standard_normal((len(items), 6)), seen)
    arrays, meta = pack_ids("item_ids", items)
    kept = {name: array for name, array in bundle.arrays.items() if not name.startswith("item_ids.")}
    bundle = replace(bundle, arrays={**kept, **arrays}, meta={**bundle.meta, "item_ids": meta})
    return open_scorer(replace(bundle, details=warm(open_scorer(bundle))))


def seen_table() -> NDArray[np.bool_]:
    """User u has seen u items; the newcomer none."""
    seen = np.zeros((USERS, len(COLLABORATIVE_IDS)), np.bool_)
    for user in range(1, NEWCOMER):
        seen[user, (np.arange(user) * 7 + user) % seen.shape[1]] = True
    return seen


def hybrid_of(artifact: Mapping[str, Any]) -> HybridScorer:
    """From an artifact, as if it had been through a segment."""
    bundle = pack(dict(artifact), NO_OPTIONS)
    return open_hybrid(Bundle(bundle.family, bundle.arrays, bundle.meta, bundle.details))


@dataclass
class Parts:
    """Both parts; `bind` makes a hybrid of them."""

    content: FactorScorer
    collaborative: FactorScorer

    @classmethod
    def made(cls) -> Parts:
        return cls(factors_part(CONTENT_IDS, 1), factors_part(COLLABORATIVE_IDS, 2, seen_table()))

    def bind(self, **artifact: Any) -> BoundHybrid:
        """MMR is off, unless the artifact has a lambda."""
        hybrid = hybrid_of({"content_weight": 0.6, "collaborative_weight": 0.4, "default_lambda": 1.0, **artifact})
        return hybrid.bind({"content": self.content, "collaborative": self.collaborative}, {"content": "c1", "collaborative": "m1"})

    def blended(self, content: Query | None, collaborative: Query | None, share: float, *, is_scaled: bool = True) -> dict[Id, float]:
        """Item -> share * content's score + (1 - share) * the collaborative one's; the questions see everything. None: does not answer."""
        blended: dict[Id, float] = {}
        for part, query, weight in ((self.content, content, share), (self.collaborative, collaborative, 1 - share)):
            if query is None:
                continue
            (answer,) = part.recommend(replace(query, k=1000, exclude_seen=False))
            assert isinstance(answer, Ranking)
            sampled = part.details["score_range"]
            low, width = (sampled["min"], sampled["max"] - sampled["min"]) if is_scaled else (0.0, 1.0)
            for item, score in zip(answer.items, answer.scores, strict=True):
                blended[item] = blended.get(item, 0.0) + weight * (score - low) / width
        return blended


def ranked(scores: Mapping[Id, float], k: int, without: Sequence[Id] = ()) -> tuple[list[Id], list[float]]:
    """Items and scores of the k best."""
    best = sorted((item for item in scores if item not in without), key=lambda item: -scores[item])[:k]
    return best, [scores[item] for item in best]


def history_of(user: int) -> list[Id]:
    """Ids of what a user has seen."""
    return [COLLABORATIVE_IDS[row] for row in np.flatnonzero(seen_table()[user])]
