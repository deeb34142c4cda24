"""Linear artifacts and bundles that contradict themselves: refused in words, and never a crash, a hang or a read out of bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, TweedieRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from models.base import InvalidQuery
from models.bundle import BadBundle, Bundle
from models.estimator import Signature
from models.linear.pack import matches, pack
from models.linear.score import open_scorer
from models.packing import NO_OPTIONS, PackError
from models.records import Array, DType, Record
from tests.artifacts.linear import FEATURES, features, target, wanted
from tests.unit.models.in_memory import records_of

MATRIX = features(60)


def regression() -> Any:
    return records_of(LinearRegression().fit(MATRIX, target(MATRIX)))


def logistic() -> Any:
    return records_of(LogisticRegression(max_iter=5000).fit(StandardScaler().fit_transform(MATRIX), wanted("words", MATRIX)))


def ridge() -> Any:
    return records_of(RidgeClassifier().fit(MATRIX, wanted("two", MATRIX)))


def tweedie() -> Any:
    return records_of(TweedieRegressor().fit(StandardScaler().fit_transform(MATRIX), target(MATRIX)))


def pipeline(*steps: Any) -> Any:
    return records_of(make_pipeline(*steps, LinearRegression()).fit(MATRIX, target(MATRIX)))


def with_state(record: Any, step: int | None = None, /, **changes: Any) -> Any:
    """The record with attributes changed, those that are ... removed; of a step of a Pipeline where one is named."""
    changed = record if step is None else record.attributes["steps"][step][1]
    state = {**changed.attributes, **changes}
    changed.__setstate__({name: value for name, value in state.items() if value is not ...})
    return record


def array(*values: Any) -> Array:
    return Array(np.array(values))


FITTED = ("mean_", "scale_", "var_", "n_samples_seen_", "n_features_in_")
SOME = (1.0,) * (FEATURES - 1)
NO_NUMBERS = np.full(FEATURES, np.nan)

FORGED: list[tuple[str, Callable[[], Any], str]] = [
    ("unfitted", lambda: records_of(LinearRegression()), "not_trained"),
    ("unfitted pipeline", lambda: records_of(make_pipeline(StandardScaler(), LinearRegression())), "not_trained"),
    ("unfitted scaler", lambda: with_state(pipeline(StandardScaler()), 0, **dict.fromkeys(FITTED, ...)), "not_trained"),
    ("no intercept", lambda: with_state(regression(), intercept_=...), "missing_keys"),
    ("no classes", lambda: with_state(logistic(), classes_=...), "missing_keys"),
    ("no labels in the binarizer", lambda: with_state(ridge(), classes_=..., _label_binarizer=None), "missing_keys"),
    ("other width", lambda: with_state(regression(), n_features_in_=FEATURES + 1), "corrupt_artifact"),
    ("huge width", lambda: with_state(regression(), n_features_in_=1 << 40), "corrupt_artifact"),
    ("coef of text", lambda: with_state(regression(), coef_=array(*"abcdef")), "corrupt_artifact"),
    ("coef of objects", lambda: with_state(regression(), coef_=Array.of_objects([1.0] * FEATURES, (FEATURES,))), "corrupt_artifact"),
    ("coef of no rank", lambda: with_state(regression(), coef_=Array(np.array(1.0))), "corrupt_artifact"),
    ("coef of rank 3", lambda: with_state(regression(), coef_=Array(np.zeros((1, 1, FEATURES)))), "corrupt_artifact"),
    ("coef without rows", lambda: with_state(regression(), coef_=Array(np.zeros((0, FEATURES)))), "corrupt_artifact"),
    ("coef without columns", lambda: with_state(regression(), coef_=Array(np.zeros(0)), n_features_in_=...), "not_trained"),
    ("coef of NaN", lambda: with_state(regression(), coef_=Array(np.full(FEATURES, np.nan))), "corrupt_artifact"),
    ("intercept of infinity", lambda: with_state(regression(), intercept_=float("inf")), "corrupt_artifact"),
    ("intercept beyond float64", lambda: with_state(regression(), intercept_=10**400), "corrupt_artifact"),
    ("intercept of text", lambda: with_state(regression(), intercept_="1"), "corrupt_artifact"),
    ("intercepts", lambda: with_state(regression(), intercept_=array(1.0, 2.0)), "corrupt_artifact"),
    ("intercept of rank 2", lambda: with_state(regression(), intercept_=Array(np.zeros((1, 1)))), "corrupt_artifact"),
    ("names", lambda: with_state(regression(), feature_names_in_=array("a")), "corrupt_artifact"),
    ("classes too few", lambda: with_state(logistic(), classes_=array(1, 2)), "corrupt_artifact"),
    ("classes of outputs", lambda: with_state(ridge(), classes_=[array(1, 2), array(1, 2)]), "corrupt_artifact"),
    ("classes of bytes", lambda: with_state(ridge(), classes_=array(b"a", b"b")), "unknown_format"),
    ("link", lambda: with_state(tweedie(), link="probit"), "corrupt_artifact"),
    ("power", lambda: with_state(tweedie(), power="1"), "corrupt_artifact"),
    ("mean too short", lambda: with_state(pipeline(StandardScaler()), 0, mean_=array(1.0)), "corrupt_artifact"),
    ("scale of text", lambda: with_state(pipeline(StandardScaler()), 0, scale_=array(*"abcdef")), "corrupt_artifact"),
    ("scaler of another width", lambda: with_state(pipeline("passthrough", StandardScaler()), 1, n_features_in_=3), "corrupt_artifact"),
    ("row of another width", lambda: with_state(pipeline(StandardScaler(), Normalizer()), 1, n_features_in_=3), "corrupt_artifact"),
    ("range of one", lambda: with_state(pipeline(MinMaxScaler(clip=True)), 0, feature_range=(1,)), "corrupt_artifact"),
    ("range of text", lambda: with_state(pipeline(MinMaxScaler(clip=True)), 0, feature_range=("a", "b")), "corrupt_artifact"),
    ("range of NaN", lambda: with_state(pipeline(MinMaxScaler(clip=True)), 0, feature_range=(float("nan"), 1)), "corrupt_artifact"),
    ("range beyond float64", lambda: with_state(pipeline(MinMaxScaler(clip=True)), 0, feature_range=(0, 10**400)), "corrupt_artifact"),
    ("norm", lambda: with_state(pipeline(Normalizer()), 0, norm="l3"), "corrupt_artifact"),
    ("norm of a list", lambda: with_state(pipeline(Normalizer()), 0, norm=["l1"]), "corrupt_artifact"),
    ("statistics too short", lambda: with_state(pipeline(SimpleImputer()), 0, statistics_=array(1.0)), "corrupt_artifact"),
    ("statistics of NaN", lambda: with_state(pipeline(SimpleImputer()), 0, statistics_=Array(NO_NUMBERS)), "corrupt_artifact"),
    ("statistics dropped", lambda: with_state(pipeline(SimpleImputer()), 0, statistics_=array(np.nan, *SOME)), "corrupt_artifact"),
    ("statistics infinite", lambda: with_state(pipeline(SimpleImputer()), 0, statistics_=array(np.inf, *SOME)), "corrupt_artifact"),
    ("missing beyond float64", lambda: with_state(pipeline(SimpleImputer()), 0, missing_values=10**400), "corrupt_artifact"),
]  # fmt: skip


@pytest.mark.parametrize("make, type", [(make, type) for _, make, type in FORGED], ids=[name for name, _, _ in FORGED])
def test_a_forged_artifact_is_refused_in_words(make: Callable[[], Any], type: str) -> None:
    root = make()
    assert matches(root) is not None
    with pytest.raises(PackError) as caught:
        pack(root, NO_OPTIONS)
    assert caught.value.type == type and caught.value.message


def test_a_ridge_classifier_of_older_sklearn_keeps_its_classes_in_its_binarizer() -> None:
    older = with_state(ridge(), classes_=...)
    assert open_scorer(pack(older, NO_OPTIONS)).signature.classes == (-2, 7)


def test_pipelines_that_are_none_match_nothing() -> None:
    def of(steps: Any) -> Any:
        return with_state(pipeline(), steps=steps)

    model = regression()
    itself = of([])
    with_state(itself, steps=[("a", itself), ("b", model)])
    many = of([("a", "passthrough")])
    for _ in range(12):
        many = of([("a", many)] * 300)
    malformed: list[Any] = [[], None, "ab", [model], [("a",)], [("a", 3)], [("a", {})], [("a", model), ("b", model)], [("a", None)]]
    for root in (*map(of, malformed), itself, many, of([("a", None)] * 300 + [("b", model)])):
        assert matches(root) is None
        with pytest.raises(PackError) as caught:
            pack(root, NO_OPTIONS)
        assert caught.value.type == "unknown_format"


def test_an_imputer_of_what_is_no_number_matches_nothing() -> None:
    for dtype in (DType("no dtype"), DType("O"), DType("U3"), "f8", 3):
        assert matches(with_state(pipeline(SimpleImputer()), 0, _fill_dtype=dtype)) is None
    for statistics in (Array.of_objects(["a"] * FEATURES, (FEATURES,)), Array.of_objects([10**400] * FEATURES, (FEATURES,)), [1.0], None):
        assert matches(with_state(pipeline(SimpleImputer()), 0, statistics_=statistics)) is None
    for missing in (None, "?", True, Record()):
        assert matches(with_state(pipeline(SimpleImputer()), 0, missing_values=missing)) is None


def test_classes_of_other_libraries_are_others() -> None:
    stranger = type("Record", (Record,), {"module": "posix", "name": "LinearRegression", "__slots__": ()})()
    stranger.__setstate__(regression().attributes)
    assert matches(stranger) is None


# -- bundles ------------------------------------------------------------------------------------------------------------

STEPS: list[dict[str, Any]] = [
    {"op": "keep", "by": "columns"},
    {"op": "subtract", "by": "mean"},
    {"op": "impute", "by": "mean", "missing": None},
    {"op": "clip", "low": -1.0, "high": 1.0},
    {"op": "normalize", "norm": "l2"},
]


def bundle(changes: dict[str, Any], arrays: dict[str, Any], signature: Signature) -> Bundle:
    made = {"coef": np.ones((3, 2)), "intercept": np.zeros(3), "columns": np.array([2, 0]), "mean": np.zeros(2), **arrays}
    meta = {"steps": STEPS, "output": "label", "link": "identity", "probability": "softmax", **signature.to_bundle()[1], **changes}
    return Bundle("linear", {name: value for name, value in made.items() if value is not None}, meta)


CLASSES = Signature(3, classes=("a", "b", "c"))


def test_the_bundle_that_is_forged_below_answers_as_it_is() -> None:
    answer = open_scorer(bundle({}, {}, CLASSES)).predict([[1, 2, 3]])
    assert answer.predictions == ["a"] and answer.probabilities == [[1 / 3] * 3]


@pytest.mark.parametrize(
    "changes, arrays, signature",
    [
        ({}, {"coef": None}, CLASSES),
        ({}, {"intercept": None}, CLASSES),
        ({}, {"coef": np.ones((3, 3))}, CLASSES),
        ({}, {"coef": np.ones((3, 2), int)}, CLASSES),
        ({}, {"coef": np.ones((0, 2)), "intercept": np.zeros(0)}, CLASSES),
        ({}, {"intercept": np.zeros(2)}, CLASSES),
        ({}, {"mean": np.zeros(3)}, CLASSES),
        ({}, {"mean": None}, CLASSES),
        ({}, {"columns": np.array([3, 0])}, CLASSES),
        ({}, {"columns": np.array([-1, 0])}, CLASSES),
        ({}, {"columns": np.array([0.0, 1.0])}, CLASSES),
        ({}, {"columns": np.zeros(0, int)}, CLASSES),
        ({}, {}, Signature(0, classes=("a", "b", "c"))),
        ({}, {}, Signature(3, classes=("a", "b"))),
        ({}, {}, Signature(3, classes=(("a", "b", "c"), ("a", "b", "c"), (1, 2, 3)), outputs=3)),
        ({}, {}, Signature(3)),
        ({"signature": None}, {}, CLASSES),
        ({"output": "value", "probability": None}, {}, CLASSES),
        ({"output": "value", "probability": None}, {}, Signature(3)),
        ({"output": "values"}, {}, Signature(3)),
        ({"output": "values", "probability": None}, {}, Signature(3, outputs=2)),
        ({"output": "more"}, {}, CLASSES),
        ({"output": ["label"]}, {}, CLASSES),
        ({"link": "probit"}, {}, CLASSES),
        ({"probability": "none"}, {}, CLASSES),
        ({"probability": ["softmax"]}, {}, CLASSES),
        ({"probability": "softmax_of_both"}, {}, CLASSES),
        ({"steps": None}, {}, CLASSES),
        ({"steps": [STEPS[0]] * 1000}, {}, CLASSES),
        ({"steps": ["keep"]}, {}, CLASSES),
        ({"steps": [{"op": "keep"}]}, {}, CLASSES),
        ({"steps": [{"op": ["add"], "by": "mean"}]}, {}, CLASSES),
        ({"steps": [STEPS[0], {"op": "reshape"}]}, {}, CLASSES),
        ({"steps": [STEPS[0], {"op": "add", "by": 3}]}, {}, CLASSES),
        ({"steps": [STEPS[0], {"op": "clip", "low": "a", "high": 1}]}, {}, CLASSES),
        ({"steps": [STEPS[0], {"op": "clip", "low": 0, "high": 10**400}]}, {}, CLASSES),
        ({"steps": [STEPS[0], {"op": "normalize", "norm": ["l2"]}]}, {}, CLASSES),
        ({"steps": [STEPS[0], {"op": "impute", "by": "mean", "missing": "none"}]}, {}, CLASSES),
    ],
)
def test_a_forged_bundle_is_refused(changes: dict[str, Any], arrays: dict[str, Any], signature: Signature) -> None:
    with pytest.raises(BadBundle):
        open_scorer(bundle(changes, arrays, signature))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e308])
def test_contents_that_make_no_answer_are_refused_by_row(value: float) -> None:
    scaled = bundle({"steps": [{"op": "keep", "by": "columns"}, {"op": "divide", "by": "mean"}]}, {"mean": np.full(2, value)}, CLASSES)
    weighed = bundle({}, {"coef": np.full((3, 2), value)}, CLASSES)
    for made in (scaled, weighed):
        with does_not_answer() as refusal:
            answer = open_scorer(made).predict([[1e300, 2, 1e300]])
            assert answer.probabilities is not None and np.isfinite(answer.probabilities).all()
        assert refusal in ([], ["instances[0]"])


@contextmanager
def does_not_answer() -> Iterator[list[str]]:
    """Lets a question be refused: the field."""
    fields: list[str] = []
    try:
        yield fields
    except InvalidQuery as error:
        fields.append(error.field)
