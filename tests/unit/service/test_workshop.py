"""From the lifecycle's ports to real folders of published versions and a runner that the test answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.schema import DataSettings, Settings, StoreSettings, TrainingSettings
from loaders.errors import TrainingFailed, TrainingRefused
from loaders.published import MODEL_FILE, BadRecord, PublishedVersion
from service.lifecycle.errors import ArchiveUnavailable, UnknownVersion
from service.workshop import FallbackTrainer, PublishedArchive, doing, share_of
from tests.unit.lifecycle.fakes import record_of
from training.running.lock import SwitchBusy
from training.running.refused import AlreadyRunning, TrainingUnavailable, UnknownTraining
from training.running.runner import Runner
from training.running.runs import Run, RunCause, RunStatus
from training.versions.publish import publish, stage_folder, write_record

V1, V2, V3 = (f"2026112{day}T101500-3fa9c1" for day in (1, 2, 3))
QUEUED = Run("r1", "als", "als", RunStatus.QUEUED, RunCause.FALLBACK, 1.0, reason="waits for bpr")


def published(store: Path, version: str, training: str = "als") -> None:
    staging = stage_folder(store, training, version)
    (staging / MODEL_FILE).write_bytes(b"x" * 100)
    write_record(staging, record_of(version, training))
    publish(store, training, staging, 5)


def settings(store: Path) -> Settings:
    trainings = {"als": TrainingSettings("als", "als"), "mix": TrainingSettings("mix", "hybrid", parts={"collaborative": "als"})}
    return Settings(store=StoreSettings(store), data=DataSettings("sqlite:///x.db"), training=trainings)


async def test_what_is_published_is_read_and_switched(tmp_path: Path) -> None:
    archive = PublishedArchive(tmp_path, Runner(settings(tmp_path)))
    assert (await archive.published("als")).versions == ()
    for version in (V1, V2, V3):
        published(tmp_path, version)
    await archive.withdraw("als", V3, {"type": "canary_failed", "message": "no answer"}, V1)
    found = await archive.published("als")
    assert ([each.version for each in found.versions], found.current, found.pinned) == ([V3, V2, V1], V1, None)
    assert {key: found.withdrawn[V3][key] for key in ("type", "message")} == {"type": "canary_failed", "message": "no answer"}
    await archive.roll_back("als", V2, "me")
    found = await archive.published("als")
    assert (found.current, found.pinned) == (V2, V2)
    await archive.unpin("als", "me")
    await archive.activate("als", V3, "me")
    found = await archive.published("als")
    assert (found.current, found.pinned, found.withdrawn) == (V3, None, {})


async def test_a_version_without_a_record_is_not_told_of(tmp_path: Path) -> None:
    for version in (V1, V2):
        published(tmp_path, version)
    (tmp_path / "als" / V2 / "version.json").write_text("{")
    assert [each.version for each in (await PublishedArchive(tmp_path, Answered()).published("als")).versions] == [V1]


async def test_failures_are_in_the_lifecycles_words(tmp_path: Path) -> None:
    archive = PublishedArchive(tmp_path, Runner(settings(tmp_path)))
    with pytest.raises(UnknownVersion, match="no version '20261121T101500-3fa9c1' of als is kept"):
        await archive.roll_back("als", V1, "me")
    with pytest.raises(ArchiveUnavailable, match=r"no \[training.other\]"):
        await archive.unpin("other", "me")
    for error, told in (
        (SwitchBusy("held for 30 s"), "held for 30 s"),
        (BadRecord("no record"), "no record"),
        (PermissionError(13, "Permission denied"), "the versions of als cannot be used: Permission denied"),
    ):
        with pytest.raises(ArchiveUnavailable, match=told):
            await PublishedArchive(tmp_path, Answered(failing=error)).activate("als", V1, "me")


# -- training for want of anything else -----------------------------------------------------------------------------------


class Answered:
    """A runner whose runs go through the states that a test gives them."""

    def __init__(self, *states: Run, failing: Exception | None = None) -> None:
        self.states = list(states)
        self.failing = failing
        self.asked: list[tuple[str, RunCause, str]] = []

    async def start(self, training: str, *, cause: RunCause, requested_by: str = "", force: bool = False) -> Run:
        assert not force
        self.asked.append((training, cause, requested_by))
        self._check()
        return replace(self.states.pop(0), training=training)

    async def wait(self, run_id: str, timeout_s: float) -> Run:
        self._check()
        return self.states.pop(0)

    async def roll_back(self, training: str, to: str | None = None, *, by: str = "") -> PublishedVersion:
        raise NotImplementedError

    async def activate(self, training: str, version: str, *, by: str = "") -> PublishedVersion:
        self._check()
        raise NotImplementedError

    async def unpin(self, training: str, *, by: str = "") -> str | None:
        raise NotImplementedError

    async def withdraw(
        self, training: str, version: str, failure: Mapping[str, str], *, serving: str | None = None
    ) -> PublishedVersion | None:
        raise NotImplementedError

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


async def trained(runs: Answered, store: Path, training: str = "als") -> list[tuple[float | None, str]]:
    """What was told of the training."""
    told: list[tuple[float | None, str]] = []
    await FallbackTrainer(settings(store), runs).train(
        training, "nothing had been published yet", lambda share, does: told.append((share, does))
    )
    return told


FITTING = replace(QUEUED, status=RunStatus.RUNNING, phase="fitting", step="epoch 3 of 6", progress=0.5)


async def test_a_run_is_followed_to_its_end(tmp_path: Path) -> None:
    runs = Answered(
        QUEUED, replace(FITTING, phase="reading", step=None, progress=None), FITTING, replace(FITTING, status=RunStatus.PUBLISHED)
    )
    assert await trained(runs, tmp_path) == [(None, "waits for bpr"), (0.0, "reading"), (0.5, "fitting: epoch 3 of 6")]
    assert runs.asked == [("als", RunCause.FALLBACK, "nothing had been published yet")]


def test_a_share_is_between_0_and_1_whatever_a_run_tells() -> None:
    assert [share_of(replace(FITTING, progress=progress)) for progress in (None, -1.0, 7.0)] == [0.4, 0.4, pytest.approx(0.6)]
    assert (share_of(replace(FITTING, phase=None)), doing(replace(FITTING, phase=None, step=None))) == (None, "begins")


async def test_a_run_that_is_under_way_is_joined(tmp_path: Path) -> None:
    class Busy(Answered):
        async def start(self, training: str, **asked: Any) -> Run:
            raise AlreadyRunning("als is being trained already", FITTING)

    assert await trained(Busy(replace(FITTING, status=RunStatus.PUBLISHED)), tmp_path) == [(0.5, "fitting: epoch 3 of 6")]


VERDICT = {"rules": [{"passed": True, "message": "fine"}, {"passed": False, "message": "ndcg@10 0.01 is less than 0.05"}]}


@pytest.mark.parametrize(
    ("status", "members", "error", "told"),
    [
        ("refused", {"verdict": VERDICT}, TrainingRefused, "als was trained and refused: ndcg@10 0.01 is less than 0.05"),
        ("refused", {}, TrainingRefused, "als was trained and refused: the run has no figures"),
        (
            "failed",
            {"failure": {"type": "data_unavailable", "message": "refused"}},
            TrainingFailed,
            "als was not trained, its run failed: refused",
        ),
        ("skipped", {"reason": "nothing new"}, TrainingFailed, "als was not trained, its run skipped: nothing new"),
        ("crashed", {"reason": None}, TrainingFailed, "als was not trained, its run crashed: its log says no more"),
    ],
)
async def test_a_run_after_which_nothing_is_new_is_a_failure(
    status: str, members: dict[str, Any], error: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        await trained(Answered(QUEUED, replace(QUEUED, status=RunStatus(status), **members)), tmp_path)
    assert str(caught.value) == told


@pytest.mark.parametrize("error", [AlreadyRunning("elsewhere", None), TrainingUnavailable("no journal"), UnknownTraining("als")])
async def test_a_run_that_cannot_be_had_is_a_failure(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed) as caught:
        await trained(Answered(failing=error), tmp_path)
    assert str(error) in str(caught.value)


async def test_a_run_that_cannot_be_followed_is_a_failure(tmp_path: Path) -> None:
    class Lost(Answered):
        async def wait(self, run_id: str, timeout_s: float) -> Run:
            raise TrainingUnavailable("no journal")

    with pytest.raises(TrainingFailed, match="cannot be followed: no journal"):
        await trained(Lost(QUEUED), tmp_path)


async def test_the_parts_of_a_hybrid_are_trained_first_where_nothing_is_published(tmp_path: Path) -> None:
    done = replace(FITTING, status=RunStatus.PUBLISHED)
    runs = Answered(FITTING, done, FITTING, done)
    assert await trained(runs, tmp_path, "mix") == [(None, "als: fitting: epoch 3 of 6"), (0.5, "fitting: epoch 3 of 6")]
    assert [asked[0] for asked in runs.asked] == ["als", "mix"]
    published(tmp_path, V1)
    runs = Answered(done)
    await trained(runs, tmp_path, "mix")
    assert [asked[0] for asked in runs.asked] == ["mix"]
