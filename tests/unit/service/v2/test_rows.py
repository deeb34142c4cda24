"""Estimators in tensors: metadata, questions by matrix and by column, predictions of every kind."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from models.base import Predictions
from models.estimator import Signature
from models.forms import RowForm
from service.errors import InvalidField
from service.questions import MAX_INSTANCES
from service.routes.v2.datatypes import Tensor, tensor
from service.routes.v2.message import Inference
from service.routes.v2.rows import label_datatype, prediction_tensors, read_rows, row_field, row_inputs, row_outputs

NUMBERS = RowForm(Signature(2))
NAMED = RowForm(Signature(2, ("age", "size")))
PEOPLE = RowForm(Signature(2, ("age", "town"), takes_text=True), text=frozenset({1}))
TEXTS = RowForm(Signature(0), takes="texts")
OBJECTS = RowForm(Signature(0), takes="objects")


def told(tensors: Any) -> list[tuple[str, str, list[int]]]:
    return [(each.name, each.datatype, list(each.shape)) for each in tensors]


def asked(*inputs: Tensor, **parameters: Any) -> Inference:
    return Inference({each.name: each for each in inputs}, parameters)


@pytest.mark.parametrize(
    "form, inputs",
    [
        (NUMBERS, [("input", "FP64", [-1, 2])]),
        (NAMED, [("input", "FP64", [-1, 2])]),
        (RowForm(Signature(0)), [("input", "FP64", [-1, -1])]),
        (PEOPLE, [("age", "FP64", [-1, 1]), ("town", "BYTES", [-1, 1])]),
        (TEXTS, [("input", "BYTES", [-1])]),
        (OBJECTS, [("input", "BYTES", [-1])]),
    ],
    ids=["numbers", "named", "any width", "text columns", "texts", "objects"],
)
def test_inputs(form: RowForm, inputs: Any) -> None:
    assert told(row_inputs(form)) == inputs


@pytest.mark.parametrize(
    "signature, outputs",
    [
        (Signature(2), [("predictions", "FP64", [-1])]),
        (Signature(2, outputs=3), [("predictions", "FP64", [-1, 3])]),
        (Signature(2, classes=(0, 1)), [("predictions", "INT64", [-1]), ("probabilities", "FP64", [-1, 2])]),
        (Signature(2, classes=("a", "b")), [("predictions", "BYTES", [-1]), ("probabilities", "FP64", [-1, 2])]),
        (
            Signature(2, classes=((0, 1), (0, 1, 2)), outputs=2),
            [("predictions", "INT64", [-1, 2]), ("probabilities", "FP64", [-1, 2, 3])],
        ),
    ],
    ids=["value", "values", "numbers", "words", "several outputs"],
)
def test_outputs(signature: Signature, outputs: Any) -> None:
    found = row_outputs(RowForm(signature, has_probabilities=signature.classes is not None))
    assert told(found) == outputs
    if signature.classes is not None:
        assert json.loads(str(found[1].parameters["classes"])) == json.loads(json.dumps(signature.classes))  # type: ignore[index]


def test_probabilities_of_no_named_classes() -> None:
    assert told(row_outputs(RowForm(Signature(0), has_probabilities=True)))[1] == ("probabilities", "FP64", [-1, -1])


def test_a_million_classes_are_not_told_in_metadata() -> None:
    found = row_outputs(RowForm(Signature(2, classes=tuple(range(100_000))), has_probabilities=True))
    assert found[1].shape == [-1, 100_000] and "classes" not in (found[1].parameters or {})


@pytest.mark.parametrize(
    "labels, datatype",
    [
        (None, "FP64"),
        ([0, 1], "INT64"),
        ([True, False], "BOOL"),
        ([0.5, 1], "FP64"),
        (["a", "b"], "BYTES"),
        (["a", 1], "BYTES"),
        ([True, 1], "BYTES"),
        ([0, (1 << 64) - 1], "UINT64"),
        ([-1, (1 << 64) - 1], "BYTES"),
    ],
    ids=str,
)
def test_the_datatype_of_labels(labels: Any, datatype: str) -> None:
    assert label_datatype(labels) == datatype


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16", "INT8", "UINT64", "BOOL"])
def test_any_number_is_taken(datatype: str) -> None:
    assert read_rows(NUMBERS, asked(tensor("input", datatype, [2, 2], [0, 1, 1, 0]))).instances == [[0, 1], [1, 0]]


def test_text_and_objects() -> None:
    assert read_rows(TEXTS, asked(tensor("input", "BYTES", [2], ["a", "b"]))).instances == ["a", "b"]
    assert read_rows(OBJECTS, asked(tensor("input", "BYTES", [1, 1], ['{"a": 1}']))).instances == [{"a": 1}]
    assert read_rows(NUMBERS, asked(tensor("input", "BYTES", [1, 2], ["a", "b"]))).instances == [["a", "b"]]  # the model refuses it


@pytest.mark.parametrize("shape", [[2], [2, 1]], ids=["flat", "column"])
def test_columns_by_name(shape: list[int]) -> None:
    columns = tensor("town", "BYTES", shape, ["Ulm", "Hof"]), tensor("age", "INT32", shape, [3, 4])
    assert read_rows(PEOPLE, asked(*columns)).instances == [[3, "Ulm"], [4, "Hof"]]


def test_a_feature_called_input() -> None:
    form = RowForm(Signature(1, ("input",)))
    assert read_rows(form, asked(tensor("input", "FP64", [2], [1, 2]))).instances == [[1.0], [2.0]]
    form = RowForm(Signature(2, ("input", "x")))
    assert read_rows(form, asked(tensor("input", "FP64", [1, 2], [1, 2]))).instances == [[1.0, 2.0]]
    both = tensor("input", "FP64", [1], [1]), tensor("x", "FP64", [1], [2])
    assert read_rows(form, asked(*both)).instances == [[1.0, 2.0]]


AGE = tensor("age", "FP64", [2], [1, 2])
WRONG: dict[str, tuple[RowForm, Inference, str, str]] = {
    "unknown input": (NUMBERS, asked(tensor("x", "FP64", [1, 2], [1, 2])), "inputs", "'x' is unknown: there are input"),
    "two inputs": (NUMBERS, asked(tensor("input", "FP64", [1, 2], [1, 2]), AGE), "inputs", "'age' is unknown"),
    "parameter": (NUMBERS, asked(tensor("input", "FP64", [1, 2], [1, 2]), k=3), "parameters", "'k' is unknown: there are none"),
    "shape": (NUMBERS, asked(tensor("input", "FP64", [2], [1, 2])), "input", "has the shape [2], the model takes [-1, 2]"),
    "many rows": (NUMBERS, asked(tensor("input", "BOOL", [MAX_INSTANCES + 1, 1], [0] * (MAX_INSTANCES + 1))), "input", "are allowed"),
    "no rows": (NUMBERS, asked(tensor("input", "FP64", [0, 2], [])), "input", "has 0 rows, 1 to"),
    "no rows of any width": (NUMBERS, asked(tensor("input", "FP64", [0, 1 << 62], [])), "input", "has 0 rows, 1 to"),
    "no rows of columns": (NAMED, asked(*(tensor(name, "FP64", [0], []) for name in ("age", "size"))), "age", "has 0 rows, 1 to"),
    "no texts": (TEXTS, asked(tensor("input", "BYTES", [0], [])), "input", "has 0 rows, 1 to"),
    "missing column": (NAMED, asked(AGE), "inputs", "lacks size"),
    "column and matrix": (
        NAMED,
        asked(AGE, tensor("size", "FP64", [2], [1, 2]), tensor("input", "FP64", [1, 2], [1, 2])),
        "inputs",
        "not both",
    ),
    "rows differ": (NAMED, asked(AGE, tensor("size", "FP64", [1], [1])), "size", "has 1 rows, age has 2"),
    "column shape": (NAMED, asked(tensor("age", "FP64", [1, 2], [1, 2]), AGE), "inputs", "lacks size"),
    "wide column": (NAMED, asked(AGE, tensor("size", "FP64", [2, 2], [1, 2, 3, 4])), "size", "has the shape [2, 2], a feature has [-1]"),
    "numbers for texts": (TEXTS, asked(tensor("input", "FP64", [1], [1])), "input", "is FP64 [1], the model takes BYTES"),
    "no object": (OBJECTS, asked(tensor("input", "BYTES", [2], ["{}", "[]"])), "input[1]", "is no JSON object"),
}


@pytest.mark.parametrize("form, question, field, words", WRONG.values(), ids=WRONG)
def test_wrong_questions_are_refused_by_name(form: RowForm, question: Inference, field: str, words: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_rows(form, question)
    assert caught.value.field == field and words in caught.value.detail


def test_fields_of_errors_are_those_of_the_tensors() -> None:
    matrix = asked(tensor("input", "FP64", [1, 2], [1, 2]))
    columns = asked(AGE, tensor("size", "FP64", [2], [1, 2]))
    for field, by_matrix, by_column in (
        ("instances", "input", "inputs"),
        ("instances[3]", "input[3]", "inputs[3]"),
        ("instances[3][1]", "input[3][1]", "size[3]"),
        ("k", "k", "k"),
    ):
        assert (row_field(NAMED, matrix, field), row_field(NAMED, columns, field)) == (by_matrix, by_column)


def test_predictions() -> None:
    form = RowForm(Signature(2, classes=("a", "b")), has_probabilities=True)
    labels, shares = prediction_tensors(form, Predictions(["a", "b"], [[0.5, 0.5], [0, 1]], ["a", "b"]))
    assert told([labels, shares]) == [("predictions", "BYTES", [2]), ("probabilities", "FP64", [2, 2])]
    assert labels.values == ["a", "b"] and shares.to_list() == [0.5, 0.5, 0, 1]
    (values,) = prediction_tensors(RowForm(Signature(2, outputs=2)), Predictions([[1, 2.5]]))
    assert told([values]) == [("predictions", "FP64", [1, 2])]


def test_outputs_with_different_classes_are_filled_up() -> None:
    form = RowForm(Signature(2, classes=((0, 1), (5, 6, 7)), outputs=2), has_probabilities=True)
    labels, shares = prediction_tensors(form, Predictions([[0, 7]], [[[0.25, 0.75], [0.0, 0.0, 1.0]]]))
    assert told([labels, shares]) == [("predictions", "INT64", [1, 2]), ("probabilities", "FP64", [1, 2, 3])]
    np.testing.assert_array_equal(shares.values, [0.25, 0.75, np.nan, 0, 0, 1])


@pytest.mark.parametrize(
    "classes, predictions, datatype, values",
    [
        (None, ["x", "y"], "BYTES", ["x", "y"]),
        (None, [1, None], "FP64", [1.0, np.nan]),
        ((0, 1), [0.5], "FP64", [0.5]),
        ((0, 1), ["x"], "BYTES", ["x"]),
        ((True, 1), [True, 1], "BYTES", ["true", "1"]),
        (None, [[1, 2], "x"], "BYTES", ["[1, 2]", "x"]),
    ],
    ids=str,
)
def test_a_hosted_model_may_answer_what_it_did_not_say(classes: Any, predictions: Any, datatype: str, values: Any) -> None:
    (found,) = prediction_tensors(RowForm(Signature(0, classes=classes)), Predictions(predictions))
    assert found.datatype == datatype
    np.testing.assert_array_equal(found.values, values)
