"""The bench of scoring asks the model it loaded, and sklearn, the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.scoring import MODELS, as_json, by_turns, main


def test_each_model_is_loaded_asked_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--rows",
        "80",
        "--trees",
        "3",
        "--runs",
        "2",
        "--folder",
        str(tmp_path),
        "--models",
        "forest,gradient-regressor,histogram-missing",
    ]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out.partition("\n{\n")[2].join(["{\n", ""]))
    assert {name: (row["family"], row["trees"]) for name, row in report.items()} == {
        "forest": ("trees", 3), "gradient-regressor": ("trees", 3), "histogram-missing": ("trees", 3)}  # fmt: skip
    for row in report.values():
        assert row["largest_difference"] < 1e-9 and row["one_row_x"] > 0 and row["rows_1000_x"] > 0
    assert list(tmp_path.iterdir()) == []


def test_calls_take_turns() -> None:
    called: list[str] = []
    ours, theirs = by_turns(lambda: called.append("ours"), lambda: called.append("theirs"), runs=4, at_once=2)
    assert called == ["ours"] * 2 + ["theirs"] * 2 + ["ours"] * 2 + ["theirs"] * 2 and 0 < ours.quiet <= ours.median and theirs.median > 0


def test_missing_values_are_null() -> None:
    assert as_json(np.array([[1.0, np.nan]])) == [[1.0, None]]
    assert all(callable(maker) for maker in MODELS.values())
