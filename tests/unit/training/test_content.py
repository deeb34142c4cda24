"""Content: the features that scikit-learn would make, the weight of categories, users by the mean of what they have."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from models.base import Query
from models.bundle import Bundle
from models.opening import open_scorer_of
from tests.contracts.learning import MEMORY_BYTES, data, grouped
from training.dataset.base import Dataset, Items
from training.errors import Untrainable
from training.trainers import open_trainer
from training.trainers.base import Ask, Trained
from training.trainers.bundles import Cells
from training.trainers.parameters import check

TEXTS = ("Danau Toba, a deep lake", "lake of fire and a LAKE", "old temple by the lake", "temple Toba", "market", "", "night market market")
CATEGORIES = (("water",), ("water", "fire"), ("stone",), ("stone",), (), (), ("night",))


def dataset(texts: Any = TEXTS, categories: Any = CATEGORIES) -> Dataset:
    return replace(data(grouped(9, 7), 9, 7), items=Items(list(texts), list(categories)))


def trained(given: Dataset, **parameters: Any) -> Trained:
    seen = Cells.of(given.interactions, len(given.user_ids), len(given.item_ids))
    return open_trainer("content").fit(Ask(given, seen, check("content", parameters), 0, MEMORY_BYTES, 1), lambda *told: None)


def alike(bundle: Bundle, count: int = 7) -> np.ndarray[Any, Any]:
    scorer: Any = open_scorer_of(bundle)
    return np.asarray(scorer.similarities(np.arange(count)))


@pytest.mark.parametrize(
    "parameters", [{}, {"min_df": 1}, {"ngrams": 2, "min_df": 1}, {"sublinear_tf": False}, {"max_features": 2}], ids=str
)
def test_texts_are_as_alike_as_scikit_learn_says(parameters: dict[str, Any]) -> None:
    plain = {**check("content", {}), **parameters}
    vectorizer = TfidfVectorizer(
        min_df=plain["min_df"], max_features=plain["max_features"], ngram_range=(1, plain["ngrams"]), sublinear_tf=plain["sublinear_tf"]
    )
    wanted = cosine_similarity(vectorizer.fit_transform(TEXTS))
    bundle = trained(dataset(categories=[()] * 7), **parameters).bundle
    np.testing.assert_allclose(alike(bundle), wanted, atol=1e-6)
    terms = bundle.arrays["terms.utf8"].tobytes().decode()
    offsets = bundle.arrays["terms.offsets"].tolist()
    assert [terms[a:b] for a, b in pairwise(offsets)] == vectorizer.get_feature_names_out().tolist()
    np.testing.assert_allclose(bundle.arrays["terms.idf"], vectorizer.idf_)


def test_categories_count_as_much_as_they_are_said_to() -> None:
    only = alike(trained(dataset(texts=[""] * 7)).bundle)
    half = 1.0 / np.sqrt(2.0)
    assert only[0, 1] == pytest.approx(half) and only[2, 3] == pytest.approx(1.0) and only[0, 2] == 0.0 and only[4, 4] == 0.0
    text = alike(trained(dataset(), category_weight=0.0).bundle)
    for weight in (1.0, 3.0):
        both = alike(trained(dataset(), category_weight=weight).bundle)
        assert both[0, 1] == pytest.approx((text[0, 1] + weight**2 * half) / (1.0 + weight**2), abs=1e-6)
    assert text[2, 3] < alike(trained(dataset()).bundle)[2, 3] < alike(trained(dataset(), category_weight=3.0).bundle)[2, 3]


def test_a_user_is_answered_by_the_mean_of_what_they_have() -> None:
    given = dataset()
    scorer: Any = open_scorer_of(trained(given).bundle)
    had = sorted({int(item) + 1 for item in given.interactions.items[given.interactions.users == 0]})
    (known,), (new,) = (scorer.recommend(query) for query in (Query(users=[1], k=7), Query(liked=had, k=7)))
    assert known.items == new.items
    np.testing.assert_allclose(known.scores, new.scores, atol=1e-6)


def test_weights_of_a_user_weigh_the_mean() -> None:
    given = data([(0, 0), (0, 3)], 1, 7, weights=[1.0, 7.0])
    given = replace(given, items=dataset().items)
    for how, weights in (("linear", [1.0, 7.0]), ("log", [1.0, 3.0]), ("equal", [1.0, 1.0])):
        bundle = trained(given, weights=how).bundle
        assert bundle.meta["weights"] == how  # what the user does later is weighed likewise
        scorer: Any = open_scorer_of(bundle)
        (answer,) = scorer.recommend(Query(users=[1], k=7))
        wanted = np.average(alike(bundle)[[0, 3]], axis=0, weights=weights)
        np.testing.assert_allclose(answer.scores, [wanted[item - 1] for item in answer.items], atol=1e-6)


@pytest.mark.parametrize(
    "items, parameters, message",
    [
        (None, {}, r"\[data\] items"),
        (Items([""] * 7, [()] * 7), {}, "neither text nor category"),
        (Items(["a b", *[""] * 6], [()] * 7), {}, "no term"),
        (Items([f"word{row}" for row in range(7)], [()] * 7), {}, "min_df"),
        (Items([""] * 7, [("water",)] * 7), {"category_weight": 0.0}, "category_weight is 0"),
    ],
)
def test_without_anything_told_there_is_no_such_model(items: Items | None, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(Untrainable, match=message):
        trained(replace(dataset(), items=items), **parameters)


def test_items_need_nobody_who_has_them() -> None:
    """A catalogue before its first user still has similar items."""
    given = replace(data([], 0, 7), items=dataset().items)
    scorer: Any = open_scorer_of(trained(given).bundle)
    (answer,) = scorer.recommend(Query(similar_to=3, k=2))
    assert answer.items[0] == 4
