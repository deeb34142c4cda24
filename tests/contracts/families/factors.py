"""Factors: the ALS dict with ids of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.artifacts.recommenders import als_dict, expected_recommend, interactions
from tests.contracts.families import RecommenderExample


def als() -> RecommenderExample:
    artifact = als_dict("mixed")
    users, items = list(artifact["user_id_map"]), list(artifact["item_id_map"])
    rows = [0, 5, 17, 44]

    def answers(k: int) -> list[list[tuple[Any, float]]]:
        found = expected_recommend(artifact["model"], rows, k, interactions())
        return [[(items[row], score) for row, score in zip(top.items, top.scores, strict=True)] for top in found]

    return RecommenderExample(artifact, [users[row] for row in rows], answers, items[:3])


EXAMPLES: dict[str, Callable[[], RecommenderExample]] = {"als": als}
