"""Estimators in tensors: which inputs and outputs they have, a question as rows, predictions as tensors.

Covers: one matrix `input`, or an input a column. Does not cover: the values of rows (`models.estimator`), recommenders
(`rankings`).

A model takes `input`, FP64 [-1, features]; any other numeric datatype is taken as well. One with feature names also takes an
input a feature, [-1] or [-1, 1], each with a datatype of its own; where columns hold text, these are the ones its metadata
lists, and BYTES are text, never a number. A pipeline over texts takes BYTES [-1], one over objects the same with JSON in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from types import NoneType
from typing import Any

import msgspec

from models.base import Predictions
from models.forms import RowForm
from service.body import decode
from service.errors import InvalidField, MalformedBody
from service.questions import MAX_INSTANCES, Rows
from service.routes.v2.datatypes import BYTES, Tensor, tensor
from service.routes.v2.message import Inference, require_known
from service.schemas.v2 import Datatype, TensorMetadata

INPUT, PREDICTIONS, PROBABILITIES = "input", "predictions", "probabilities"
_LONGEST_CLASSES = 64 << 10
"""Labels of more JSON characters are not told in metadata."""

_KINDS_OF: Mapping[str, frozenset[type]] = {
    "BOOL": frozenset((bool,)),
    "INT64": frozenset((int,)),
    "UINT64": frozenset((int,)),
    "FP64": frozenset((int, float, bool, NoneType)),
    "BYTES": frozenset((str, int, float, bool, NoneType)),
}
"""What the elements of an answer may be; null is NaN."""
_FIELD = re.compile(r"^instances(?:\[(?P<row>\d+)\](?:\[(?P<column>\d+)\])?)?$", re.ASCII)
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def row_inputs(form: RowForm) -> list[TensorMetadata]:
    """The inputs of a model, in order."""
    if form.takes != "rows":
        return [TensorMetadata(name=INPUT, datatype="BYTES", shape=[-1])]
    names = form.signature.names
    if names is not None and form.text:
        return [TensorMetadata(name=name, datatype="BYTES" if at in form.text else "FP64", shape=[-1, 1]) for at, name in enumerate(names)]
    return [TensorMetadata(name=INPUT, datatype="FP64", shape=[-1, form.signature.features or -1])]


def row_outputs(form: RowForm) -> list[TensorMetadata]:
    """The outputs of a model, in order. What a hosted model predicts that names no classes is known only when it answers."""
    signature = form.signature
    several = [signature.outputs] if signature.outputs > 1 else []
    found = [TensorMetadata(name=PREDICTIONS, datatype=label_datatype(_labels(form)), shape=[-1, *several])]
    if form.has_probabilities:
        each = (signature.classes or ()) if several else (signature.classes,)
        classes = max((len(labels) if labels is not None else -1 for labels in each), default=-1)
        output = TensorMetadata(name=PROBABILITIES, datatype="FP64", shape=[-1, *several, classes])
        told = json.dumps(signature.classes) if signature.classes is not None else ""
        if 0 < len(told) <= _LONGEST_CLASSES:
            output.parameters = {"classes": told}
        found.append(output)
    return found


def read_rows(form: RowForm, asked: Inference) -> Rows:
    """The rows that are asked for. Raises InvalidField."""
    require_known("parameters", asked.parameters, {})
    if _is_by_column(form, asked):
        return Rows(_columns(form.signature.names or (), asked.inputs))
    require_known("inputs", asked.inputs, {INPUT: None})
    given = asked.inputs[INPUT]
    _require_rows(given)
    if form.takes != "rows":
        return Rows(_elements(form, given))
    if len(given.shape) != 2:
        raise InvalidField(INPUT, f"has the shape {list(given.shape)}, the model takes [-1, {form.signature.features or -1}]")
    return Rows(given.to_rows())


def row_field(form: RowForm, asked: Inference, field: str) -> str:
    """The field of an error as a caller who sent tensors knows it: `instances[3][1]` is `input[3][1]`, or `age[3]`."""
    found = _FIELD.match(field)
    if found is None:
        return field
    row, column = (f"[{found[part]}]" if found[part] is not None else "" for part in ("row", "column"))
    if not _is_by_column(form, asked):
        return f"{INPUT}{row}{column}"
    return f"{(form.signature.names or ())[int(found['column'])]}{row}" if column else f"inputs{row}"


def prediction_tensors(form: RowForm, answer: Predictions) -> list[Tensor]:
    """The answer as tensors; of several outputs with different classes, the probabilities that an output has not are NaN."""
    found = [_tensor(PREDICTIONS, label_datatype(_labels(form)), answer.predictions)]
    if answer.probabilities is not None:
        found.append(_tensor(PROBABILITIES, "FP64", answer.probabilities))
    return found


def label_datatype(labels: Sequence[Any] | None) -> Datatype:
    """Of these classes: BOOL, INT64 (UINT64 where they are larger), FP64 for numbers, else BYTES; FP64 where there are none."""
    if labels is None:
        return "FP64"
    kinds = set(map(type, labels))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        if max(labels) < 1 << 63:
            return "INT64"
        return "UINT64" if min(labels) >= 0 else "BYTES"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _labels(form: RowForm) -> Sequence[Any] | None:
    """The classes of all outputs."""
    classes = form.signature.classes
    return classes if classes is None or form.signature.outputs == 1 else list(chain.from_iterable(classes))


def _is_by_column(form: RowForm, asked: Inference) -> bool:
    names = form.signature.names
    return form.takes == "rows" and names is not None and (set(asked.inputs) != {INPUT} or names == (INPUT,))


# -- questions ----------------------------------------------------------------------------------------------------------


def _require_rows(given: Tensor) -> None:
    if given.shape and not 1 <= given.shape[0] <= MAX_INSTANCES:
        raise InvalidField(given.name, f"has {given.shape[0]} rows, 1 to {MAX_INSTANCES} are allowed")


def _columns(names: Sequence[str], inputs: Mapping[str, Tensor]) -> list[list[Any]]:
    """Rows of an input a feature."""
    require_known("inputs", inputs, dict.fromkeys((*names, INPUT)))
    missing = [name for name in names if name not in inputs]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise InvalidField("inputs", f"lacks {', '.join(missing[:10])}{more}")
    if len(inputs) > len(names):
        raise InvalidField("inputs", f"give {INPUT} or an input a feature, not both")
    first = inputs[names[0]]
    for name in names:
        given = inputs[name]
        _require_rows(given)
        if len(given.shape) not in (1, 2) or given.shape[1:] not in ((), (1,)):
            raise InvalidField(name, f"has the shape {list(given.shape)}, a feature has [-1] or [-1, 1]")
        if given.shape[0] != first.shape[0]:
            raise InvalidField(name, f"has {given.shape[0]} rows, {first.name} has {first.shape[0]}")
    return [list(row) for row in zip(*(inputs[name].to_list() for name in names), strict=True)]


def _elements(form: RowForm, given: Tensor) -> list[Any]:
    """Texts, or the JSON objects in them."""
    if given.datatype != BYTES or len(given.shape) not in (1, 2) or given.shape[1:] not in ((), (1,)):
        raise InvalidField(INPUT, f"is {given.datatype} {list(given.shape)}, the model takes BYTES [-1]")
    if form.takes == "texts":
        return given.to_list()
    found = []
    for at, text in enumerate(given.to_list()):
        try:
            found.append(decode(text.encode(), _decode_object))
        except (InvalidField, MalformedBody) as error:
            raise InvalidField(f"{INPUT}[{at}]", f"is no JSON object: {error.detail}") from error
    return found


# -- answers ------------------------------------------------------------------------------------------------------------


def _tensor(name: str, datatype: Datatype, values: Sequence[Any]) -> Tensor:
    """A tensor of lists in lists; of those in one dimension, shorter ones are filled up with NaN.

    A hosted model may answer what its classes, or their absence, did not say: then the datatype is that of the answer.
    """
    shape, flat = [len(values)], list(values)
    while flat and all(isinstance(each, list | tuple) for each in flat):
        size = max(map(len, flat))
        flat = [each for part in flat for each in (*part, *[None] * (size - len(part)))]
        shape.append(size)
    kinds = set(map(type, flat))
    if not kinds <= _KINDS_OF[datatype]:
        datatype = "FP64" if kinds <= _KINDS_OF["FP64"] else "BYTES"
    if datatype == BYTES:
        flat = [value if isinstance(value, str) else json.dumps(value) for value in flat]
    return tensor(name, datatype, shape, flat)
