"""Kept versions as JSON."""

from __future__ import annotations

from dataclasses import replace

from loaders.published import PublishedVersion
from service.lifecycle.ports import Published
from service.lifecycle.versions import KeptVersion, KeptVersions, kept_versions, version_before
from service.lifecycle.view import Facts

FACTS = Facts(
    version="v2", revision="r2", family="factors", artifact_bytes=10, segment_bytes=5, loaded_at=1_700_000_000.0, load={}, details={}
)


NAMES = [f"2026112{day}T101500-3fa9c{day}" for day in (1, 2, 3, 4)]
UNTRAINED = ("metrics", "published_at", "trained_at", "algorithm", "parameters", "verdict", "withdrawn")


def record(version: str) -> PublishedVersion:
    return PublishedVersion(
        version=version,
        training="als",
        algorithm="als",
        family="factors",
        trained_at=1_700_000_000.0,
        published_at=1_700_000_001.5,
        bytes=10,
        sha256="0" * 64,
        code_version="1",
        seconds=2.0,
        peak_bytes=None,
        split="time",
        cut_at=1_690_000_000.0,
        parameters={"factors": 64},
        metrics={"ndcg@10": 0.25},
        verdict={"accepted": True, "cut_at": 1_690_000_000.0},
    )


def published(*versions: str, **members: object) -> Published:
    return Published(tuple(record(version) for version in versions), **members)  # type: ignore[arg-type]


def test_of_an_artifact_from_elsewhere_only_what_its_load_told() -> None:
    told = KeptVersions("als", live="v2", versions=(KeptVersion(FACTS),)).to_json()
    assert told == {
        "model": "als",
        "live": "v2",
        "current": None,
        "pinned": None,
        "versions": [
            {
                "version": "v2",
                "live": True,
                "pinned": False,
                "revision": "r2",
                "family": "factors",
                "loaded_at": "2023-11-14T22:13:20.000Z",
                "artifact_bytes": 10,
                "segment_bytes": 5,
                **dict.fromkeys(UNTRAINED),
            }
        ],
    }


def test_what_is_published_is_joined_with_what_serves() -> None:
    live = replace(FACTS, version=NAMES[1], revision=f"training:{NAMES[1]}")
    withdrawn = {NAMES[2]: {"at": 1_700_000_000.0, "type": "canary_failed", "message": "no answer"}}
    kept = kept_versions("als", live, published(*NAMES[2::-1], current=NAMES[1], pinned=NAMES[1], withdrawn=withdrawn))
    told = kept.to_json()
    assert [each["version"] for each in told["versions"]] == NAMES[2::-1]
    newest, serving, oldest = told["versions"]
    assert (told["live"], told["current"], told["pinned"]) == (NAMES[1],) * 3
    assert (serving["live"], serving["pinned"]) == (True, True)
    assert (serving["loaded_at"], serving["segment_bytes"]) == ("2023-11-14T22:13:20.000Z", 5)
    assert newest["withdrawn"] == {"at": "2023-11-14T22:13:20.000Z", "type": "canary_failed", "message": "no answer"}
    assert oldest == {
        "version": NAMES[0],
        "live": False,
        "pinned": False,
        "revision": f"training:{NAMES[0]}",
        "family": "factors",
        "loaded_at": None,
        "artifact_bytes": 10,
        "segment_bytes": None,
        "metrics": {"ndcg@10": 0.25},
        "published_at": "2023-11-14T22:13:21.500Z",
        "trained_at": "2023-11-14T22:13:20.000Z",
        "algorithm": "als",
        "parameters": {"factors": 64},
        "verdict": {"accepted": True, "cut_at": "2023-07-22T04:26:40.000Z"},
        "withdrawn": None,
    }


def test_what_serves_is_named_even_where_its_folder_is_gone() -> None:
    live = replace(FACTS, version=NAMES[1])
    kept = kept_versions("als", live, published(NAMES[2], NAMES[0], current=NAMES[2]))
    assert [each.version for each in kept.versions] == NAMES[2::-1] and kept.live == NAMES[1]


def test_the_version_before_is_older_than_what_is_current_and_was_not_withdrawn() -> None:
    withdrawn = {NAMES[1]: {"at": 0, "type": "t", "message": "m"}}
    assert version_before(published(*NAMES[::-1], current=NAMES[2])) == NAMES[1]
    assert version_before(published(*NAMES[::-1], current=NAMES[2], withdrawn=withdrawn)) == NAMES[0]
    assert version_before(published(*NAMES[::-1], current=NAMES[0])) is None
    assert version_before(published(*NAMES[::-1])) is None


def test_nothing_kept() -> None:
    assert KeptVersions("als").to_json() == {"model": "als", "live": None, "current": None, "pinned": None, "versions": []}
