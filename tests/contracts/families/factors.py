"""Factors: implicit models, sklearn's decompositions, LightFM; each compared with the library's own answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from threadpoolctl import threadpool_limits

from tests.artifacts.lightfm import bare_lightfm, lightfm_dict, predicted
from tests.artifacts.nmf import expected_nmf, fitted_nmf, nmf_dict
from tests.artifacts.recommenders import BARE, ITEMS, als_dict, expected_recommend, interactions
from tests.artifacts.svd import fitted_svd, svd_dict
from tests.contracts.families import RecommenderExample

_ROWS = [0, 5, 17, 44]
_LIKED = [3, 11, 30]
Answer = list[tuple[Any, float]]


def _ones(rows: Sequence[int]) -> Any:
    """One user who likes these items, as a CSR row."""
    return scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), ([0] * len(rows), list(rows))), shape=(1, ITEMS))


def best(scores: Any, ids: Sequence[Any], k: int, left_out: Sequence[int] = ()) -> Answer:
    """[(id, score)] of the k greatest scores, ties in the order of rows."""
    order = [row for row in np.argsort(-np.asarray(scores), kind="stable").tolist() if row not in set(left_out)]
    return [(ids[row], float(scores[row])) for row in order[:k]]


def _implicit(model: Any, kind: str, *, folds_in: bool) -> RecommenderExample:
    artifact = als_dict(kind, model=model)
    users, items = list(artifact["user_id_map"]), list(artifact["item_id_map"])

    def answers(k: int) -> list[Answer]:
        found = expected_recommend(model, _ROWS, k, interactions())
        return [[(items[row], score) for row, score in zip(top.items, top.scores, strict=True)] for top in found]

    def liked(k: int) -> Answer:
        with threadpool_limits(1, "blas"):
            rows, scores = model.recommend(0, _ones(_LIKED), N=k, recalculate_user=True)
        return [(items[row], float(score)) for row, score in zip(rows, scores, strict=True)]

    def similar(item: Any, k: int) -> Answer:
        with threadpool_limits(1, "blas"):
            rows, scores = model.similar_items(artifact["item_id_map"][item], N=k + 1)
        return [(items[row], float(score)) for row, score in zip(rows, scores, strict=True) if items[row] != item][:k]

    names = [users[row] for row in _ROWS]
    return RecommenderExample(artifact, names, answers, [items[row] for row in _LIKED], liked if folds_in else None, similar)


def als() -> RecommenderExample:
    return _implicit(BARE["als"](), "mixed", folds_in=True)


def als_of_float64() -> RecommenderExample:
    return _implicit(BARE["als"](dtype="float64"), "str", folds_in=True)


def bpr() -> RecommenderExample:
    return _implicit(BARE["bpr"](), "int", folds_in=False)


def lmf() -> RecommenderExample:
    return _implicit(BARE["lmf"](), "unicode", folds_in=False)


def nmf() -> RecommenderExample:
    model = fitted_nmf()[0]
    artifact = nmf_dict("int")
    users, items = list(artifact["user_encoder"]), list(artifact["item_encoder"])

    def answers(k: int) -> list[Answer]:
        return [[(items[row], score) for row, score in zip(top.items, top.scores, strict=True)] for top in expected_nmf(_ROWS, k)]

    return RecommenderExample(artifact, [users[row] for row in _ROWS], answers, [items[row] for row in _LIKED], _transformed(model, items))


def _transformed(model: Any, ids: Sequence[Any]) -> Callable[[int], Answer]:
    """What sklearn's own transform makes of the liked items."""

    def liked(k: int) -> Answer:
        with threadpool_limits(1, "blas"):
            scores = (model.transform(_ones(_LIKED)) @ model.components_)[0]
        return best(scores, ids, k, _LIKED)

    return liked


def svd() -> RecommenderExample:
    model, user_factors = fitted_svd()
    artifact = svd_dict("label")
    users, items = artifact["user_encoder"].classes_.tolist(), artifact["item_encoder"].classes_.tolist()
    scores = user_factors @ model.components_

    def answers(k: int) -> list[Answer]:
        return [best(scores[row], items, k, interactions()[[row]].indices) for row in _ROWS]

    return RecommenderExample(artifact, [users[row] for row in _ROWS], answers, [items[row] for row in _LIKED], _transformed(model, items))


def bare_decomposition() -> RecommenderExample:
    model = fitted_nmf()[0]
    return RecommenderExample(model, [], lambda k: [], _LIKED, _transformed(model, range(ITEMS)))


def lightfm() -> RecommenderExample:
    model = bare_lightfm()
    scores = predicted(model)

    def similar(item: Any, k: int) -> Answer:
        """As in LightFM's documentation: the cosine of item representations."""
        unit = model.item_embeddings / np.linalg.norm(model.item_embeddings, axis=1, keepdims=True)
        return best(unit @ unit[item], range(ITEMS), k, [item])

    return RecommenderExample(model, _ROWS, lambda k: [best(scores[row], range(ITEMS), k) for row in _ROWS], _LIKED, None, similar)


def lightfm_with_features() -> RecommenderExample:
    artifact = lightfm_dict("mixed")
    users, items = list(artifact["user_id_map"]), list(artifact["item_id_map"])
    scores = predicted(artifact["model"], artifact["user_features"], artifact["item_features"])

    def answers(k: int) -> list[Answer]:
        return [best(scores[row], items, k, interactions()[[row]].indices) for row in _ROWS]

    return RecommenderExample(artifact, [users[row] for row in _ROWS], answers, [items[row] for row in _LIKED])


RECOMMENDERS: dict[str, Callable[[], RecommenderExample]] = {
    "als": als,
    "als_of_float64": als_of_float64,
    "bpr": bpr,
    "lmf": lmf,
    "nmf": nmf,
    "svd": svd,
    "lightfm": lightfm,
    "lightfm_with_features": lightfm_with_features,
}
ITEM_RECOMMENDERS: dict[str, Callable[[], RecommenderExample]] = {"bare_nmf": bare_decomposition}
