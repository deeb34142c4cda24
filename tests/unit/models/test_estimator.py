"""The signature of an estimator: rows checked cell by cell, the way it travels, and what records of sklearn tell of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from models.base import InvalidQuery
from models.bundle import BadBundle, Bundle
from models.estimator import Signature
from models.estimator_records import (
    as_number,
    classes_of,
    features_of,
    is_sklearn,
    left_aside,
    names_of,
    require,
    signature_of,
    unwrap,
)
from models.packing import PackError
from models.records import Array, Record
from tests.unit.models.in_memory import records_of

PLAIN = Signature(3)
NAMED = Signature(3, ("age", "income", "town size"))
MISSING = Signature(3, ("age", "income", "town size"), takes_nan=True)
TEXT = Signature(3, ("age", "income", "town size"), takes_text=True, takes_nan=True)


def refused(signature: Signature, instances: Any, *, rows: bool = False) -> tuple[str, str]:
    with pytest.raises(InvalidQuery) as caught:
        signature.rows(instances) if rows else signature.matrix(instances)
    return caught.value.field, caught.value.message


# -- rows that are taken ------------------------------------------------------------------------------------------------


def test_numbers_become_a_matrix_of_its_own() -> None:
    instances: list[Any] = [[1, 2.5, True], (False, -0.0, 2**70)]
    matrix = PLAIN.matrix(instances)
    assert matrix.dtype == np.float64 and matrix.flags.c_contiguous and matrix.flags.writeable
    np.testing.assert_array_equal(matrix, [[1, 2.5, 1], [0, 0, 2.0**70]])
    np.testing.assert_array_equal(PLAIN.matrix([list(np.array([1.5, 2, 3]))]), [[1.5, 2, 3]])


def test_rows_by_name_and_by_place_may_mix() -> None:
    matrix = NAMED.matrix([{"town size": 3, "age": 1, "income": 2}, [4, 5, 6]])
    np.testing.assert_array_equal(matrix, [[1, 2, 3], [4, 5, 6]])


def test_null_is_nan_where_the_model_takes_it() -> None:
    matrix = MISSING.matrix([[None, 1, 2], {"age": 1, "income": None, "town size": float("nan")}])
    np.testing.assert_array_equal(np.isnan(matrix), [[True, False, False], [False, True, True]])


def test_rows_keep_their_values_for_a_model_that_takes_text() -> None:
    instances = [[1, "low", None], {"income": "high", "age": True, "town size": 2.5}]
    assert TEXT.rows(instances) == [[1, "low", None], [True, "high", 2.5]]
    assert NAMED.rows([[1, 2, True]]) == [[1, 2, True]]


def test_a_model_that_does_not_say_its_width_takes_rows_of_one_width() -> None:
    anything = Signature(0, takes_text=True)
    assert anything.rows([["a"], ["b"]]) == [["a"], ["b"]]
    assert refused(anything, [["a"], ["b", "c"]], rows=True)[0] == "instances[1]"
    assert refused(anything, [[]], rows=True)[0] == "instances[0]"
    assert refused(anything, [{"a": 1}], rows=True)[0] == "instances[0]"


# -- rows that are not --------------------------------------------------------------------------------------------------

ONES: list[Any] = [1, 1, 1]


@pytest.mark.parametrize(
    "instances, field",
    [
        ([], "instances"),
        (None, "instances"),
        ("123", "instances"),
        ({"age": 1}, "instances"),
        ([ONES, 7], "instances[1]"),
        ([ONES, "abc"], "instances[1]"),
        ([ONES, None], "instances[1]"),
        ([ONES, [1, 1]], "instances[1]"),
        ([ONES, [1, 1, 1, 1]], "instances[1]"),
        ([ONES, []], "instances[1]"),
        ([ONES, {}], "instances[1]"),
        ([ONES, [1, "1", 1]], "instances[1][1]"),
        ([ONES, [1, [1], 1]], "instances[1][1]"),
        ([ONES, [1, {}, 1]], "instances[1][1]"),
        ([ONES, [1, 1, None]], "instances[1][2]"),
        ([ONES, [1, 1, float("nan")]], "instances[1][2]"),
        ([ONES, [1, 1, float("inf")]], "instances[1][2]"),
        ([ONES, [float("-inf"), 1, 1]], "instances[1][0]"),
        ([ONES, [1, 10**400, None]], "instances[1][1]"),
        ([[[1, 1, 1]]], "instances[0]"),
        ([[[1], [1], [1]]], "instances[0][0]"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(instances: Any, field: str) -> None:
    assert refused(PLAIN, instances)[0] == field
    assert refused(PLAIN, instances, rows=True)[0] == field


@pytest.mark.parametrize(
    "row, field, words",
    [
        ({"age": 1, "income": 2}, "instances[0]", "lacks town size"),
        ({"town size": 1}, "instances[0]", "lacks age, income"),
        ({"age": 1, "income": 2, "town size": 3, "town": 4, "shop": 5}, "instances[0].town", "no feature town, shop"),
        ({"age": 1, "Income": 2}, "instances[0].Income", "lacks income, town size"),
        ({"age": 1, "income": "2", "town size": 3}, "instances[0].income", "not a string"),
        ({"age": 1, "income": 2, "town size": None}, "instances[0].town size", "missing values"),
        ({"age": 1, "income": 2, "town size": 1e999}, "instances[0].town size", "not finite"),
        ([1, 2], "instances[0]", "has 2 values, the model takes 3 (age, income, town size)"),
    ],
)
def test_rows_by_name_are_refused_by_name(row: Any, field: str, words: str) -> None:
    found, message = refused(NAMED, [row])
    assert found == field and words in message


def test_objects_for_a_model_without_names_say_so() -> None:
    field, message = refused(PLAIN, [{"a": 1}])
    assert field == "instances[0]" and "no feature names" in message


def test_text_and_missing_values_do_not_hide_what_is_wrong_beside_them() -> None:
    assert refused(TEXT, [["a", 1e999, None]], rows=True)[0] == "instances[0][1]"
    assert refused(TEXT, [["a", 1, []]], rows=True)[0] == "instances[0][2]"
    assert refused(TEXT, [{"age": "a", "income": 10**400, "town size": 1}], rows=True)[0] == "instances[0].income"
    assert refused(Signature(3, takes_text=True), [["a", 1, None]], rows=True)[0] == "instances[0][2]"


def test_what_float32_cannot_hold_is_refused_where_the_model_computes_in_it() -> None:
    narrow = Signature(2, float32_range=True, takes_nan=True)
    largest = float(np.finfo(np.float32).max)
    rounds_down = np.nextafter((2.0 - 2.0**-24) * 2.0**127, 0)
    with np.errstate(over="ignore"):
        assert np.float32(rounds_down) == np.float32(largest)
        assert np.isinf(np.float32(np.nextafter(rounds_down, np.inf)))
    assert narrow.matrix([[largest, None], [-rounds_down, 0]]).shape == (2, 2)
    assert refused(narrow, [[0, None], [0, -float(np.nextafter(rounds_down, np.inf))]])[0] == "instances[1][1]"
    assert PLAIN.matrix([[1e300, 1, 1]])[0, 0] == 1e300


def test_a_message_names_a_hundred_at_most() -> None:
    wide = Signature(500, tuple(f"column {at}" for at in range(500)))
    message = refused(wide, [{}])[1]
    assert "column 99 and 400 more" in message and len(message) < 3000
    assert len(refused(wide, [{"x" * 10_000: 1}])[0]) < 200


# -- in a bundle --------------------------------------------------------------------------------------------------------

SIGNATURES = [
    PLAIN,
    MISSING,
    TEXT,
    Signature(0),
    Signature(2, classes=("a", 1, 2.5, True), float32_range=True),
    Signature(2, classes=(("a", "b"), (1, 2, 3)), outputs=2),
    Signature(4000, tuple(f"właściwość {at}" for at in range(4000)), classes=tuple(range(5000))),
]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_travels_in_a_bundle(signature: Signature) -> None:
    arrays, meta = signature.to_bundle()
    assert len(json.dumps(meta)) < 10_000  # the header of a segment is 64 KiB for everything
    found = Signature.of_bundle(Bundle("linear", arrays, json.loads(json.dumps(meta))))
    assert found == signature and hash(found) == hash(signature)
    assert Signature.from_meta(json.loads(json.dumps(signature.to_meta()))) == signature
    assert len(json.dumps(signature.details())) < 10_000


@pytest.mark.parametrize(
    "change",
    [
        {"features": -1},
        {"features": True},
        {"features": 2.0},
        {"features": 1 << 50},
        {"outputs": 0},
        {"outputs": "1"},
        {"takes_nan": 1},
        {"takes_text": None},
        {"float32_range": "no"},
        {"names": ["a", "b"]},
        {"names": ["a", "b", 3]},
        {"names": ["a", "b", "a"]},
        {"names": ["a", "b", "\ud800"]},
        {"names": "abc"},
        {"classes": []},
        {"classes": "ab"},
        {"classes": [None]},
        {"classes": [[1, 2]]},
        {"classes": [float("nan")]},
        {"classes": [1 << 64]},
        {"classes": ["\udfff"]},
        {"classes": [1, 2], "outputs": 2},
        {"classes": [[1, 2]], "outputs": 2},
        {"classes": [[1, 2], []], "outputs": 2},
    ],
)
def test_a_forged_signature_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadBundle):
        Signature.from_meta({**PLAIN.to_meta(), **change})


def test_a_forged_array_of_a_signature_is_refused() -> None:
    deep = b"[" * 100_000
    texts = [np.frombuffer(text, np.uint8) for text in (b"", b"\xff", b"[]", b"{", deep, b"3")]
    wrong: list[dict[str, NDArray[Any]]] = [{}, {"signature": np.zeros((2, 2), np.uint8)}, {"signature": np.zeros(4, np.uint32)}]
    for arrays in [*({"signature": text} for text in texts), *wrong]:
        with pytest.raises(BadBundle):
            Signature.of_bundle(Bundle("linear", arrays))
    metas: list[Any] = [[], None, {"features": 3}]
    for meta in metas:
        with pytest.raises(BadBundle):
            Signature.of_bundle(Bundle("linear", {}, {"signature": meta}))


# -- records of sklearn -------------------------------------------------------------------------------------------------


def test_what_a_fitted_estimator_tells() -> None:
    frame = pd.DataFrame({"b": [1.0, 2, 3, 4], "a": [0.0, 1, 0, 1]})
    record = records_of(LogisticRegression().fit(frame, ["no", "no", "yes", "yes"]))
    assert is_sklearn(record, "LogisticRegression") and not is_sklearn(record, "Ridge")
    assert features_of(record) == 2 and names_of(record, 2) == ("b", "a")
    assert classes_of(require(record, "classes_")["classes_"]) == ("no", "yes")
    assert signature_of(record, 2, classes=("no", "yes")) == Signature(2, ("b", "a"), classes=("no", "yes"))
    with pytest.raises(PackError, match="3 wide"):
        signature_of(record, 3)


@pytest.mark.parametrize("labels", [[0, 1], [0.5, 1.5], ["a", "b"], [False, True], np.array(["x", 1], object), np.array([3, 9], np.uint8)])
def test_labels_of_every_kind_are_json(labels: Any) -> None:
    found = classes_of(records_of(np.array(labels)))
    assert list(found) == np.array(labels).tolist() and list(map(type, found)) == list(map(type, np.array(labels).tolist()))


def test_several_outputs_have_labels_each() -> None:
    matrix, topics = make_multilabel_classification(60, 4, n_classes=3, random_state=0)
    record = records_of(DecisionTreeClassifier(max_depth=2).fit(matrix, topics))
    assert classes_of(record.attributes["classes_"]) == ((0, 1),) * 3


@pytest.mark.parametrize(
    "value, type",
    [
        (None, "corrupt_artifact"),
        ("ab", "corrupt_artifact"),
        ([], "corrupt_artifact"),
        (Array(np.zeros((2, 2))), "corrupt_artifact"),
        (Array(np.array(3)), "corrupt_artifact"),
        (Array(np.zeros(0)), "corrupt_artifact"),
        (Array(np.array([b"a", b"b"])), "unknown_format"),
        (Array(np.array([0.0, np.nan])), "unknown_format"),
        (Array(np.array([1j])), "unknown_format"),
        (Array.of_objects([None, "a"], (2,)), "unknown_format"),
        (Array.of_objects(["\ud800"], (1,)), "unknown_format"),
        (Array.of_objects([Record()], (1,)), "unknown_format"),
        ([Array(np.array([1, 2])), Array(np.zeros(0))], "corrupt_artifact"),
    ],
)
def test_labels_that_are_none_are_refused(value: Any, type: str) -> None:
    with pytest.raises(PackError) as caught:
        classes_of(value)
    assert caught.value.type == type


def forged(**attributes: Any) -> Record:
    record = records_of(Ridge())
    record.__setstate__(attributes)
    assert isinstance(record, Record)
    return record


def test_forged_widths_and_names_are_refused() -> None:
    for width in (True, -1, 0, 1 << 40, 2.0, "3"):
        with pytest.raises(PackError, match="n_features_in_"):
            features_of(forged(n_features_in_=width))
    for names in ("ab", [1, 2], ["a"], Array(np.zeros(2)), Array.of_objects(["a", "\ud800"], (2,)), Array.of_objects(["a"] * 4, (2, 2))):
        with pytest.raises(PackError, match="feature_names_in_"):
            names_of(forged(feature_names_in_=names), 2)
    assert features_of(forged()) is None and names_of(forged(), 2) is None
    assert names_of(forged(feature_names_in_=["a", "a"]), 2) is None
    assert names_of(forged(feature_names_in_=Array(np.array(["a", "b"]))), 2) == ("a", "b")


def test_what_is_missing_is_all_named_or_the_model_is_not_trained() -> None:
    with pytest.raises(PackError) as untrained:
        require(records_of(Ridge()), "coef_", "intercept_")
    assert untrained.value.type == "not_trained"
    with pytest.raises(PackError) as lacking:
        require(forged(n_iter_=3), "coef_", "intercept_")
    assert lacking.value.type == "missing_keys" and lacking.value.detail == {"missing": ["coef_", "intercept_"], "found": ["n_iter_"]}


def test_numbers_of_every_wrapping() -> None:
    for value in (3, 3.0, Array(np.array(3)), Array(np.array([3.0])), Array(np.array([[3]], np.uint8))):
        assert as_number(value, "it") == 3
    for bad in (None, "3", Array(np.zeros(2)), Array(np.array(["3"])), Record()):
        with pytest.raises(PackError, match="it is not a number"):
            as_number(bad, "it")


def test_an_estimator_is_found_in_its_dict() -> None:
    model, scaler = Ridge().fit([[1.0], [2.0]], [1, 2]), StandardScaler().fit([[1.0], [2.0]])
    root = records_of({"scaler": scaler, "model": model, "trained_at": "now"})
    found = unwrap(root)
    assert found is root["model"] and unwrap(found) is found
    assert unwrap({"scaler": root["scaler"]}) is None and unwrap({"model": "a name"}) is None and unwrap([model]) is None
    assert len(left_aside(root)) == 1 and "scaler (StandardScaler)" in left_aside(root)[0]
    assert left_aside(records_of({"model": model, "params": {"alpha": 1}})) == left_aside(found) == []
