"""The fingerprint: what changes it, what does not, and that it is the same in every process.

Does not cover: databases (tests/contracts/test_datasets).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.support import run_python
from training.dataset.base import Dataset, Features, Fingerprint, Interactions, Items
from training.dataset.fingerprint import fingerprint


def dataset() -> Dataset:
    found = Interactions(
        np.array([0, 1, 1, 2], np.int32), np.array([0, 0, 1, 1], np.int32), np.array([1, 2, 1, 1], np.float32), np.array([10.0, 20, 30, 40])
    )
    items = Items(["a", "b"], [("x", "y"), ()], {"title": ["a", "b"], "price": [1, None]})
    features = Features(["p", "q"], np.array([0, 1, 2, 2]), np.array([0, 1], np.int32), np.array([1, 0.5], np.float32))
    return Dataset([1, 2, "1"], [7, 8], found, Fingerprint(0, None, ""), items, features)


def of(data: Dataset) -> Fingerprint:
    return fingerprint(data.user_ids, data.item_ids, data.interactions, data.items, data.user_features, data.item_features)


def changed(data: Dataset, name: str, at: int, value: float) -> Dataset:
    column = getattr(data.interactions, name).copy()
    column[at] = value
    return replace(data, interactions=replace(data.interactions, **{name: column}))


CHANGES: dict[str, Callable[[Dataset], Dataset]] = {
    "user": lambda data: changed(data, "users", 3, 0),
    "item": lambda data: changed(data, "items", 3, 0),
    "weight": lambda data: changed(data, "weights", 3, 1.5),
    "time": lambda data: changed(data, "times", 0, 10.5),
    "no times": lambda data: replace(data, interactions=replace(data.interactions, times=None)),
    "a row less": lambda data: replace(data, interactions=data.interactions.take(np.arange(3))),
    "a row twice": lambda data: replace(data, interactions=data.interactions.take(np.array([0, 1, 2, 3, 3]))),
    "kind of an id": lambda data: replace(data, user_ids=["1", 2, 1]),
    "an id": lambda data: replace(data, item_ids=[7, 9]),
    "no items": lambda data: replace(data, items=None),
    "category": lambda data: replace(data, items=Items(["a", "b"], [("x",), ()], {"title": ["a", "b"], "price": [1, None]})),
    "column": lambda data: replace(data, items=Items(["a", "b"], [("x", "y"), ()], {"title": ["a", "b"], "price": [2, None]})),
    "name of a column": lambda data: replace(data, items=Items(["a", "b"], [("x", "y"), ()], {"title": ["a", "b"], "cost": [1, None]})),
    "no features": lambda data: replace(data, user_features=None),
    "features of the others": lambda data: replace(data, user_features=None, item_features=data.user_features),
    "name of a feature": lambda data: replace(data, user_features=replace(features(data), names=["p", "r"])),
    "value of a feature": lambda data: replace(data, user_features=replace(features(data), values=np.array([1, 0.25], np.float32))),
    "whose feature": lambda data: replace(data, user_features=replace(features(data), indptr=np.array([0, 1, 1, 2]))),
}


def features(data: Dataset) -> Features:
    assert data.user_features is not None
    return data.user_features


@pytest.mark.parametrize("what", CHANGES)
def test_every_change_of_the_content_changes_it(what: str) -> None:
    data = replace(dataset(), item_ids=[7, 8, 9], items=None) if what == "features of the others" else dataset()
    assert of(CHANGES[what](data)).digest != of(data).digest


def test_how_a_value_is_written_does_not() -> None:
    data = dataset()
    same = Items(["a", "b"], [("y", "x"), ()], {"price": [1.0, None], "title": ["a", "b"], "category": ["x|y", None]})
    assert of(replace(data, items=same)) == of(data)
    assert of(changed(data, "times", 0, 0.0)) == of(changed(data, "times", 0, -0.0))


def test_the_order_of_rows_does_not() -> None:
    data = dataset()
    assert of(replace(data, interactions=data.interactions.take(np.array([2, 0, 3, 1])))) == of(data)


def test_it_says_how_many_and_until_when() -> None:
    found = of(dataset())
    assert (found.interactions, found.latest_at) == (4, 40.0) and len(found.digest) == 32


def test_another_process_finds_the_same() -> None:
    code = "from tests.unit.training.test_fingerprint import *; print(of(dataset()).digest)"
    done = run_python(code)
    assert done.stdout.strip() == of(dataset()).digest, done.stderr
