"""Linear models beside sklearn: every estimator, transformer and kind of target on 1,000 rows, and what rows may hold.

Does not cover: forged artifacts and bundles (`test_linear_forged`).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, StandardScaler

from models.base import InvalidQuery
from models.linear.pack import matches, pack
from models.linear.score import LinearScorer, decisions, open_scorer, warm
from models.packing import NO_OPTIONS
from tests.artifacts.linear import COLUMNS, FEATURES, NAMES, ROWS, features, fitted, target, wanted
from tests.unit.models.in_memory import records_of


def scorer_of(estimator: Any) -> LinearScorer:
    root = records_of(estimator)
    assert matches(root) is not None
    return open_scorer(pack(root, NO_OPTIONS))


def assert_as_sklearn(answer: Any, predictions: Any, probabilities: Any) -> None:
    if predictions.dtype.kind == "f" and probabilities is None and answer.classes is None:
        assert np.shape(answer.predictions) == predictions.shape
        np.testing.assert_allclose(answer.predictions, predictions, rtol=1e-9, atol=1e-11)
    else:
        assert answer.predictions == predictions.tolist()
        assert list(map(type, answer.predictions)) == list(map(type, predictions.tolist()))
    if probabilities is None:
        assert answer.probabilities is None
    else:
        np.testing.assert_allclose(answer.probabilities, probabilities, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_rows_are_answered_as_sklearn_answers_them(name: str) -> None:
    made = fitted(name)
    scorer = scorer_of(made.estimator)
    answer = scorer.predict(made.rows)
    assert len(answer.predictions) == ROWS
    assert_as_sklearn(answer, made.predictions, made.probabilities)
    if made.probabilities is not None:
        assert answer.classes == made.estimator.classes_.tolist()
    for at in range(0, ROWS, 97):
        alone = scorer.predict([made.rows[at]])
        assert alone.predictions[0] == answer.predictions[at]
        assert alone.probabilities is None or answer.probabilities is None or alone.probabilities[0] == answer.probabilities[at]
    assert warm(scorer) == {}


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 9, 127, 129, 1000, 20_001])
@pytest.mark.parametrize("outputs", [1, 2, 5, 130])
def test_a_row_s_sums_are_its_own_bit_for_bit(columns: int, outputs: int) -> None:
    rng = np.random.default_rng(columns)
    rows, coef, intercept = rng.normal(size=(67, columns)), rng.normal(size=(outputs, columns)), rng.normal(size=outputs)
    together = decisions(rows, coef, intercept)
    for at in range(0, 67, 11):
        np.testing.assert_array_equal(decisions(rows[at : at + 1], coef, intercept)[0], together[at])
        np.testing.assert_array_equal(decisions(rows[at:], coef, intercept)[0], together[at])
    np.testing.assert_allclose(together, rows @ coef.T + intercept, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("automatic", ["ovr", "multinomial", "auto", "deprecated"])
def test_logistic_models_of_older_sklearn_keep_their_rule(automatic: str) -> None:
    """Until 1.7 a parameter chose between one-vs-rest and softmax; the formulas are those of its predict_proba."""
    matrix = (features(200) - [40, 5e4, 9, 0.5, 0, 2]) / [10, 3e4, 4, 0.1, 1, 1]
    for kind in ("two", "words"):
        model = LogisticRegression().fit(matrix, wanted(kind, features(200)))
        model.multi_class = automatic
        decision = model.decision_function(matrix)
        is_ovr = automatic == "ovr" or (automatic != "multinomial" and kind == "two")
        if is_ovr:
            expected = model._predict_proba_lr(matrix)
        else:
            both = np.stack([-decision, decision], axis=1) if decision.ndim == 1 else decision
            powers = np.exp(both)
            expected = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.array(scorer_of(model).predict(matrix.tolist()).probabilities), expected, rtol=1e-9)


def test_probabilities_that_are_all_zero_become_uniform() -> None:
    for loss in ("log_loss", "modified_huber"):
        model = SGDClassifier(loss=loss).fit(features(200), wanted("words", features(200)))
        model.coef_[:], model.intercept_[:] = 0.0, -1e4
        expected = model.predict_proba(features(5))
        answer = scorer_of(model).predict(features(5).tolist())
        assert answer.probabilities == expected.tolist() == [[1 / 3] * 3] * 5


def test_an_imputer_drops_what_it_never_saw() -> None:
    matrix = features(300, missing=True).copy()
    matrix[:, 2] = np.nan
    asked = features(ROWS, missing=True, seed=2)
    for scaler in (StandardScaler(), MinMaxScaler()):
        for imputer in (SimpleImputer(), SimpleImputer(strategy="constant"), SimpleImputer(keep_empty_features=True)):
            model = make_pipeline(scaler, imputer, Ridge())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # each call says which columns are skipped
                predictions = model.fit(matrix, target(matrix)).predict(asked)
            scorer = scorer_of(model)
            assert_as_sklearn(scorer.predict([[None if v != v else v for v in row] for row in asked.tolist()]), predictions, None)
            assert scorer.details["features"] == FEATURES and scorer.signature.takes_nan


def test_missing_values_may_be_a_number() -> None:
    matrix = np.where(np.isnan(features(300, missing=True)), -1.0, features(300, missing=True))
    model = make_pipeline(SimpleImputer(missing_values=-1, strategy="median"), LinearRegression()).fit(matrix, target(matrix))
    scorer = scorer_of(model)
    assert_as_sklearn(scorer.predict(matrix.tolist()), model.predict(matrix), None)
    with pytest.raises(InvalidQuery, match="missing values"):
        scorer.predict([[None] * FEATURES])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_statistics_of_other_numbers_fill_as_they_did_in_training(dtype: Any, strategy: str) -> None:
    matrix = features(300).astype(dtype)
    model = make_pipeline(SimpleImputer(strategy=strategy), StandardScaler(), Ridge()).fit(matrix, target(features(300)))
    if dtype is np.float32:
        model[0].statistics_ = model[0].statistics_.astype(np.float64) + 1e-4 / 3  # float64 beyond what the imputer fills with
    asked = features(50, missing=True)
    answer = scorer_of(model).predict([[None if v != v else v for v in row] for row in asked.tolist()])
    assert_as_sklearn(answer, model.predict(asked), None)


def test_missing_values_are_taken_only_where_an_imputer_comes_first() -> None:
    matrix, value = features(200), target(features(200))
    for model, takes in (
        (Ridge(), False),
        (make_pipeline(StandardScaler(), Ridge()), False),
        (make_pipeline(Normalizer(), SimpleImputer(), Ridge()), False),
        (make_pipeline(StandardScaler(), SimpleImputer(), Ridge()), True),
    ):
        scorer = scorer_of(model.fit(matrix, value))
        assert scorer.signature.takes_nan is takes
        rows = [matrix[0].tolist(), [None, *matrix[1, 1:].tolist()]]
        if takes:
            assert len(scorer.predict(rows).predictions) == 2
        else:
            with pytest.raises(InvalidQuery) as caught:
                scorer.predict(rows)
            assert caught.value.field == "instances[1][0]"


def test_rows_by_name_are_the_same_rows() -> None:
    made = fitted("names")
    scorer = scorer_of(made.estimator)
    by_name = [dict(reversed(list(zip(COLUMNS, row, strict=True)))) for row in made.rows[:5]]
    assert scorer.predict([*by_name, *made.rows[5:10]]) == scorer.predict(made.rows[:10])
    with pytest.raises(InvalidQuery) as caught:
        scorer.predict([made.rows[0], {**by_name[0], "income": "high"}])
    assert caught.value.field == "instances[1].income"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # sklearn's own, of exp
def test_an_answer_that_json_cannot_say_is_refused_by_its_row() -> None:
    model = PoissonRegressor().fit(features(200)[:, :1] / 40, np.exp(features(200)[:, 0] / 40))
    scorer = scorer_of(model)
    with pytest.raises(InvalidQuery) as caught:
        scorer.predict([[1.0], [1e6], [2.0]])
    assert not np.isfinite(model.predict([[1e6]])[0]) and caught.value.field == "instances[1]"
    scaled = scorer_of(make_pipeline(StandardScaler(), LogisticRegression()).fit(features(200)[:, 3:4] / 1e3, wanted("two", features(200))))
    with pytest.raises(InvalidQuery) as caught:
        scaled.predict([[1e308]])
    assert caught.value.field == "instances[0]"


def test_a_dict_around_the_model_is_taken_and_what_lies_beside_it_is_warned_of() -> None:
    matrix, value = features(200), target(features(200))
    model, scaler = Ridge().fit(matrix, value), StandardScaler().fit(matrix)
    for key in ("model", "estimator", "regressor", "pipeline"):
        bundle = pack(records_of({key: model, "trained_at": "2026-01-01", "metrics": {"r2": 0.9}}), NO_OPTIONS)
        assert "warnings" not in bundle.details and bundle.details["model"].endswith(".Ridge")
    root = records_of({"scaler": scaler, "model": model})
    bundle = pack(root, NO_OPTIONS)
    assert "scaler (StandardScaler)" in bundle.details["warnings"][0] and bundle.details["steps"] == []
    assert matches(root) is not None and "dict" in (matches(root) or "")


def test_what_is_not_linear_is_left_to_others() -> None:
    matrix, value = features(200), target(features(200))
    texts, topics = make_multilabel_classification(100, 5, n_classes=3, random_state=0)
    left = [
        make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge()).fit(matrix, value),
        make_pipeline(SimpleImputer(add_indicator=True), Ridge()).fit(features(200, missing=True), value),
        make_pipeline(SimpleImputer(strategy="most_frequent"), Ridge()).fit(matrix.astype(object), value),
        make_pipeline(StandardScaler()).fit(matrix),
        RidgeClassifier().fit(texts, topics),
        RidgeClassifier().fit(matrix, ["all"] * len(matrix)),
        SGDClassifier().fit(matrix, wanted("two", matrix)).sparsify(),
        {"model": "a name"},
        {"weights": [1.0]},
        [1.0],
    ]
    assert [matches(records_of(each)) for each in left] == [None] * len(left)


def test_what_a_status_page_shows() -> None:
    scorer = scorer_of(fitted("nested").estimator)
    assert scorer.details == {
        "model": "sklearn.linear_model._ridge.Ridge",
        "features": FEATURES,
        "outputs": 1,
        "steps": ["SimpleImputer", "StandardScaler", "Normalizer", "MaxAbsScaler"],
    }
    assert scorer_of(fitted("names").estimator).details["classes"] == ["high", "low", "middle"]
    assert scorer.cost_of([[0.0] * FEATURES] * 3) == 3 * scorer.cost_of([[0.0] * FEATURES]) > 0
    assert scorer.ids_in_words() == {}
