"""Kept versions as JSON."""

from __future__ import annotations

from dataclasses import replace

from service.lifecycle.versions import KeptVersion, KeptVersions
from service.lifecycle.view import Facts

FACTS = Facts(
    version="v2", revision="r2", family="factors", artifact_bytes=10, segment_bytes=5, loaded_at=1_700_000_000.0, load={}, details={}
)


def test_each_says_whether_it_serves_and_whether_it_is_pinned() -> None:
    older = KeptVersion(replace(FACTS, version="v1", revision="r1"), {"ndcg@10": 0.25})
    told = KeptVersions("als", live="v2", pinned="v1", versions=(KeptVersion(FACTS), older)).to_json()
    assert (told["model"], told["live"], told["pinned"]) == ("als", "v2", "v1")
    assert told["versions"] == [
        {
            "version": "v2",
            "live": True,
            "pinned": False,
            "revision": "r2",
            "family": "factors",
            "loaded_at": "2023-11-14T22:13:20.000Z",
            "artifact_bytes": 10,
            "segment_bytes": 5,
            "metrics": None,
        },
        {**told["versions"][0], "version": "v1", "live": False, "pinned": True, "revision": "r1", "metrics": {"ndcg@10": 0.25}},
    ]


def test_nothing_kept() -> None:
    assert KeptVersions("als").to_json() == {"model": "als", "live": None, "pinned": None, "versions": []}
