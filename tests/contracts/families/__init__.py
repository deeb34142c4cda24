"""What each family of `models.FAMILIES` brings to the contract: a module of its name, with examples by name.

    RECOMMENDERS: dict[str, Callable[[], RecommenderExample]]        made with the real library, small, cached
    ITEM_RECOMMENDERS: dict[str, Callable[[], RecommenderExample]]   the same of artifacts that know no users
    ESTIMATORS: dict[str, Callable[[], EstimatorExample]]

What is tested of an example follows from the dict it is in, so that no example has to be made to know it.
A family whose scorer is not made of its own arrays alone (a hybrid of its parts, a hosted one of its child) is loaded by
its own tests through a server, and brings no example: its module says so with OWN_SUITE, the test file that has the same
promises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from models import FAMILIES


class RecommenderExample(NamedTuple):
    """An artifact and the library's own answers: [(item id, score)], best first, seen items left out.

    users: ids, [] where the model knows none. answers(k): one list a user. liked: item ids, and liked_answers(k) what the
    library answers someone who likes them, None where it has no such thing. similar_answers(item, k) likewise.
    """

    artifact: Any
    users: Sequence[Any]
    answers: Callable[[int], list[list[tuple[Any, float]]]]
    liked: Sequence[Any]
    liked_answers: Callable[[int], list[tuple[Any, float]]] | None = None
    similar_answers: Callable[[Any, int], list[tuple[Any, float]]] | None = None


class EstimatorExample(NamedTuple):
    """A fitted estimator, rows for it (lists of JSON values, None for missing) and the library's own answer to them.

    probabilities: None where the library gives none.
    """

    artifact: Any
    rows: Sequence[Sequence[Any]]
    predictions: Sequence[Any]
    probabilities: Any = None


Example = RecommenderExample | EstimatorExample


KINDS = ("RECOMMENDERS", "ITEM_RECOMMENDERS", "ESTIMATORS")


def examples(*kinds: str) -> list[tuple[str, str]]:
    """(family, name) of the examples of these kinds, without any of all. Raises ImportError for a listed family without a module."""
    return [(family, name) for family in FAMILIES for kind in kinds or KINDS for name in getattr(_module(family), kind, {})]


def example(family: str, name: str) -> Example:
    """Made now, or before. Raises AssertionError for one that stands among those of another kind."""
    module = _module(family)
    kind = next(kind for kind in KINDS if name in getattr(module, kind, {}))
    made: Example = getattr(module, kind)[name]()
    assert isinstance(made, EstimatorExample) == (kind == "ESTIMATORS")
    assert isinstance(made, EstimatorExample) or bool(made.users) == (kind == "RECOMMENDERS")
    return made


def own_suite(family: str) -> str | None:
    """The test file of a family that brings no examples."""
    return getattr(_module(family), "OWN_SUITE", None)


def _module(family: str) -> Any:
    return import_module(f"tests.contracts.families.{family}")
