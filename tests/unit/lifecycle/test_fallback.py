"""When a model falls back, what it falls back to, and which failures are a version's own: the pure half."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.schema import ModelSettings
from loaders.errors import FAILURES
from service.lifecycle.fallback import (
    fallback_json,
    falls_back,
    is_unfit,
    stand_in,
    trained_in_vain,
    training_of,
    trainings_behind,
)
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Live, Phase

NOW = 1_000_000.0
ELSEWHERE = ModelSettings("als", source="s3://b/als.pkl", fallback="training:backup", sha256="00", family="factors", id_column="id")
TRAINED = ModelSettings("als", source="training:als", fallback="training:als")
ALONE = ModelSettings("als", source="s3://b/als.pkl")
NOTHING = Entry("als", attempt=Attempt(1, Phase.DOWNLOADING, Cause.START, NOW))
SERVES = replace(NOTHING, live=Live("v1", "r1", NOW))
STANDS_IN = replace(NOTHING, live=Live("v1", "training:v1", NOW, "training:backup"))
FOR_GOOD = {
    "digest_mismatch", "not_a_model", "unknown_format", "corrupt_artifact", "missing_keys", "not_trained", "segment_invalid",
    "child_crashed", "internal_error",
}  # fmt: skip


def test_the_training_behind_a_model() -> None:
    assert (training_of("training:als"), training_of("s3://b/training:als")) == ("als", None)
    assert trainings_behind(ELSEWHERE) == ("backup",)
    assert trainings_behind(TRAINED) == ("als",)
    assert trainings_behind(ALONE) == ()


def test_what_was_said_of_the_artifact_does_not_hold_for_the_fallback() -> None:
    model = stand_in(ELSEWHERE)
    assert (model.name, model.source, model.sha256, model.family, model.id_column) == ("als", "training:backup", "", "auto", "")
    assert stand_in(TRAINED) is TRAINED


@pytest.mark.parametrize("type", sorted(FAILURES))
def test_what_is_missing_or_invalid_for_good_is_fallen_back_from(type: str) -> None:
    """Not where a limit of the operator's stopped it, and not what passes by itself."""
    missing = type in ("source_not_found", "access_denied")
    assert falls_back(ELSEWHERE, NOTHING, type, is_final=True) == (missing or type in FOR_GOOD)
    assert falls_back(ELSEWHERE, NOTHING, type, is_final=False) == missing
    assert falls_back(TRAINED, NOTHING, type, is_final=True) == (type == "source_not_found" or type in FOR_GOOD)
    assert not falls_back(ALONE, NOTHING, type, is_final=True)


def test_what_serves_from_the_source_itself_needs_no_fallback() -> None:
    assert not falls_back(ELSEWHERE, SERVES, "source_not_found", is_final=False)
    assert falls_back(ELSEWHERE, STANDS_IN, "source_not_found", is_final=False)


@pytest.mark.parametrize("type", sorted(FAILURES))
def test_a_version_is_unfit_by_its_own_fault_only(type: str) -> None:
    assert is_unfit(type, is_final=True) == (type in FOR_GOOD | {"canary_failed"})
    assert not is_unfit(type, is_final=False)


REFUSED = Failure("training_refused", "too bad", retryable=False, attempts=1, at=NOW)
FAILED = Failure("training_failed", "no database", retryable=True, attempts=1, at=NOW)
UNFIT = Failure("corrupt_artifact", "cut short", retryable=False, attempts=1, at=NOW, revision="training:v2")


@pytest.mark.parametrize(
    ("failure", "cause", "in_vain"),
    [
        (REFUSED, Cause.RETRY, True),
        (REFUSED, Cause.RELOAD, False),
        (UNFIT, Cause.WATCH, True),
        (UNFIT, Cause.OPERATOR, False),
        (replace(UNFIT, revision="etag:1"), Cause.POLL, False),
        (replace(UNFIT, retryable=True), Cause.RETRY, False),
        (replace(UNFIT, retryable=True, is_withdrawn=True), Cause.RETRY, True),
        (FAILED, Cause.RETRY, False),
        (None, Cause.START, False),
    ],
)
def test_nothing_is_trained_twice_in_vain_unless_somebody_asks(failure: Failure | None, cause: Cause, in_vain: bool) -> None:
    entry = Entry("als", attempt=Attempt(2, Phase.QUEUED, cause, NOW), failure=failure)
    assert (trained_in_vain(entry) is not None) == in_vain
    assert trained_in_vain(replace(entry, attempt=None)) is None


def test_the_status_names_the_fallback_and_why() -> None:
    assert fallback_json(SERVES) == fallback_json(NOTHING) == {}
    assert fallback_json(STANDS_IN) == {"fallback": {"source": "training:backup", "because": None}}
    failed = replace(STANDS_IN, failure=replace(FAILED, type="source_not_found", message="gone"))
    assert fallback_json(failed)["fallback"]["because"] == {"type": "source_not_found", "message": "gone"}
