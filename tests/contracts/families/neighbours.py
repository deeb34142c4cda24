"""Neighbours: content-based dicts compared with sklearn's cosine_similarity, item-item models with implicit's own answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from tests.artifacts.content import ITEM_ITEM, content_dict, expected_like, item_item
from tests.artifacts.ids import plain
from tests.artifacts.recommenders import ITEMS, als_dict, interactions
from tests.contracts.families import RecommenderExample

_ROWS = [0, 5, 17, 44]
_LIKED = [3, 11, 30]
Answer = list[tuple[Any, float]]


def _content(ids: str, **shape: Any) -> RecommenderExample:
    artifact = content_dict(ids, **shape)
    items = [plain(id) for id in artifact["destinations_df"]["destination_id"]]

    def named(answer: list[tuple[int, float]]) -> Answer:
        return [(items[row], score) for row, score in answer]

    def no_answers(k: int) -> list[Answer]:
        return []

    return RecommenderExample(
        artifact,
        [],
        no_answers,
        [items[row] for row in _LIKED],
        lambda k: named(expected_like(_LIKED, k)),
        lambda item, k: named(expected_like([items.index(item)], k)),
    )


def _item_item(name: str, ids: str) -> RecommenderExample:
    # Counts of one are short lists' worst case for diversity: what is cut off counts as nothing in common.
    model = item_item(name, ITEMS if name == "ItemItemRecommender" else 12)
    artifact = als_dict(ids, model=model)
    users, items = list(artifact["user_id_map"]), list(artifact["item_id_map"])

    def recommended(user_items: Any, k: int) -> Answer:
        rows, scores = model.recommend(0, user_items, N=ITEMS)
        ranked = sorted(zip(-scores, rows.tolist(), strict=True))  # implicit's ties are in no order
        has = set(user_items.indices.tolist())  # filled up with these, at 0, where there are too few others
        return [(items[row], -float(score)) for score, row in ranked if row not in has][:k]

    def answers(k: int) -> list[Answer]:
        return [recommended(interactions()[row], k) for row in _ROWS]

    def liked(k: int) -> Answer:
        ones = scipy.sparse.csr_matrix((np.ones(len(_LIKED)), ([0] * len(_LIKED), _LIKED)), shape=(1, ITEMS))
        return recommended(ones, k)

    def similar(item: Any, k: int) -> Answer:
        rows, scores = model.similar_items(artifact["item_id_map"][item], N=ITEMS)
        ranked = sorted(zip(-scores, rows.tolist(), strict=True))
        return [(items[row], -float(score)) for score, row in ranked if items[row] != item][:k]

    return RecommenderExample(artifact, [users[row] for row in _ROWS], answers, [items[row] for row in _LIKED], liked, similar)


def bare() -> RecommenderExample:
    """Rows are the ids; no users are known."""
    whole = _item_item("CosineRecommender", "int")
    rows = {id: row for row, id in enumerate(whole.artifact["item_id_map"])}

    def by_row(answer: Answer) -> Answer:
        return [(rows[id], score) for id, score in answer]

    ids = list(rows)
    liked, similar = whole.liked_answers, whole.similar_answers
    assert liked is not None and similar is not None
    return whole._replace(
        artifact=item_item("CosineRecommender"),
        users=[],
        answers=lambda k: [],
        liked=_LIKED,
        liked_answers=lambda k: by_row(liked(k)),
        similar_answers=lambda row, k: by_row(similar(ids[row], k)),
    )


RECOMMENDERS: dict[str, Callable[[], RecommenderExample]] = {
    name: partial(_item_item, name, kind) for name, kind in zip(ITEM_ITEM, ("mixed", "str", "int", "unicode"), strict=True)
}
ITEM_RECOMMENDERS: dict[str, Callable[[], RecommenderExample]] = {
    "similarity": partial(_content, "int"),
    "float32_similarity": partial(_content, "str", similarity="float32"),
    "sparse_similarity": partial(_content, "unicode", similarity="csr", relation="similarity"),
    "features": partial(_content, "str", features="dense", relation="features"),
    "float32_features": partial(_content, "int64", features="float32", relation="features"),
    "sparse_features": partial(_content, "int", features="csr", relation="features"),
    "features_by_column": partial(_content, "str_", features="csc", relation="features"),
    "bare": bare,
}
