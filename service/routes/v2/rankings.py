"""Recommenders in tensors: which inputs and outputs they have, a question for items, rankings as tensors.

Covers: users, liked items and the limits of an answer as inputs; `k`, `exclude_seen` and `diversity` as parameters of the
request. Does not cover: explanations and item columns, which are not rectangular (the native routes have them), rows (`rows`).

Outputs are rectangular, as wide as the longest ranking: `item_id` and `score` [users, width], `count` [users] items of each
row that are meant, the rest being -1 (or empty text) and NaN. A user who is not in the model has a count of 0 and is not
`known`; if nobody asked for is known, the whole question is refused, 404.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.base import Id, Query, Ranking, UnknownEntity
from models.forms import IdKind, ItemForm
from service.errors import InvalidField
from service.questions import DEFAULT_K, MAX_IDS, MAX_LIKED, MAX_USERS, MAX_WORDS, TopK
from service.routes.v2.datatypes import BYTES, Tensor, tensor
from service.routes.v2.message import Inference, require_known
from service.schemas.v2 import Datatype, TensorMetadata

USER_ID, LIKED, K = "user_id", "liked", "k"
ITEM_ID, SCORE, COUNT, KNOWN = "item_id", "score", "count", "known"
_OPTIONAL: dict[str, str | int | float | bool] = {"optional": True}
_MOST = {"exclude": MAX_IDS, "only": MAX_IDS, LIKED: MAX_LIKED, "categories": MAX_WORDS}


def ranking_inputs(form: ItemForm) -> list[TensorMetadata]:
    """The inputs of a model, in order: for whom, then what may be left out."""
    ids = id_datatype(form.items)
    liked = TensorMetadata(name=LIKED, datatype=ids, shape=[-1])
    whom = [liked]
    if form.users is not None:
        liked.parameters = _OPTIONAL
        whom = [TensorMetadata(name=USER_ID, datatype=id_datatype(form.users), shape=[-1]), liked]
    rest: list[tuple[str, Datatype, int]] = [(K, "INT64", 1), ("exclude", ids, -1), ("only", ids, -1)]
    if form.has_categories:
        rest.append(("categories", "BYTES", -1))
    return [*whom, *(TensorMetadata(name=name, datatype=kind, shape=[size], parameters=_OPTIONAL) for name, kind, size in rest)]


def ranking_outputs(form: ItemForm) -> list[TensorMetadata]:
    """The outputs of a model, in order."""
    return [
        TensorMetadata(name=ITEM_ID, datatype=id_datatype(form.items), shape=[-1, -1]),
        TensorMetadata(name=SCORE, datatype="FP64", shape=[-1, -1]),
        TensorMetadata(name=COUNT, datatype="INT64", shape=[-1]),
        TensorMetadata(name=KNOWN, datatype="BOOL", shape=[-1]),
    ]


def id_datatype(kind: IdKind) -> Datatype:
    """INT64 for whole numbers, BYTES for text and for a mixture: there, numbers are answered as their digits."""
    return "INT64" if kind == "int" else "BYTES"


def read_question(form: ItemForm, asked: Inference) -> TopK:
    """The question for items. Raises InvalidField."""
    inputs = asked.inputs
    require_known("inputs", inputs, {each.name: each for each in ranking_inputs(form)})
    require_known("parameters", asked.parameters, dict.fromkeys((K, "exclude_seen", "diversity")))
    if USER_ID not in inputs and LIKED not in inputs:
        raise InvalidField("inputs", f"lacks {LIKED if form.users is None else f'{USER_ID} or {LIKED}'}")
    if USER_ID in inputs and LIKED in inputs and not form.joins_liked:
        raise InvalidField("inputs", f"give {USER_ID} or {LIKED}, not both: only a hybrid takes them together")
    users = _users(form, inputs[USER_ID]) if USER_ID in inputs else ()
    lists = {name: _ids(form.items, inputs[name]) for name in (LIKED, "exclude", "only") if name in inputs}
    if LIKED in lists and not lists[LIKED]:
        raise InvalidField(LIKED, "names no item")
    k = _k(asked)
    query = Query(
        users=users,
        liked=lists.get(LIKED, ()),
        k=DEFAULT_K if k is None else k,
        exclude=lists.get("exclude", ()),
        only=lists.get("only"),
        exclude_seen=_exclude_seen(asked),
        categories=_texts(inputs["categories"]) if "categories" in inputs else (),
        diversity=_diversity(asked),
    )
    return TopK(query, "users" if users else "liked", k is not None)


def ranking_field(field: str) -> str:
    """The field of an error as a caller who sent tensors knows it: `users[3]` is `user_id[3]`."""
    return USER_ID + field.removeprefix("users") if field.startswith("users") else field


def ranking_tensors(form: ItemForm, rankings: Sequence[Ranking | UnknownEntity]) -> list[Tensor]:
    """The rankings as tensors. Raises models.base.UnknownEntity where there is none but of unknown users."""
    if all(isinstance(each, UnknownEntity) for each in rankings):
        raise next(each for each in rankings if isinstance(each, UnknownEntity))
    known = [each if isinstance(each, Ranking) else None for each in rankings]
    counts = [len(each.items) if each is not None else 0 for each in known]
    width = max(counts)
    kind = id_datatype(form.items)
    nothing: Id = "" if kind == BYTES else -1
    items: list[Id] = []
    scores: list[float] = []
    for each, count in zip(known, counts, strict=True):
        if each is not None:
            items += map(str, each.items) if kind == BYTES else each.items
            scores += each.scores
        items += [nothing] * (width - count)
        scores += [float("nan")] * (width - count)
    shape = (len(known), width)
    return [
        tensor(ITEM_ID, kind, shape, items),
        tensor(SCORE, "FP64", shape, scores),
        tensor(COUNT, "INT64", shape[:1], counts),
        tensor(KNOWN, "BOOL", shape[:1], [each is not None for each in known]),
    ]


# -- questions ----------------------------------------------------------------------------------------------------------


def _users(form: ItemForm, given: Tensor) -> list[Id]:
    users = _ids(form.users or "mixed", given, column=True)
    if not users:
        raise InvalidField(USER_ID, "names no user")
    if len(users) > MAX_USERS:
        raise InvalidField(USER_ID, f"has {len(users)} users, {MAX_USERS} are allowed")
    return users


def _ids(kind: IdKind, given: Tensor, *, column: bool = False) -> list[Id]:
    """The ids of a tensor that is a list, or a column ([-1, 1]) or a row ([1, -1]) of them. Ids keep their kind."""
    if not (given.is_integer if kind == "int" else given.datatype == BYTES or (kind == "mixed" and given.is_integer)):
        raise InvalidField(given.name, f"is {given.datatype}, the model's ids are {id_datatype(kind)}: ids keep their kind")
    return _listed(given, column=column)


def _texts(given: Tensor) -> list[str]:
    if given.datatype != BYTES:
        raise InvalidField(given.name, f"is {given.datatype}, must be BYTES")
    return _listed(given)


def _listed(given: Tensor, *, column: bool = False) -> list[Any]:
    shape = given.shape
    if len(shape) != 1 and (len(shape) != 2 or shape[1 if column else 0] != 1):
        raise InvalidField(given.name, f"has the shape {list(shape)}, must have [-1]{' or [-1, 1]' if column else ''}")
    most = _MOST.get(given.name)
    if most is not None and len(given.values) > most:
        raise InvalidField(given.name, f"has {len(given.values)} elements, {most} are allowed")
    return given.to_list()


def _k(asked: Inference) -> int | None:
    """As an input or as a parameter, None for neither."""
    value = asked.parameters.get(K)
    if K in asked.inputs:
        given = asked.inputs[K]
        if K in asked.parameters:
            raise InvalidField(K, "is an input and a parameter: give one of them")
        if not given.is_integer or len(given.values) != 1:
            raise InvalidField(K, f"is {given.datatype} {list(given.shape)}, must be INT64 [1]")
        (value,) = given.to_list()
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidField(K, f"expected a whole number >= 1, got {value!r}")
    return value


def _exclude_seen(asked: Inference) -> bool | None:
    value = asked.parameters.get("exclude_seen")
    if value is not None and not isinstance(value, bool):
        raise InvalidField("parameters.exclude_seen", f"expected true or false, got {value!r}")
    return value


def _diversity(asked: Inference) -> float | None:
    value = asked.parameters.get("diversity")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidField("parameters.diversity", f"expected a number in 0..1, got {value!r}")
    return float(value)
