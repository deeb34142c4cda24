"""What users did, as it is posted, and what came of it.

Covers: the fields, from JSON to interactions. Does not cover: what a table takes (`training.ingest`), times that cannot be
(`service.routes.interactions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from service.body import decode
from service.errors import InvalidField

MOST = 10_000
"""Interactions of one request."""

_Text = Annotated[str, Meta(min_length=1, max_length=500)]
Entity = Annotated[int | _Text, Meta(description='In the kind that the table and the models have: "1" is not 1')]
Weight = Annotated[float, Meta(gt=0.0, le=1e30, description="How much it says; a user's weights for an item add up")]
Time = Annotated[
    Annotated[datetime, Meta(tz=True)] | Annotated[float, Meta(ge=0.0)],
    Meta(description="When it happened: RFC 3339 with its zone, or Unix seconds; now where it is left out"),
]


class Interaction(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a user did with an item."""

    user_id: Entity
    item_id: Entity
    weight: Weight = 1.0
    ts: Time | UnsetType = UNSET


class Interactions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Several at once: all are taken, or none."""

    interactions: Annotated[list[Interaction], Meta(min_length=1, max_length=MOST)]


class Taken(Struct, kw_only=True):
    """They are in the table, and count in their users' next answers."""

    accepted: Annotated[int, Meta(ge=1, description="Interactions of the request")]
    duplicate: Annotated[bool, Meta(description="Whether it had been taken before, under the same key: nothing was appended now")]


class Posted(NamedTuple):
    """A request. is_single: it was one object. digest: of what was asked for, hex, however it was written."""

    interactions: Sequence[Interaction]
    is_single: bool
    digest: str

    def field(self, at: int | None, column: str) -> str:
        """The field at fault, as the caller wrote it."""
        if at is None:
            return "interactions"
        return column if self.is_single else f"interactions[{at}].{column}"


class _Shape(Struct):
    interactions: Raw | UnsetType = UNSET


_encode = msgspec.json.Encoder(order="deterministic").encode
_shape = msgspec.json.Decoder(_Shape).decode
_several = msgspec.json.Decoder(Interactions).decode
_single = msgspec.json.Decoder(Interaction).decode

EXAMPLES = {
    "several": {
        "interactions": [
            {"user_id": 42, "item_id": 7},
            {"user_id": 42, "item_id": 9, "weight": 2.5, "ts": "2026-03-04T05:06:07Z"},
            {"user_id": 43, "item_id": 7, "ts": 1772600767},
        ]
    },
    "one": {"user_id": 42, "item_id": 7},
}


def posted(raw: bytes) -> Posted:
    """What the body asks for: a list in `interactions`, or one interaction. Raises MalformedBody, InvalidField."""
    is_single = decode(raw, _shape).interactions is UNSET
    interactions = [decode(raw, _single)] if is_single else decode(raw, _several).interactions
    found = Posted(interactions, is_single, hashlib.sha256(_encode(interactions)).hexdigest())
    for at, each in enumerate(interactions):
        for column in ("user_id", "item_id"):
            id = getattr(each, column)
            if isinstance(id, str) and "\0" in id:
                raise InvalidField(found.field(at, column), "an id has no NUL character")
    return found
