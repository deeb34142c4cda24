"""A weight counts the same when a model learns and when it answers; a bundle that says nothing counts weights as they are."""

from __future__ import annotations

import numpy as np
import pytest

from models.bundle import BadBundle, Bundle
from models.confidence import WEIGHTINGS, confidences, weighting_of
from models.recent import Additions


@pytest.mark.parametrize(("how", "wanted"), [("log", [1.0, 2.0, 3.0]), ("linear", [1.0, 3.0, 7.0]), ("equal", [1.0, 1.0, 1.0])])
def test_a_weight_of_one_is_one_in_all_of_them(how: str, wanted: list[float]) -> None:
    found = confidences(np.array([1, 3, 7], np.float32), how)
    assert found.tolist() == wanted and found.dtype == np.float64
    new = Additions(np.arange(3), np.array([1.0, 3.0, 7.0])).counted(how)
    assert new.weights.tolist() == wanted and new.rows.tolist() == [0, 1, 2]


def test_what_a_bundle_says() -> None:
    assert weighting_of(Bundle("factors", {})) == "linear"
    assert [weighting_of(Bundle("factors", {}, {"weights": how})) for how in WEIGHTINGS] == list(WEIGHTINGS)
    for forged in ("square", 3, None, ["log"]):
        with pytest.raises(BadBundle, match="not known"):
            weighting_of(Bundle("factors", {}, {"weights": forged}))
