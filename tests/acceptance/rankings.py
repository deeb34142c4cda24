"""Comparing what the server answers with what implicit itself recommends.

Covers: one ranking against implicit's. Does not cover: asking either of them (`tests.acceptance.running`, `tests.artifacts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.artifacts.recommenders import Top

SCORE_TOLERANCE = 1e-4
"""Relative, between the server's score and implicit's."""
TIE_TOLERANCE = 1e-6
"""Relative: items whose scores implicit has nearer together than that may change places."""


def differences(answered: Sequence[Mapping[str, Any]], everything: Top, item_ids: Sequence[Any], k: int) -> list[str]:
    """How the `items` of an answer differ from the best `k` of `everything`, implicit's ranking to its end; empty if they do not."""
    implicit = {item_ids[row]: score for row, score in zip(everything.items, everything.scores, strict=True)}
    best = everything.scores[:k]
    answered_ids = [item["item_id"] for item in answered]
    if len(answered) != len(best):
        return [f"{len(answered)} items instead of {len(best)}"]
    if len(set(answered_ids)) != len(answered_ids):
        return [f"an item twice in {answered_ids}"]
    found = []
    for place, item in enumerate(answered):
        id, score = item["item_id"], item["score"]
        if id not in implicit:
            found.append(f"{id!r} is at place {place} and implicit leaves it out")
        elif abs(implicit[id] - best[place]) > TIE_TOLERANCE * abs(best[place]):
            found.append(f"{id!r} is at place {place}, and implicit gives it {implicit[id]} instead of {best[place]}")
        elif abs(score - implicit[id]) > SCORE_TOLERANCE * abs(implicit[id]):
            found.append(f"{id!r} has the score {score} instead of {implicit[id]}")
    return found
