"""`holdfast check` on an artifact of every shape: which family takes it and why, what is in it, what it needs.

Covers: what is special to a family's report, and files that none takes. Does not cover: the report of an ALS dict, exit codes
and sources (`test_commands`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsRegressor

from models import FAMILIES
from service.commands.check import report_lines
from tests.acceptance.running import run
from tests.artifacts.content import content_dict, item_item
from tests.artifacts.hybrids import hybrid_dict
from tests.artifacts.linear import COLUMNS, fitted
from tests.artifacts.nmf import nmf_dict
from tests.artifacts.recommenders import ITEMS, USERS, bare_bpr
from tests.artifacts.writing import write

ROWS = [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 2.0, 0.0], [3.0, 1.0, 5.0], [0.5, 2.0, 1.0], [1.5, 0.0, 2.0]]
RECOMMENDERS: dict[str, tuple[Callable[[], Any], str, set[str], dict[str, Any]]] = {
    "bare": (bare_bpr, "factors", {"users", "items"}, {"users": USERS, "items": ITEMS}),
    "collaborative": (nmf_dict, "factors", {"users", "items"}, {"users": USERS, "items": ITEMS, "seen": True}),
    "content": (lambda: content_dict("str"), "neighbours", {"items"}, {"items": ITEMS}),
    "item_item": (lambda: item_item(), "neighbours", {"items"}, {"items": ITEMS}),
}


def checked(folder: Path, artifact: Any) -> tuple[int, dict[str, Any], str]:
    """Exit code and report, and the same for people."""
    file = write(artifact, folder / "artifact", "joblib_zlib")
    found = run(folder, "check", str(file), "--json")
    assert found.stderr == ""
    report = json.loads(found.stdout)
    assert report.pop("artifact") == str(file)
    return found.returncode, report, "\n".join(report_lines(str(file), report)) + "\n"


@pytest.mark.parametrize("shape", RECOMMENDERS)
def test_a_recommender_shows_ids_and_score_range(tmp_path: Path, shape: str) -> None:
    make, family, tables, details = RECOMMENDERS[shape]
    code, report, told = checked(tmp_path, make())
    assert (code, report["verdict"], report["family"]) == (0, "ok", family)
    assert report["reason"] and report["reason"] in told
    assert set(report["ids"]) == tables and all(f"{table}: {report['ids'][table]}" in told for table in tables)
    assert {name: report["details"][name] for name in details} == details
    ranges = report["details"]["score_range"]
    assert ranges["min"] <= ranges["p50"] <= ranges["p99"] <= ranges["max"]
    assert f"    score_range: min {ranges['min']:.4g}, " in told
    assert report["components"] and 0 < report["peak_bytes"] <= report["cap_bytes"]


def test_an_estimator_shows_features_classes_and_outputs(tmp_path: Path) -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(ROWS, [["a", 1], ["b", 2], ["a", 2], ["b", 1], ["a", 1], ["b", 2]])
    code, report, told = checked(tmp_path, {"model": forest, "trained_at": "2026-03-04"})
    assert (code, report["family"], report["ids"]) == (0, "trees", {})
    details = report["details"]
    assert (details["features"], details["outputs"], details["trained_at"]) == (3, 2, "2026-03-04")
    assert details["classes"] == [["a", "b"], ["1", "2"]]
    assert "    classes: [a, b], [1, 2]\n" in told and "  ids" not in told


def test_a_pipeline_shows_its_names(tmp_path: Path) -> None:
    code, report, told = checked(tmp_path, fitted("names").estimator)
    assert (code, report["family"]) == (0, "linear")
    assert report["details"]["feature_names"] == list(COLUMNS)
    assert f"    feature_names: {', '.join(COLUMNS)}\n" in told


def test_a_hosted_object_shows_its_class_and_walls_and_its_process_ends(tmp_path: Path) -> None:
    code, report, told = checked(tmp_path, KNeighborsRegressor(2).fit(ROWS, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    assert (code, report["family"], report["segment_bytes"]) == (0, "hosted", 0)
    assert report["details"]["model"].endswith("KNeighborsRegressor") and report["details"]["features"] == 3
    assert {"rlimit", "no_new_privs"} <= set(report["walls"]) and "  walls: rlimit" in told
    assert 0 < report["peak_bytes"] <= report["cap_bytes"]


def test_a_hybrid_shows_its_weights_and_the_parts_it_will_ask(tmp_path: Path) -> None:
    code, report, told = checked(tmp_path, hybrid_dict())
    assert (code, report["family"]) == (0, "hybrid")
    assert set(report["details"]["parts"]) == {"content", "collaborative"}
    assert "    parts: content " in told


def test_where_no_family_fits_it_says_what_each_takes(tmp_path: Path) -> None:
    code, report, told = checked(tmp_path, {"weights": [1, 2], "epoch": 3})
    assert (code, report["verdict"], set(report["families"])) == (1, "unknown_format", set(FAMILIES))
    assert "epoch, weights" in report["message"]
    assert all(f"    {family}: {words}" in told for family, words in report["families"].items())


@pytest.mark.parametrize(
    ("artifact", "missing"),
    [
        ({"nmf_model": None, "user_encoder": {}, "item_encoder": {}}, ["user_factors", "item_factors"]),
        ({"model": bare_bpr(), "trained_at": "2026"}, ["user_id_map", "item_id_map"]),
        ({"tfidf_vectorizer": None, "category_encoder": None}, ["destinations_df", "destination_features", "similarity_matrix"]),
    ],
    ids=["collaborative", "als", "content"],
)
def test_every_missing_key_is_listed(tmp_path: Path, artifact: Any, missing: list[str]) -> None:
    code, report, told = checked(tmp_path, artifact)
    assert (code, report["verdict"]) == (1, "missing_keys")
    assert sorted(report["missing"]) == sorted(missing)
    assert f"  missing: {', '.join(report['missing'])}\n" in told


def test_untrained_is_told_as_such(tmp_path: Path) -> None:
    for artifact in (content_dict(is_trained=False), nmf_dict(is_trained=False), RandomForestClassifier()):
        assert checked(tmp_path, artifact)[1]["verdict"] == "not_trained"
