"""Which records are taken for an object to be hosted, and every name that its pickle has."""

from __future__ import annotations

from typing import Any

import pytest

from models.bundle import BadBundle, Bundle
from models.hosted.pack import matches, named, pack
from models.hosted.score import open_scorer, warm
from models.packing import NO_OPTIONS
from models.records import Array, Record, record_class


def made(path: str, state: Any = None, *args: Any) -> Record:
    module, _, name = path.rpartition(".")
    record = record_class(module, name)(*args)
    record.state = state
    return record


SVC = "sklearn.svm._classes.SVC"


@pytest.mark.parametrize(
    "root", [made(SVC, {"C": 1.0}), {"model": made(SVC, {"C": 1.0}), "metrics": {}}, {"pipeline": made(SVC, {"C": 1})}]
)
def test_objects_with_attributes_are_taken_alone_or_in_a_dict(root: Any) -> None:
    reason = matches(root)
    assert reason is not None and SVC in reason
    bundle = pack(root, NO_OPTIONS)
    assert (bundle.family, bundle.arrays, bundle.meta["classes"][-1:]) == ("hosted", {}, [SVC])
    described = open_scorer(bundle)
    assert described.model == SVC and warm(described) == {}


@pytest.mark.parametrize(
    "root",
    [
        None,
        [1],
        {"model": 3},
        {"other": made(SVC, {"C": 1})},
        made("posix.system", None, "true"),
        made("mine.factory", {"a": 1}, "true"),
        made(SVC),
        made("pandas.core.frame.DataFrame", {"_mgr": 1}),
        made("implicit.cpu.als.AlternatingLeastSquares", {"factors": 1}),
        made("scipy.sparse._csr.csr_matrix", {"data": 1}),
        {"model": made("lightfm.lightfm.LightFM", {"item_embeddings": 1})},
    ],
)
def test_values_and_what_calls_returned_are_not(root: Any) -> None:
    assert matches(root) is None


def test_every_name_is_found_wherever_it_is() -> None:
    objects = Array.of_objects([made("a.InArray", {}), record_class("a", "Itself")], (2,))
    root = made("a.Root", {"x": [made("a.InList", {})], "y": objects, "z": ({made("a.Slot", {}): 1},)}, made("a.Arg"))
    root.pairs = [("k", made("a.Pair"))]
    root.values = [made("a.Value")]
    root.kwargs = {"k": made("a.Keyword")}
    names = ["Root", "Arg", "Keyword", "InList", "InArray", "Itself", "Slot", "Value", "Pair"]
    assert named(root) == [f"a.{name}" for name in names]


def test_cycles_and_depth_end() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    circle: dict[str, Any] = {}
    circle["self"] = circle
    assert named([deep, circle]) == []


def test_more_names_than_a_header_holds_are_cut() -> None:
    bundle = pack(made(SVC, {"x": [made(f"m.{'n' * 150}{at}", {}) for at in range(1000)]}), NO_OPTIONS)
    assert bundle.meta["is_cut"] and 50 < len(bundle.meta["classes"]) <= 400
    assert sum(map(len, bundle.meta["classes"])) <= 16 << 10


@pytest.mark.parametrize("meta", [{}, {"model": 3, "classes": []}, {"model": "m", "classes": [1]}])
def test_a_forged_bundle_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(BadBundle):
        open_scorer(Bundle("hosted", {}, meta))
