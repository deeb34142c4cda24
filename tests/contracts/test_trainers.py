"""What every trainer of `training.trainers.TRAINERS` owes: from any data a bundle whose answers hold to the rules, or a reason.

A trainer is tried the moment it is listed. Does not cover: how good it is (`tests/unit/training`, `bench.planted`,
`bench.quality`), the run around it (`tests/integration/training`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import FAMILIES
from models.base import InvalidQuery, Query, Ranking
from tests.contracts.learning import EMPTY, KINDS, Learned, ask_for, data, fit, grouped, learn
from training.dataset.base import Dataset
from training.errors import BadParameter, Untrainable
from training.trainers import TRAINERS, open_trainer
from training.trainers.base import Parameter
from training.trainers.parameters import check, type_of

ALL = tuple(TRAINERS)
COMPARES_NO_ITEMS = ("popular",)
"""Trainers whose models say of no two items how alike they are."""
NEEDED = {
    ("content", "items"): r"\[data\] items",
    ("content", "everything"): r"\[data\] items",
    ("features", "everything"): r"\[data\] user_features, item_features",
}
"""What a trainer cannot do without, and how it asks for it."""
TOO_LITTLE = {("svd", kind) for kind in ("one-item", "one-user", "one-pair")}
"""Data of which an algorithm can make nothing, and says so."""


def rankings(scorer: Any, query: Query) -> list[Ranking]:
    answers = scorer.recommend(query)
    assert all(isinstance(answer, Ranking) for answer in answers)
    for answer in answers:
        assert len(answer.items) == len(set(answer.items)) == len(answer.scores) <= query.k
        assert all(isfinite(score) for score in answer.scores)
    return list(answers)


def had_by(dataset: Dataset, row: int) -> set[Any]:
    interactions = dataset.interactions
    return {dataset.item_ids[item] for item in interactions.items[interactions.users == row].tolist()}


@pytest.fixture(scope="module", params=ALL)
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def plain(algorithm: str, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return learn(algorithm, KINDS["int-ids-and-times"](), tmp_path_factory.mktemp(algorithm), held=HELD)


HELD = ((0, 1), (1, 0), (2, 17))
"""Interactions that users have, and that were held out."""


# -- data ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_known_user_is_answered_without_what_they_have(algorithm: str, kind: str, tmp_path: Path) -> None:
    dataset = KINDS[kind]()
    if (algorithm, kind) in TOO_LITTLE:
        with pytest.raises(Untrainable, match="nothing in common"):
            learn(algorithm, dataset, tmp_path)
        return
    learned = learn(algorithm, dataset, tmp_path)
    users, items = list(dataset.user_ids), set(dataset.item_ids)
    for row, answer in enumerate(rankings(learned.scorer, Query(users=users, k=len(items)))):
        assert answer.user == users[row]
        assert set(answer.items) <= items - had_by(dataset, row)


@pytest.mark.parametrize("kind", ["int-ids-and-times", "str-ids-without-times", "weights", "cold-users-and-items"])
def test_what_somebody_has_is_recommended_to_others(algorithm: str, kind: str, tmp_path: Path) -> None:
    dataset = KINDS[kind]()
    learned = learn(algorithm, dataset, tmp_path)
    warm_users, warm_items = (np.unique(rows).tolist() for rows in (dataset.interactions.users, dataset.interactions.items))
    answers = rankings(learned.scorer, Query(users=[dataset.user_ids[row] for row in warm_users], k=len(dataset.item_ids)))
    warm = {dataset.item_ids[row] for row in warm_items}
    assert all(set(answer.items) >= warm - had_by(dataset, row) for row, answer in zip(warm_users, answers, strict=True))


def test_nothing_is_learned_from_nothing(algorithm: str, tmp_path: Path) -> None:
    with pytest.raises(Untrainable) as raised:
        fit(algorithm, ask_for(algorithm, EMPTY, tmp_path))
    assert raised.value.message


@pytest.mark.parametrize("left_out", ["items", "user_features", "item_features", "everything"])
def test_what_is_not_told_is_done_without_or_asked_for(algorithm: str, left_out: str, tmp_path: Path) -> None:
    names = {"items", "user_features", "item_features"} if left_out == "everything" else {left_out}
    whole = KINDS["int-ids-and-times"]()
    told: dict[str, Any] = dict.fromkeys(names)
    ask = replace(ask_for(algorithm, whole, tmp_path), train=replace(whole, **told))
    if (algorithm, left_out) in NEEDED:
        with pytest.raises(Untrainable, match=NEEDED[algorithm, left_out]):
            fit(algorithm, ask)
    else:
        assert fit(algorithm, ask).bundle.family in FAMILIES


# -- answers ------------------------------------------------------------------------------------------------------------


def test_what_was_held_out_is_left_out_of_answers(plain: Learned) -> None:
    answers = rankings(plain.scorer, Query(users=[user + 1 for user, _ in HELD], k=18))
    assert all(item + 1 not in answer.items for answer, (_, item) in zip(answers, HELD, strict=True))


def test_one_user_is_answered_as_among_many(plain: Learned) -> None:
    together = rankings(plain.scorer, Query(users=list(range(1, 25)), k=5))
    alone = [rankings(plain.scorer, Query(users=[user], k=5))[0] for user in range(1, 25)]
    assert [answer.items for answer in together] == [answer.items for answer in alone]


def test_somebody_new_is_answered_by_what_they_like(plain: Learned) -> None:
    (answer,) = rankings(plain.scorer, Query(liked=[1, 4, 99_999], k=18))
    assert answer.items and not {1, 4} & set(answer.items)


def test_items_are_alike_or_it_is_said_that_they_are_not_compared(algorithm: str, plain: Learned) -> None:
    if algorithm in COMPARES_NO_ITEMS:
        with pytest.raises(InvalidQuery):
            plain.scorer.recommend(Query(similar_to=1, k=5))
        return
    (answer,) = rankings(plain.scorer, Query(similar_to=1, k=5))
    assert answer.items and 1 not in answer.items


def test_categories_and_columns_of_the_data_are_answered(algorithm: str, plain: Learned) -> None:
    for answer in rankings(plain.scorer, Query(users=[1, 2, 3], k=18, categories=["lake"], fields=["title", "price"])):
        items = [int(item) for item in answer.items]
        assert items and all((item - 1) % 3 == 0 for item in items)
        assert answer.columns["price"] == [item - 1 for item in items]
        assert all("lake" in title for title in answer.columns["title"])


def test_only_exclude_and_explain_are_answered(plain: Learned) -> None:
    only = rankings(plain.scorer, Query(users=[1], k=18, only=list(range(1, 10)), exclude=[3], exclude_seen=False))[0]
    assert set(only.items) <= set(range(1, 10)) - {3}
    explained = rankings(plain.scorer, Query(users=[1], k=3, explain=True))[0]
    assert explained.because is not None and len(explained.because) == len(explained.items)


# -- what is told -------------------------------------------------------------------------------------------------------


def test_details_say_what_it_is_and_when_it_learned(algorithm: str, plain: Learned) -> None:
    details = plain.trained.bundle.details
    assert details["algorithm"] == algorithm and str(details["trained_at"]).endswith("Z") and details["model"]


def test_parameters_are_told_with_those_that_were_chosen(algorithm: str, plain: Learned) -> None:
    declared = open_trainer(algorithm).parameters
    told = plain.trained.parameters
    assert list(told) == list(declared)
    given = {name: value for name, value in told.items() if value is not None}
    assert check(algorithm, given) == {**check(algorithm, {}), **given}
    asked_again = check(algorithm, given)
    assert all(asked_again[name] == told[name] for name in given)


def test_progress_goes_forward_to_the_end_of_each_step(plain: Learned) -> None:
    assert plain.progress
    steps: dict[str, list[tuple[int, int]]] = {}
    for step, done, total in plain.progress:
        assert step and done >= 0 and (not total or done <= total)
        steps.setdefault(step, []).append((done, total))
    for told in steps.values():
        assert [done for done, _ in told] == sorted(done for done, _ in told)
    done, total = plain.progress[-1][1:]
    assert done == total


def test_notes_are_json(plain: Learned) -> None:
    json.dumps(dict(plain.trained.notes), allow_nan=False)
    json.dumps(dict(plain.trained.parameters), allow_nan=False)


def test_the_same_seed_gives_the_same_model(algorithm: str, plain: Learned, tmp_path: Path) -> None:
    again = learn(algorithm, KINDS["int-ids-and-times"](), tmp_path, held=HELD).trained
    assert not differs(plain, again)
    assert dict(again.parameters) == dict(plain.trained.parameters)


# -- parameters ---------------------------------------------------------------------------------------------------------


PARAMETERS = [(algorithm, name) for algorithm in ALL for name in open_trainer(algorithm).parameters]


@pytest.mark.parametrize("of, name", PARAMETERS)
def test_a_parameter_out_of_range_is_named(of: str, name: str) -> None:
    for value in wrong_values(open_trainer(of).parameters[name]):
        with pytest.raises(BadParameter, match=name):
            check(of, {name: value})


def test_a_parameter_that_is_none_is_named(algorithm: str) -> None:
    with pytest.raises(BadParameter, match="no_such_parameter"):
        check(algorithm, {"no_such_parameter": 1})


@pytest.mark.parametrize("of, name", PARAMETERS)
def test_every_parameter_changes_the_model(of: str, name: str, tmp_path: Path) -> None:
    cells = grouped(40, 30) + grouped(40, 30, seed=5)[::2]
    dataset = data(cells, 43, 34, weights=np.random.default_rng(2).choice([1.0, 2.0, 9.0], len(cells)).tolist())
    base: dict[str, Any] = {"content_weight": 0.5, "content_weight_warm": 0.25} if name == "warm_interactions" else {}
    first = learn(of, dataset, _new(tmp_path / "default"), **base)
    tried = other_values(open_trainer(of).parameters[name])
    for at, value in enumerate(tried):
        try:
            other = learn(of, dataset, _new(tmp_path / str(at)), **{**base, name: value}).trained
        except Untrainable:
            continue  # a rate of 1 leads nowhere: the next is another try
        if differs(first, other):
            return
    pytest.fail(f"{of} is the same with {name} = {tried}")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def differs(one: Learned, other: Any) -> bool:
    """Whether two bundles hold other numbers."""
    first, second = one.trained.bundle, other.bundle
    if first.meta != second.meta or set(first.arrays) != set(second.arrays):
        return True
    return not all(np.array_equal(array, second.arrays[name], equal_nan=array.dtype.kind == "f") for name, array in first.arrays.items())


def wrong_values(parameter: Parameter) -> list[Any]:
    """Values that a parameter does not take."""
    wanted = type_of(parameter)
    found: list[Any] = [None, [1], {"a": 1}, 1 if wanted in (bool, str) else "1", True if wanted is not bool else "true"]
    if wanted is float:
        found += [float("nan"), float("inf")]
    if wanted is int:
        found += [1.5]
    if parameter.minimum is not None:
        found.append(wanted(parameter.minimum - 1))
    if parameter.maximum is not None:
        found.append(wanted(parameter.maximum + 1))
    if parameter.choices:
        found.append("none of them")
    return found


def other_values(parameter: Parameter) -> list[Any]:
    """Some that it takes, besides the default."""
    wanted = type_of(parameter)
    if wanted is bool:
        return [not parameter.default]
    if parameter.choices:
        return [choice for choice in parameter.choices if choice != parameter.default]
    low = 0 if parameter.minimum is None else parameter.minimum
    high = float("inf") if parameter.maximum is None else parameter.maximum
    near = [low + 1, low, 2, 0.35, 7]
    return [
        wanted(value) for value in near if low <= value <= high and value != parameter.default and (wanted is float or value == int(value))
    ]
