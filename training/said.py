"""What PostgreSQL said, in one line that may be shown.

Covers: errors of asyncpg and of the system on the way to it. Does not cover: what they mean for who asked (`training.dataset.postgres`,
`training.ingest.postgres`).
"""

from __future__ import annotations

from training.addresses import without_password


def said_by(error: BaseException, url: str) -> str:
    """The error's words, its detail and its hint, each once; never the password of `url`."""
    # Not by str() where there is a hint: asyncpg appends detail and hint to it, below each other.
    words = str(error.args[0] if error.args and hasattr(error, "hint") else error)
    parts = (words or type(error).__name__, getattr(error, "detail", None), getattr(error, "hint", None))
    return without_password(". ".join(part.rstrip(".") for part in parts if part), url)
