"""Trees beside sklearn: every estimator, loss and kind of label on 1,000 rows, and what rows may hold.

Does not cover: forged artifacts and bundles (`test_trees_forged`).
"""

from __future__ import annotations

import pickle
from itertools import chain
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from models.base import InvalidQuery
from models.packing import NO_OPTIONS, PackError
from models.records import Array, Record
from models.trees import score as score_module
from models.trees.pack import matches, pack
from models.trees.score import TreeScorer, open_scorer
from models.trees.walking import sum_in_order
from tests.artifacts.trees import FEATURES, NAMES, ROWS, features, fitted, labels
from tests.unit.models.in_memory import records_of


def scorer_of(estimator: Any) -> TreeScorer:
    root = records_of(estimator)
    assert matches(root) is not None
    return open_scorer(pack(root, NO_OPTIONS))


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_rows_are_answered_as_sklearn_answers_them(name: str) -> None:
    made = fitted(name)
    answer = scorer_of(made.estimator).predict(made.rows)
    assert len(answer.predictions) == ROWS
    if made.probabilities is None:
        np.testing.assert_allclose(np.array(answer.predictions), made.predictions, rtol=1e-6, atol=1e-9)
        assert answer.probabilities is None and answer.classes is None
        return
    assert answer.predictions == made.predictions.tolist()
    assert list(map(type, answer.predictions)) == list(map(type, made.predictions.tolist()))
    outputs = made.probabilities if isinstance(made.probabilities, list) else [made.probabilities]
    assert answer.probabilities is not None and answer.classes is not None
    for at, wanted in enumerate(outputs):
        several = len(outputs) > 1
        found = np.array([row[at] if several else row for row in answer.probabilities])
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
        classes = made.estimator.classes_[at] if several else made.estimator.classes_
        assert (answer.classes[at] if several else answer.classes) == classes.tolist()


@pytest.mark.parametrize(
    "name", ["forest-value", "forest-pairs", "decision-tree-value", "gradient-words", "histogram-towns", "histogram-poisson"]
)
def test_a_row_alone_and_any_slice_of_rows_give_the_very_same_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fitted(name)
    scorer = scorer_of(made.estimator)
    whole = scorer.predict(made.rows)
    for count in (1, 2, 3, 7):
        part = scorer.predict(made.rows[:count])
        assert part.predictions == whole.predictions[:count] and part.probabilities == (whole.probabilities and whole.probabilities[:count])
    monkeypatch.setattr(score_module, "_CELLS", 700)
    sliced = scorer_of(made.estimator)
    at_once: list[int] = []
    walk = sliced._sums

    def counted(matrix: Any) -> Any:
        at_once.append(len(matrix))
        return walk(matrix)

    monkeypatch.setattr(sliced, "_sums", counted)
    assert sliced.predict(made.rows) == whole
    assert sum(at_once) == ROWS and max(at_once) == max(1, 700 // sliced.details["trees"])


def test_rows_that_end_early_are_left_out_of_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    made = fitted("extra-trees")
    monkeypatch.setattr("models.trees.walking._WORTH_LEAVING", 1)
    answer = scorer_of(made.estimator).predict(made.rows)
    np.testing.assert_allclose(np.array(answer.probabilities), made.probabilities, rtol=1e-6)
    assert scorer_of(made.estimator).predict(made.rows[:1]).probabilities == (answer.probabilities or [])[:1]


@pytest.mark.parametrize("cells", [1, 2, 3, 17])
def test_sums_are_those_of_one_addition_after_the_other(cells: int) -> None:
    parts = np.random.default_rng(0).normal(size=(1000, cells)) * 10.0 ** np.random.default_rng(1).integers(-9, 9, (1000, cells))
    wanted = np.zeros(cells)
    for part in parts:
        wanted = wanted + part
    np.testing.assert_array_equal(sum_in_order(parts), wanted)


def test_a_value_on_the_threshold_of_float32_goes_left_as_in_sklearn() -> None:
    matrix = np.array([[0.1], [0.2], [0.3], [0.7]])
    estimator = DecisionTreeClassifier().fit(matrix, [0, 0, 1, 1])
    asked = np.array([[threshold + step] for threshold in estimator.tree_.threshold for step in (-1e-9, 0.0, 1e-9, 1e-7)])
    assert scorer_of(estimator).predict(asked.tolist()).predictions == estimator.predict(asked).tolist()


@pytest.mark.parametrize("name", ["gradient", "histogram", "forest-even"])
def test_ties_are_broken_as_in_sklearn(name: str) -> None:
    rows = np.zeros((4, 1))
    kinds = {
        "gradient": GradientBoostingClassifier(init="zero"),
        "histogram": HistGradientBoostingClassifier(),
        "forest-even": RandomForestClassifier(4),
    }
    estimator = kinds[name].fit(rows, ["no", "no", "yes", "yes"])
    if name == "forest-even":
        for at, part in enumerate(estimator.estimators_):
            part.tree_.value[:] = [[0.5, 0.5]] if at < 2 else [[1.0, 0.0]] if at == 2 else [[0.0, 1.0]]
    wanted, answer = estimator.predict_proba(rows[:1]), scorer_of(estimator).predict([[0.0]])
    assert answer.probabilities == wanted.tolist() == [[0.5, 0.5]] and answer.predictions == estimator.predict(rows[:1]).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_missing_values_are_taken_where_sklearn_takes_them(name: str) -> None:
    made = fitted(name)
    if "towns" in name:
        return
    row = [0.5, None, 0.5, 0.5, 0.5]
    scorer = scorer_of(made.estimator)
    try:
        wanted = made.estimator.predict(np.array([row], float))
    except ValueError:
        with pytest.raises(InvalidQuery) as caught:
            scorer.predict([[0.5] * FEATURES, row])
        assert caught.value.field == "instances[1][1]"
    else:
        np.testing.assert_array_equal(np.array(scorer.predict([row]).predictions), wanted)


def test_which_estimators_take_missing_values_is_as_expected() -> None:
    """So that the test above cannot pass by one answer for all."""
    taking = {
        name: scorer_of(fitted(name).estimator)._signature.takes_nan
        for name in ("forest", "extra-tree", "extra-tree-best", "gradient", "histogram")
    }
    assert taking == {"forest": True, "extra-tree": True, "extra-tree-best": False, "gradient": False, "histogram": True}


def test_a_number_beyond_float32_is_refused_where_sklearn_refuses_it() -> None:
    row = [0.0, 1e39, 0.0, 0.0, 0.0]
    for name in ("forest", "gradient"):
        with pytest.raises(ValueError, match="float32"), np.errstate(over="ignore"):
            fitted(name).estimator.predict([row])
        with pytest.raises(InvalidQuery) as caught:
            scorer_of(fitted(name).estimator).predict([row])
        assert caught.value.field == "instances[0][1]"
    made = fitted("histogram")
    assert scorer_of(made.estimator).predict([row]).predictions == made.estimator.predict([row]).tolist()


def test_rows_by_name_give_what_rows_by_place_give() -> None:
    made = fitted("histogram-towns")
    names = list(made.estimator.feature_names_in_)
    scorer = scorer_of(made.estimator)
    assert scorer.predict([dict(zip(names, row, strict=True)) for row in made.rows[:50]]) == scorer.predict(made.rows[:50])


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ([1.0, 3, 1.0, 1.0, 1.0], "instances[0][1]"),
        ({"age": 1.0, "town": True, "height": 1.0, "shop": 1.0, "load": 1.0}, "instances[0].town"),
        ({"age": "Oslo", "town": "Oslo", "height": 1.0, "shop": 1.0, "load": 1.0}, "instances[0].age"),
        ([1.0, "Oslo", 1.0, "Oslo", 1.0], "instances[0][3]"),
        ([1.0, ["Oslo"], 1.0, 1.0, 1.0], "instances[0][1]"),
        ([1.0], "instances[0]"),
        ([1.0, 3.0], "instances[0]"),
        ({"age": 1.0}, "instances[0]"),
        ("Oslo", "instances[0]"),
    ],
)
def test_what_is_no_category_is_refused_by_field(row: Any, field: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        scorer_of(fitted("histogram-towns").estimator).predict([row])
    assert caught.value.field == field


def test_categories_from_before_the_encoder_are_their_own_codes() -> None:
    """sklearn 1.3 and older passed values to the trees as they are: what 1.9 does for an estimator without a preprocessor."""
    estimator = pickle.loads(pickle.dumps(fitted("histogram-codes").estimator))
    codes = features(ROWS, missing=True, seed=5).copy()
    rng = np.random.default_rng(6)
    codes[:, 1], codes[:, 3] = rng.integers(-2, 9, ROWS), rng.integers(-2, 60, ROWS) + 0.5
    order = np.array([1, 3, 0, 2, 4])  # today's trees have the categories first, those of then had them where they are
    mapper = estimator._bin_mapper
    for predictor in chain.from_iterable(estimator._predictors):
        predictor.nodes["feature_idx"] = order[predictor.nodes["feature_idx"]]
    mapper.is_categorical_ = estimator.is_categorical_
    mapper.bin_thresholds_ = [mapper.bin_thresholds_[position] for position in np.argsort(order)]
    estimator._preprocessor = None
    rows = [[None if value != value else value for value in row] for row in codes.tolist()]
    np.testing.assert_allclose(np.array(scorer_of(estimator).predict(rows).probabilities), estimator.predict_proba(codes), rtol=1e-6)


def test_counts_in_leaves_from_before_1_3_are_shares() -> None:
    made = fitted("forest-several")
    root = records_of(made.estimator)
    for member in root.attributes["estimators_"]:
        state = member.attributes["tree_"].state
        weights = state["nodes"].values["weighted_n_node_samples"]
        state["values"] = Array(state["values"].values * weights[:, np.newaxis, np.newaxis])
        named = [name for name in state["nodes"].values.dtype.names if name != "missing_go_to_left"]
        state["nodes"] = Array(state["nodes"].values[named])
    scorer = open_scorer(pack(root, NO_OPTIONS))
    full = features(ROWS, seed=1)
    found = scorer.predict(full.tolist())
    for at, wanted in enumerate(made.estimator.predict_proba(full)):
        np.testing.assert_allclose(np.array([row[at] for row in found.probabilities or []]), wanted, rtol=1e-6)
    with pytest.raises(InvalidQuery, match="missing"):
        scorer.predict([[None] * FEATURES])


def test_a_table_of_trees_in_the_order_of_columns_is_read_round_after_round() -> None:
    made = fitted("gradient-words")
    root = records_of(made.estimator)
    table = root.state["estimators_"]
    rounds, sums = table.shape
    turned = Array.of_objects([table.objects[round * sums + at] for at in range(sums) for round in range(rounds)], table.shape)
    turned.fortran = True
    root.state["estimators_"] = turned
    answer = open_scorer(pack(root, NO_OPTIONS)).predict(made.rows)
    np.testing.assert_allclose(np.array(answer.probabilities), made.probabilities, rtol=1e-6)


@pytest.mark.parametrize("key", ["model", "estimator", "classifier", "regressor", "pipeline"])
def test_an_estimator_in_a_dict_is_found_and_what_is_left_out_is_said(key: str) -> None:
    made = fitted("gradient")
    alone = records_of({key: made.estimator, "accuracy": 0.9, "feature_list": ["a"], "date": np.float64(3)})
    assert "dict" in (matches(alone) or "") and "warnings" not in pack(alone, NO_OPTIONS).details
    scaled = records_of({key: made.estimator, "scaler": StandardScaler().fit(features(10))})
    (warning,) = pack(scaled, NO_OPTIONS).details["warnings"]
    assert "scaler (sklearn.preprocessing._data.StandardScaler)" in warning


def test_what_must_run_to_answer_is_left_to_others() -> None:
    matrix = features(60)
    begun = GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()).fit(matrix, labels("two", matrix))
    drawn = GradientBoostingClassifier(n_estimators=2, init=DummyClassifier(strategy="stratified")).fit(matrix, labels("two", matrix))
    one = HistGradientBoostingClassifier(max_iter=2).fit(matrix, ["all"] * len(matrix))
    for artifact in (begun, drawn, one, LogisticRegression(), {"model": begun}, {"forest": fitted("forest").estimator}):
        assert matches(records_of(artifact)) is None
    for root in (None, [1], "model", Record(), {"model": None}):
        assert matches(root) is None
    stranger = records_of(fitted("forest").estimator)
    type(stranger).module = "somebody.forest"
    assert matches(stranger) is None


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(),
        ExtraTreeClassifier(),
        RandomForestClassifier(),
        GradientBoostingClassifier(),
        HistGradientBoostingRegressor(),
    ],
)
def test_what_was_saved_before_fit_is_not_trained(estimator: Any) -> None:
    root = records_of(estimator)
    assert matches(root) is not None
    with pytest.raises(PackError) as caught:
        pack(root, NO_OPTIONS)
    assert caught.value.type == "not_trained"


def test_details_are_what_a_status_page_shows() -> None:
    details = scorer_of(fitted("forest").estimator).details
    assert {key: details[key] for key in ("features", "outputs", "classes", "trees")} == {
        "features": FEATURES, "outputs": 1, "classes": ["high", "low", "middle"], "trees": 15}  # fmt: skip
    assert details["model"].endswith("RandomForestClassifier") and details["nodes"] > 15 and details["depth"] > 1
    assert scorer_of(fitted("histogram-towns").estimator).details["categorical_features"] == 2
