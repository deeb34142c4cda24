"""What a writer of interactions is given, what it answers and what it refuses.

Covers: types, names of tables. Does not cover: writing (one file a kind of database), who may post (`service.admin`), which fields an
interaction has on the wire (`service.schemas.interactions`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from config.declared import TABLE_NAME

Id = int | str

COLUMNS = ("user_id", "item_id", "weight", "ts")
KEYS_TABLE = "holdfast_ingest_keys"
KEY_KEPT_S = 86_400.0
"""How long a request is known by its key: who repeats it later appends it again."""
KEYS_BETWEEN_CLEANINGS = 1_000
RECENT_AT_ONCE = 1_000
"""Rows that are read in one go, in a few milliseconds of the event loop."""


class Interaction(NamedTuple):
    """What a user did. weight: positive, finite. ts: Unix seconds."""

    user_id: Id
    item_id: Id
    weight: float
    ts: float


class Key(NamedTuple):
    """What a request is known by when it is sent again. name: the client's. digest: of what it asked for, hex."""

    name: str
    digest: str


class Appended(NamedTuple):
    """accepted: interactions of the request. is_duplicate: it was appended before, under the same key, and is not again."""

    accepted: int
    is_duplicate: bool = False


class NotTaken(Exception):
    """As it is configured nothing can be appended, whoever asks; the message says what to change."""


class WrongValue(Exception):
    """The table does not take a value. at: position in the request, None where the database does not say which. column: "user_id" ..."""

    def __init__(self, at: int | None, column: str, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.column = column
        self.message = message


class KeyReused(Exception):
    """The key stands for another request already."""


class Ingest(Protocol):
    """A table that takes interactions. One event loop; several requests may append at once.

    Every method raises training.errors.DataUnavailable where the database cannot be reached or does not answer in time (then, as with
    any lost answer, a request may have been appended all the same: with a key it is safe to send it again), NotTaken where the table
    cannot take any.
    """

    async def append(self, rows: Sequence[Interaction], key: Key | None = None) -> Appended:
        """Append all rows in one transaction; they are durable when this returns. Makes the table where there is none.

        With a key that was used for the same request nothing is appended. Raises WrongValue, KeyReused; then nothing was appended.
        """
        ...

    def recent(self, limit: int) -> AsyncGenerator[list[Interaction], None]:
        """The latest rows of the table by `ts`, latest first, in runs; rows that are no interactions are left out."""
        ...

    async def aclose(self) -> None:
        """Ends what is going on and lets the database go; again and again does no harm."""
        ...


def table_name(written: str) -> tuple[str | None, str]:
    """Schema, if any, and table of `[data] ingest_table`. Raises NotTaken for what is no name."""
    found = TABLE_NAME.fullmatch(written)
    if found is None:
        raise NotTaken(f"[data] ingest_table {written!r} is no name of a table: letters, digits and _, with or without a schema before it.")
    return found["schema"], found["table"]


def quoted(*names: str | None) -> str:
    """A name in SQL, exactly as it is."""
    return ".".join(f'"{name}"' for name in names if name is not None)
