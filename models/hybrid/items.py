"""The items of a hybrid: those of both its parts as one catalogue. numpy only; runs in the server.

Covers: which row of one part is which of the other (`Alignment`), ids, columns and categories of the union
(`UnionItems`). Does not cover: scores. Rows of the union are the collaborative part's rows first, in its order, then the
items that only the content part has, in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Id, InvalidQuery
from models.catalogue import Catalogue
from models.ids import IdTable

from .blending import COLLABORATIVE, CONTENT

NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the content part's items are in the union. Arrays of its own: it holds nothing of the parts.

    union_of_content: (content items,) int32, the row of each in the union. content_of: (items of the union,) int32, the
    content part's row of each, -1 where it has none. collaborative: items of the collaborative part. shared: items of both.
    """

    union_of_content: NDArray[np.int32]
    content_of: NDArray[np.int32]
    collaborative: int
    shared: int

    @property
    def count(self) -> int:
        """Items of the union."""
        return len(self.content_of)


def align(content: IdTable, collaborative: IdTable) -> Alignment:
    """Match two id tables. A million ids take a third of a second where they are text, a tenth of that where they are ints."""
    there = collaborative.match(content)
    is_new = there < 0
    union_of_content = np.where(is_new, collaborative.count + np.cumsum(is_new) - 1, there).astype(np.int32)
    content_of = np.full(collaborative.count + int(is_new.sum()), NOWHERE, np.int32)
    content_of[union_of_content] = np.arange(content.count, dtype=np.int32)
    return Alignment(union_of_content, content_of, collaborative.count, int((~is_new).sum()))


class UnionItems:
    """The catalogue of two parts. See models.catalogue.Items. `alignment` is called when it is first needed."""

    def __init__(self, content: Catalogue, collaborative: Catalogue, alignment: Callable[[], Alignment]) -> None:
        self._content = content
        self._collaborative = collaborative
        self._alignment = alignment

    @property
    def count(self) -> int:
        return self._alignment().count

    def in_words(self) -> str:
        """Kind and first ids of each part, for a person."""
        return f"{CONTENT} has {self._content.in_words()}; {COLLABORATIVE} has {self._collaborative.in_words()}"

    def row(self, id: Id) -> int | None:
        row = self._collaborative.row(id)
        if row is not None:
            return row
        row = self._content.row(id)
        return None if row is None else int(self._alignment().union_of_content[row])

    def ids(self, rows: NDArray[Any]) -> list[Id]:
        found: list[Id] = [0] * len(rows)
        for catalogue, places, theirs in self._each(rows, prefer_content=False):
            for at, id in zip(places.tolist(), catalogue.ids(theirs), strict=True):
                found[at] = id
        return found

    def values(self, fields: Sequence[str], rows: NDArray[Any]) -> dict[str, list[Any]]:
        """From the content part; from the collaborative one where only it has the column, or the item. Null where neither has both."""
        found = {}
        for at, name in enumerate(fields):
            column: list[Any] = [None] * len(rows)
            refusals = []
            for catalogue, places, theirs in self._each(rows, prefer_content=True):
                try:
                    values = catalogue.values([name], theirs)[name]
                except InvalidQuery as error:
                    refusals.append(error)
                    continue
                for place, value in zip(places.tolist(), values, strict=True):
                    if column[place] is None:
                        column[place] = value
            if len(refusals) == 2:
                raise InvalidQuery(f"fields[{at}]", refusals[0].message)
            found[name] = column
        return found

    def in_categories(self, categories: Sequence[str]) -> NDArray[np.bool_]:
        """Of the union, in either part; a category that neither part has is refused."""
        alignment = self._alignment()
        found = np.zeros(alignment.count, np.bool_)
        for at, word in enumerate(categories):
            refusals = []
            for catalogue, rows in ((self._content, alignment.union_of_content), (self._collaborative, slice(alignment.collaborative))):
                try:
                    found[rows] |= catalogue.in_categories([word])
                except InvalidQuery as error:
                    refusals.append(error)
            if len(refusals) == 2:
                said = next((error for error in refusals if error.field != "categories"), refusals[0])
                raise InvalidQuery(said.field if said.field == "categories" else f"categories[{at}]", said.message)
        return found

    def _each(self, rows: NDArray[Any], *, prefer_content: bool) -> list[tuple[Catalogue, NDArray[Any], NDArray[Any]]]:
        """(catalogue, places among `rows`, rows of that catalogue): content's where it has the item, else the collaborative's.

        Without `prefer_content` each place is named once, collaborative first; with it a place may be named by both.
        """
        alignment = self._alignment()
        theirs = alignment.content_of[rows]
        is_collaborative = rows < alignment.collaborative
        in_content = np.flatnonzero((theirs >= 0) & (prefer_content | ~is_collaborative))
        in_collaborative = np.flatnonzero(is_collaborative)
        return [(self._content, in_content, theirs[in_content]), (self._collaborative, in_collaborative, rows[in_collaborative])]
