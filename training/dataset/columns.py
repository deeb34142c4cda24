"""Which column is what: by its name, which the operator's own SQL (or the header of a file) gives it.

Covers: the tables that are read and the columns that each must and may have. Does not cover: what stands in them
(`training.dataset.values`). Names of known columns count in any case (`User_ID`); features and item columns keep theirs.

    interactions    user_id, item_id; weight; ts. Other columns are not read
    items           item_id; category, categories or genres; any others: told with answers, and text is learned from
    user_features   user_id, feature; value                  one row a feature ("long"), or else
    item_features   user_id (item_id) and a column a feature          one row a user (item; "wide")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from training.errors import BadData

CATEGORY_COLUMNS = ("category", "categories", "genres")
"""Columns of items that hold categories; several in one text are separated by | or ;."""
_SHOWN = 80
"""Characters of a name in messages: a header may be anything."""


class Table(StrEnum):
    """What is read, in this order; the value is the name of the setting that asks for it."""

    INTERACTIONS = "interactions"
    ITEMS = "items"
    USER_FEATURES = "user_features"
    ITEM_FEATURES = "item_features"

    @property
    def entity(self) -> str:
        """The id column of what its rows speak of."""
        return "user_id" if self is Table.USER_FEATURES else "item_id"


class Place(NamedTuple):
    """Where a value stands, for messages: the table, as the operator knows it."""

    name: str
    """"[data] interactions", "interactions.csv"."""

    def problem(self, message: str, *, column: str = "", row: int | None = None) -> BadData:
        """What is wrong there; rows count from 1."""
        at = [self.name, *([f"column {column[:_SHOWN]}"] if column else []), *([] if row is None else [f"row {row}"])]
        return BadData(f"{', '.join(at)}: {message}")


class Columns:
    """The columns of one table, found by name."""

    def __init__(self, names: Sequence[str], place: Place) -> None:
        self.names = list(names)
        self.place = place
        self._known = [name.strip().lower() for name in names]

    def needed(self, name: str) -> int:
        """Position of a column that must be there. Raises BadData."""
        found = self.optional(name)
        if found is None:
            told = ", ".join(known[:_SHOWN] for known in self.names[:20]) or "none"
            raise self.place.problem(f"there is no column {name}, only: {told}. Name one so (in SQL: AS {name})")
        return found

    def optional(self, name: str) -> int | None:
        """Position of a column that may be there. Raises BadData where two have this name."""
        found = [at for at, known in enumerate(self._known) if known == name]
        if len(found) > 1:
            raise self.place.problem("there are two columns of this name: ask for each by name instead of *", column=name)
        return found[0] if found else None

    def others(self, *taken: int) -> list[int]:
        """Positions of all other columns. Raises BadData where two have one name or one has none."""
        found = [at for at in range(len(self.names)) if at not in taken]
        count = Counter(self.names[at] for at in found)
        for at in found:
            if not self.names[at].strip():
                raise self.place.problem(f"column {at + 1} has no name")
            if count[self.names[at]] > 1:
                raise self.place.problem("there are two columns of this name: ask for each by name instead of *", column=self.names[at])
        return found

    @property
    def is_long(self) -> bool:
        """Whether features come one a row: besides the id there are `feature` and nothing but `value`."""
        return "feature" in self._known and len(self._known) == 2 + ("value" in self._known)


def holds_categories(name: str) -> bool:
    """Whether a column of this name holds categories."""
    return name.strip().lower() in CATEGORY_COLUMNS


def split_categories(value: object) -> tuple[str, ...]:
    """The categories in one value: a list's entries, or the parts of a text between | and ;. Each once, in order; none for NULL."""
    if value is None:
        return ()
    parts = value if isinstance(value, list | tuple) else str(value).replace(";", "|").split("|")
    words = (str(part).strip() for part in parts if part is not None)
    return tuple(dict.fromkeys(word for word in words if word))
