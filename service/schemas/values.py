"""The values that several documents have: ids, times, sizes.

Covers: types with the words that the API description says of them. Does not cover: documents (the other files of this package).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name of a configured model")]
Id = Annotated[int | str, Meta(description='Id of a user or an item, in the kind that the model has: "1" is not 1')]
Timestamp = Annotated[datetime, Meta(tz=True, description="RFC 3339, in UTC")]
Bytes = Annotated[int, Meta(ge=0, description="Bytes")]
Seconds = Annotated[float, Meta(ge=0.0, description="Seconds")]
RetryAfter = Annotated[int, Meta(ge=1, description="Whole seconds until it is worth asking again")]
StatusWord = Literal["ready", "loading", "error", "unloaded", "not_started"]
PhaseWord = Literal["queued", "downloading", "verifying", "training", "loading", "warming", "draining"]
