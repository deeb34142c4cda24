"""Recommenders in tensors: metadata, questions, rankings of different lengths, users who are not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.base import Query, Ranking, UnknownEntity
from models.forms import ItemForm
from service.errors import InvalidField
from service.questions import MAX_LIKED, MAX_USERS
from service.routes.v2.datatypes import Tensor, tensor
from service.routes.v2.message import Inference
from service.routes.v2.rankings import ranking_field, ranking_inputs, ranking_outputs, ranking_tensors, read_question

INTS = ItemForm("int", "int")
TEXTS = ItemForm("str", "str", has_categories=True)
MIXED = ItemForm("mixed", "mixed")
HYBRID = ItemForm("int", "str", joins_liked=True)
NOBODY = ItemForm(None, "str")
USERS = tensor("user_id", "INT64", [2], [1, 2])
LIKED = tensor("liked", "INT64", [2], [7, 8])


def asked(*inputs: Tensor, **parameters: Any) -> Inference:
    return Inference({each.name: each for each in inputs}, parameters)


def told(tensors: Any) -> dict[str, tuple[str, list[int]]]:
    return {each.name: (each.datatype, list(each.shape)) for each in tensors}


def required(form: ItemForm) -> list[str]:
    return [each.name for each in ranking_inputs(form) if not each.parameters]


def test_inputs_and_outputs() -> None:
    assert told(ranking_inputs(INTS)) == {
        "user_id": ("INT64", [-1]),
        "liked": ("INT64", [-1]),
        "k": ("INT64", [1]),
        "exclude": ("INT64", [-1]),
        "only": ("INT64", [-1]),
    }
    assert told(ranking_inputs(TEXTS))["categories"] == ("BYTES", [-1])
    assert told(ranking_inputs(HYBRID))["user_id"] == ("INT64", [-1]) and told(ranking_inputs(HYBRID))["liked"] == ("BYTES", [-1])
    assert "user_id" not in told(ranking_inputs(NOBODY))
    assert (required(INTS), required(NOBODY)) == (["user_id"], ["liked"])
    shapes = {"score": ("FP64", [-1, -1]), "count": ("INT64", [-1]), "known": ("BOOL", [-1])}
    assert told(ranking_outputs(INTS)) == {"item_id": ("INT64", [-1, -1]), **shapes}
    assert told(ranking_outputs(MIXED)) == {"item_id": ("BYTES", [-1, -1]), **shapes}


@pytest.mark.parametrize("shape", [[2], [2, 1]], ids=["list", "column"])
def test_users(shape: list[int]) -> None:
    question = read_question(INTS, asked(tensor("user_id", "INT32", shape, [1, 2])))
    assert (question.query, question.subject, question.names_k) == (Query(users=[1, 2]), "users", False)


def test_everything_else() -> None:
    question = read_question(
        TEXTS,
        asked(
            tensor("user_id", "BYTES", [1], ["u"]),
            tensor("k", "INT64", [1], [3]),
            tensor("exclude", "BYTES", [2], ["a", "b"]),
            tensor("only", "BYTES", [1, 1], ["c"]),
            tensor("categories", "BYTES", [1], ["x"]),
            exclude_seen=False,
            diversity=1,
        ),
    )
    expected = Query(users=["u"], k=3, exclude=["a", "b"], only=["c"], categories=["x"], exclude_seen=False, diversity=1.0)
    assert question.query == expected and question.names_k


def test_k_as_a_parameter() -> None:
    question = read_question(INTS, asked(USERS, k=3))
    assert question.query.k == 3 and question.names_k


def test_an_empty_list_limits_to_nothing_and_an_empty_exclusion_excludes_nothing() -> None:
    question = read_question(INTS, asked(USERS, tensor("only", "INT64", [0], []), tensor("exclude", "INT64", [0], [])))
    assert question.query.only == [] and question.query.exclude == []


def test_liked_alone_and_with_users() -> None:
    assert read_question(INTS, asked(LIKED)).subject == "liked"
    both = read_question(HYBRID, asked(tensor("user_id", "INT64", [1], [1]), tensor("liked", "BYTES", [1], ["a"])))
    assert (both.subject, both.query.users, both.query.liked) == ("users", [1], ["a"])


def test_mixed_ids_are_numbers_or_text_as_they_are_sent() -> None:
    assert read_question(MIXED, asked(USERS)).query.users == [1, 2]
    assert read_question(MIXED, asked(tensor("user_id", "BYTES", [1], ["1"]))).query.users == ["1"]


def users_of(datatype: str, shape: list[int], values: list[Any]) -> Inference:
    return asked(tensor("user_id", datatype, shape, values))


WRONG: dict[str, tuple[ItemForm, Inference, str, str]] = {
    "nobody": (INTS, asked(tensor("k", "INT64", [1], [3])), "inputs", "lacks user_id or liked"),
    "nothing liked": (NOBODY, asked(tensor("k", "INT64", [1], [3])), "inputs", "lacks liked"),
    "no users in the model": (NOBODY, asked(USERS), "inputs", "'user_id' is unknown"),
    "no categories": (INTS, asked(USERS, tensor("categories", "BYTES", [1], ["x"])), "inputs", "'categories' is unknown"),
    "both": (INTS, asked(USERS, LIKED), "inputs", "not both"),
    "unknown input": (INTS, asked(USERS, tensor("input", "FP64", [1], [1])), "inputs", "'input' is unknown: there are user_id, liked"),
    "unknown parameter": (INTS, asked(USERS, exlude_seen=True), "parameters", "'exlude_seen' is unknown: there are k, exclude_seen"),
    "text for numbers": (INTS, users_of("BYTES", [1], ["1"]), "user_id", "is BYTES, the model's ids are INT64"),
    "fractions": (INTS, users_of("FP64", [1], [1]), "user_id", "is FP64"),
    "numbers for text": (TEXTS, users_of("INT64", [1], [1]), "user_id", "is INT64, the model's ids are BYTES"),
    "no users": (INTS, users_of("INT64", [0], []), "user_id", "names no user"),
    "many users": (INTS, users_of("INT8", [MAX_USERS + 1], [1] * (MAX_USERS + 1)), "user_id", f"{MAX_USERS} are allowed"),
    "a row of users": (INTS, users_of("INT64", [1, 2], [1, 2]), "user_id", "must have [-1] or [-1, 1]"),
    "scalar": (INTS, users_of("INT64", [], [1]), "user_id", "has the shape []"),
    "nothing is liked": (INTS, asked(tensor("liked", "INT64", [0], [])), "liked", "names no item"),
    "much liked": (INTS, asked(tensor("liked", "INT8", [MAX_LIKED + 1], [1] * (MAX_LIKED + 1))), "liked", f"{MAX_LIKED} are allowed"),
    "numbered categories": (
        TEXTS,
        asked(tensor("liked", "BYTES", [1], ["a"]), tensor("categories", "INT64", [1], [1])),
        "categories",
        "BYTES",
    ),
    "k twice": (INTS, asked(USERS, tensor("k", "INT64", [1], [3]), k=3), "k", "give one of them"),
    "k 0": (INTS, asked(USERS, k=0), "k", "expected a whole number >= 1, got 0"),
    "k true": (INTS, asked(USERS, k=True), "k", "got True"),
    "k 1.5": (INTS, asked(USERS, k=1.5), "k", "got 1.5"),
    "k in a list": (INTS, asked(USERS, tensor("k", "INT64", [2], [3, 3])), "k", "must be INT64 [1]"),
    "k in FP64": (INTS, asked(USERS, tensor("k", "FP64", [1], [3])), "k", "must be INT64 [1]"),
    "exclude_seen": (INTS, asked(USERS, exclude_seen=1), "parameters.exclude_seen", "expected true or false"),
    "diversity": (INTS, asked(USERS, diversity=1.5), "parameters.diversity", "expected a number in 0..1"),
    "diversity true": (INTS, asked(USERS, diversity=True), "parameters.diversity", "expected a number in 0..1"),
}


@pytest.mark.parametrize("form, question, field, words", WRONG.values(), ids=WRONG)
def test_wrong_questions_are_refused_by_name(form: ItemForm, question: Inference, field: str, words: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_question(form, question)
    assert caught.value.field == field and words in caught.value.detail


def test_fields_of_errors_are_those_of_the_tensors() -> None:
    assert [ranking_field(field) for field in ("users[3]", "users", "user_id", "liked")] == ["user_id[3]", "user_id", "user_id", "liked"]


def test_rankings_are_as_wide_as_the_longest() -> None:
    rankings: list[Ranking | UnknownEntity] = [
        Ranking(1, [10, 11], [0.5, 0.25]),
        UnknownEntity("users[1]", "no"),
        Ranking(3, [12], [1.0]),
        Ranking(4, [], []),
    ]
    items, scores, counts, known = ranking_tensors(INTS, rankings)
    assert (items.shape, items.to_list()) == ((4, 2), [10, 11, -1, -1, 12, -1, -1, -1])
    np.testing.assert_array_equal(scores.values, [0.5, 0.25, np.nan, np.nan, 1.0, np.nan, np.nan, np.nan])
    assert (counts.to_list(), known.to_list()) == ([2, 0, 1, 0], [True, False, True, True])


def test_ids_that_are_text() -> None:
    items, *_ = ranking_tensors(MIXED, [Ranking(1, ["a", 11], [0.5, 0.25]), Ranking(3, [12], [1.0])])
    assert items.to_list() == ["a", "11", "12", ""]


def test_nothing_left_is_an_answer_without_items() -> None:
    items, *_, known = ranking_tensors(INTS, [Ranking(1, [], [])])
    assert items.shape == (1, 0) and known.to_list() == [True]


def test_nobody_known_is_an_error() -> None:
    with pytest.raises(UnknownEntity) as caught:
        ranking_tensors(INTS, [UnknownEntity("users[0]", "no"), UnknownEntity("users[1]", "no")])
    assert caught.value.field == "users[0]"
