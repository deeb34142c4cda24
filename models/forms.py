"""What a model takes and gives, said before anyone asks it: what typed protocols and forms on a page are made from.

Covers: rows (estimators, hosted models) and ids (recommenders). Does not cover: the values of a question (`models.base`),
checking rows (`models.estimator`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .base import Id
from .estimator import Signature

IdKind = Literal["int", "str", "mixed"]
RowKind = Literal["rows", "texts", "objects"]


@dataclass(frozen=True, slots=True)
class RowForm:
    """A model that predicts rows.

    takes: "rows" of features, or what a pipeline's first step takes instead: "texts" (strings), "objects" (JSON objects).
    text: the columns that hold text, as far as that is known. has_probabilities: whether an answer has them, as far as the
    model says.
    """

    signature: Signature
    takes: RowKind = "rows"
    text: frozenset[int] = frozenset()
    has_probabilities: bool = False


@dataclass(frozen=True, slots=True)
class ItemForm:
    """A model that recommends items. users: the kind of its user ids, None where it has no users of its own.

    has_categories: whether an answer can be limited to categories. joins_liked: whether users and liked items may be asked with
    together. some_user, some_item: ids that it knows, for somebody who wants to try it; None where it has none.
    """

    users: IdKind | None
    items: IdKind
    has_categories: bool = False
    joins_liked: bool = False
    some_user: Id | None = None
    some_item: Id | None = None


Form = RowForm | ItemForm


def joint(one: IdKind, other: IdKind) -> IdKind:
    """The kind of the ids of two tables together."""
    return one if one == other else "mixed"
