"""The status object, field by field, and what it must not show."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from config.schema import ModelSettings
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Live, Phase, StoryLine
from service.lifecycle.view import Facts, ModelView, NotReady, rfc3339
from tests.unit.lifecycle.fakes import FakeLoaded

NOW = 1_763_720_100.25
SETTINGS = ModelSettings("als", source="s3://b/als.pkl")
_FIELDS = """
name status stale phase progress bytes_done bytes_total eta_s reason version family source revision required artifact_bytes
segment_bytes loaded_at load details failure story
"""
FIELDS = _FIELDS.split()


def test_a_live_model() -> None:
    loaded = Facts.of(FakeLoaded("v1", "etag:1", loaded_at=NOW))
    story = (StoryLine(NOW, "published", Phase.WARMING, Phase.LIVE, "v1"),)
    shown = ModelView(SETTINGS, Entry("als", live=Live("v1", "etag:1", NOW), story=story), loaded).to_json(NOW)
    assert list(shown) == FIELDS
    assert shown == {
        "name": "als",
        "status": "ready",
        "stale": False,
        "phase": None,
        "progress": None,
        "bytes_done": None,
        "bytes_total": None,
        "eta_s": None,
        "reason": None,
        "version": "v1",
        "family": "factors",
        "source": "s3://b/als.pkl",
        "revision": "etag:1",
        "required": True,
        "artifact_bytes": 100,
        "segment_bytes": 200,
        "loaded_at": "2025-11-21T10:15:00.250Z",
        "load": {"seconds": 0.5},
        "details": {"users": 3},
        "failure": None,
        "story": [{"at": "2025-11-21T10:15:00.250Z", "event": "published", "from": "warming", "to": "live", "cause": "v1"}],
    }


def test_a_download_and_an_earlier_failure() -> None:
    attempt = Attempt(2, Phase.DOWNLOADING, Cause.RETRY, NOW, reason="resuming", baseline_at=NOW - 1)
    attempt = replace(attempt, bytes_done=25, bytes_total=100, progress=0.25)
    failure = Failure("fetch_stalled", "no byte for 30 s", True, 2, NOW, None)
    shown = ModelView(SETTINGS, Entry("als", attempt=attempt, failure=failure), None).to_json(NOW)
    assert list(shown) == FIELDS
    assert (shown["status"], shown["stale"], shown["phase"], shown["reason"]) == ("loading", False, "downloading", "resuming")
    assert (shown["progress"], shown["bytes_done"], shown["bytes_total"], shown["eta_s"]) == (0.25, 25, 100, 3.0)
    unknown = ("version", "family", "revision", "artifact_bytes", "segment_bytes", "loaded_at", "load", "details")
    assert {shown[name] for name in unknown} == {None}
    assert shown["failure"] == {
        "type": "fetch_stalled",
        "message": "no byte for 30 s",
        "retryable": True,
        "attempts": 2,
        "at": "2025-11-21T10:15:00.250Z",
        "next_attempt_at": None,
    }


def test_stale_and_draining() -> None:
    failure = Failure("source_unavailable", "refused", True, 1, NOW, NOW + 1)
    stale = ModelView(SETTINGS, Entry("als", live=Live("v1", "r", NOW), failure=failure), Facts.of(FakeLoaded("v1", "r"))).to_json(NOW)
    assert (stale["status"], stale["stale"], stale["failure"]["next_attempt_at"]) == ("ready", True, "2025-11-21T10:15:01.250Z")
    gone = ModelView(SETTINGS, Entry("als", unloaded=True, draining=("v1",)), None).to_json(NOW)
    assert (gone["status"], gone["phase"]) == ("unloaded", "draining")


def test_a_configured_family_is_known_before_the_load() -> None:
    assert ModelView(replace(SETTINGS, family="factors"), Entry("als"), None).to_json(NOW)["family"] == "factors"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/models/a b?.pkl", "/models/a b?.pkl"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("gdrive://FILE_ID", "gdrive://FILE_ID"),
        ("training:als", "training:als"),
        ("https://user:secret@host:8443/m.pkl", "https://host:8443/m.pkl"),
        ("https://h/m?X-Amz-Signature=abc&versionId=7&sig=", "https://h/m?X-Amz-Signature=***&versionId=7&sig=***"),
        ("https://drive.google.com/uc?id=F&export=download#x", "https://drive.google.com/uc?id=F&export=download"),
        ("https://[broken:secret@/m", "https://***"),
    ],
)
def test_sources_are_shown_without_secrets(source: str, shown: str) -> None:
    assert ModelView(ModelSettings("m", source=source), Entry("m"), None).to_json(NOW)["source"] == shown


def test_times_are_utc() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


def test_not_ready_carries_the_view_and_survives_pickling() -> None:
    error = NotReady(ModelView(ModelSettings("als", parts={}), Entry("als", unloaded=True), None))
    again = pickle.loads(pickle.dumps(error))
    assert str(error) == str(again) == "model 'als' is unloaded"
    assert again.view.entry == error.view.entry
