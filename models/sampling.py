"""What is sampled of a recommender's scores when it is loaded: shown in its status, and the scale on which hybrids add up. numpy only.

Covers: which rows of how many, the range of what was found. Does not cover: scoring them (each family's `warm`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SUBJECTS = 64
"""Users, or people who like one item, that are scored."""
ITEMS = 4096
_SHARES = {"min": 0.0, "p50": 0.5, "p99": 0.99, "max": 1.0}


def spread(rows: int, most: int) -> NDArray[np.int64]:
    """At most `most` row numbers, evenly spread over all."""
    return np.arange(0, rows, max(1, -(-rows // most)), dtype=np.int64)


def score_range(scores: NDArray[Any]) -> dict[str, float] | None:
    """{"min", "p50", "p99", "max"} of those that are finite; None where none is."""
    ranked = np.sort(scores[np.isfinite(scores)])  # not np.percentile: it imports modules, and by now the child can open no file
    return {name: float(ranked[round(share * (len(ranked) - 1))]) for name, share in _SHARES.items()} if len(ranked) else None
