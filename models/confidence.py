"""How much the weight of a pair of user and item counts: the same when a model learns and when it answers. numpy only, pure.

A bundle says in `meta["weights"]` which of `WEIGHTINGS` its users' weights went through; what users do afterwards goes through it, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import BadBundle, Bundle

LINEAR = "linear"
WEIGHTINGS = ("log", LINEAR, "equal")
"""log2(1 + w); w; 1. A weight of 1 is 1 in all of them."""


def confidences(weights: NDArray[Any], how: str) -> NDArray[np.float64]:
    """Weights, each above 0, as they count."""
    wide = weights.astype(np.float64)
    if how == "log":
        return np.log2(1.0 + wide)
    return np.ones_like(wide) if how == "equal" else wide


def weighting_of(bundle: Bundle) -> str:
    """Which one a bundle's weights went through; those of others' models went through none. Raises BadBundle."""
    how = bundle.meta.get("weights", LINEAR)
    if how not in WEIGHTINGS:
        raise BadBundle(f"weights count in a way that is not known: {how!r}"[:200])
    return str(how)
