"""What /metrics tells of trainings: from a journal and folders that were there before the server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from config.schema import Settings, StoreSettings, TrainingSettings
from loaders.published import PINNED
from service.app import build_app
from service.telemetry.metrics import METRICS
from service.telemetry.trainings import facts_of, folder_of, longest_interval_s
from tests.unit.service.a_run import AT, a_published_run
from tests.unit.service.fakes import FakeRegistry, live
from tests.unit.training.published import name_of, published
from training.running.journal import NAME, Journal
from training.running.lock import RunLock
from training.running.runs import Run, RunStatus
from training.running.tallies import Tally
from training.versions import publish

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
FAILURE = {"type": "data_unavailable", "message": "no"}
DAY_S = 86_400.0


def ended(number: int, status: RunStatus, **changes: Any) -> Run:
    return replace(a_published_run(name_of(number)), created_at=AT + number, status=status, version=None, verdict=None, **changes)


def keep(journal: Journal, *runs: Run) -> None:
    for run in runs:
        journal.add(replace(run, status=RunStatus.QUEUED))
        journal.update(run)


@pytest.fixture
async def samples(tmp_path: Path) -> Samples:
    """What is scraped of `als`, which has a history and runs, and of `pop`, which has nothing."""
    for number in (1, 2, 3):
        published(tmp_path, number)
    publish.withdraw(tmp_path, "als", name_of(3), {"type": "canary_failed", "message": "no"})
    publish.roll_back(tmp_path, "als", name_of(1), by="ada")
    journal = Journal(tmp_path / NAME)
    journal.open()
    failed = [ended(number, RunStatus.FAILED, failure=FAILURE) for number in (6, 7)]
    running = replace(ended(9, RunStatus.RUNNING), phase="evaluating", progress=0.5, ended_at=None)
    keep(journal, ended(5, RunStatus.SKIPPED, ended_at=AT + 50), *failed, running)
    journal.close()
    lock = RunLock.take(tmp_path, "als", running.id)
    trainings = {
        "als": TrainingSettings(name="als", algorithm="als", schedule="0 3 * * *"),
        "pop": TrainingSettings(name="pop", algorithm="popular"),
    }
    registry = FakeRegistry(live())
    settings = Settings(store=StoreSettings(path=tmp_path, max_bytes=5000), models=dict(registry.settings), training=trainings)
    async with TestClient(TestServer(build_app(settings, supervisor=registry, environ={}))) as client, client.get("/metrics") as response:
        assert response.status == 200
        text = await response.text()
    lock.release()
    found = text_string_to_metric_families(text)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for family in found for each in family.samples}


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"holdfast_{name}", tuple(sorted({"training": "als", **labels}.items()))]


async def test_a_training_with_a_history_tells_all_there_is(samples: Samples) -> None:
    for metric in METRICS:
        if "training" in metric.labels:
            assert any(name == metric.name and ("training", "als") in labels for name, labels in samples), metric.name
    assert of(samples, "last_training_success_timestamp_seconds") == AT + 50
    assert of(samples, "training_runs_total", status="failed") == of(samples, "training_failures_total", type="data_unavailable") == 2
    assert (of(samples, "training_runs_total", status="skipped"), of(samples, "training_runs_total", status="published")) == (1, 0)
    assert (of(samples, "training_failures_in_a_row"), of(samples, "training_refusals_in_a_row")) == (2, 0)
    assert of(samples, "training_active") == 1
    assert of(samples, "training_run_progress_ratio") == pytest.approx(0.7)
    assert of(samples, "training_last_run_seconds") == 20.5
    assert (of(samples, "training_last_run_peak_bytes"), of(samples, "training_last_run_cap_bytes")) == (90_000_000, 4 << 30)
    assert (of(samples, "training_versions"), of(samples, "training_withdrawn_versions"), of(samples, "training_pinned")) == (3, 1, 1)
    assert of(samples, "training_published_timestamp_seconds") == AT + 2
    assert of(samples, "training_quality", metric="ndcg@10") == 0.5
    assert DAY_S - 3600 <= of(samples, "training_schedule_interval_seconds") <= DAY_S + 3600
    assert samples["holdfast_store_limit_bytes", ()] == 5000


async def test_a_training_without_one_has_no_sample_of_what_is_not_there(samples: Samples) -> None:
    told = {name: value for (name, labels), value in samples.items() if labels == (("training", "pop"),)}
    assert told == dict.fromkeys(
        (
            "holdfast_training_failures_in_a_row",
            "holdfast_training_refusals_in_a_row",
            "holdfast_training_active",
            "holdfast_training_versions",
            "holdfast_training_withdrawn_versions",
            "holdfast_training_published_bytes",
            "holdfast_training_pinned",
        ),
        0.0,
    )


@pytest.mark.parametrize(
    ("statuses", "failed", "refused"),
    [
        ("", 0, 0),
        ("failed crashed published failed", 2, 0),
        ("refused cancelled refused failed refused", 0, 2),
        ("running queued failed", 1, 0),
        ("published failed failed", 0, 0),
    ],
)
def test_what_happened_in_a_row_ends_with_something_else_but_not_with_who_cancelled(statuses: str, failed: int, refused: int) -> None:
    runs = [ended(number, RunStatus(status)) for number, status in enumerate(statuses.split())]
    facts = facts_of("als", folder_of(Path("nowhere"), "als"), None, [], runs)
    assert (facts.failed_in_a_row, facts.refused_in_a_row) == (failed, refused)


def test_a_success_is_the_later_of_what_runs_and_what_is_published_say(tmp_path: Path) -> None:
    assert facts_of("als", folder_of(tmp_path, "als"), None, [], []).succeeded_at is None
    at = published(tmp_path, 1).published_at
    folder = folder_of(tmp_path, "als")
    refused = Tally("als", RunStatus.REFUSED, "", 1, at + 500)
    assert facts_of("als", folder, None, [refused], []).succeeded_at == at
    assert facts_of("als", folder, None, [refused, Tally("als", RunStatus.SKIPPED, "", 1, at + 9)], []).succeeded_at == at + 9


def test_a_folder_is_told_with_the_time_of_its_pin_and_without_a_record_that_is_broken(tmp_path: Path) -> None:
    sizes = [published(tmp_path, number).bytes for number in (1, 2)]
    assert folder_of(tmp_path, "als").pinned_at is None
    publish.roll_back(tmp_path, "als", by="ada")
    folder = folder_of(tmp_path, "als")
    assert (folder.kept, folder.bytes, folder.withdrawn) == (2, sum(sizes), 0)
    assert folder.pinned_at == (tmp_path / "als" / PINNED).lstat().st_mtime
    (tmp_path / "als" / name_of(1) / "version.json").write_text("{")
    broken = folder_of(tmp_path, "als")
    assert (broken.kept, broken.bytes, broken.current) == (2, sizes[1], None)


@pytest.mark.parametrize(
    ("schedule", "interval_s"),
    [("*/5 * * * *", 300.0), ("0 3 * * *", DAY_S), ("0 9 * * 1-5", 3 * DAY_S), ("0 0,8 * * *", 16 * 3600.0)],
)
def test_the_longest_time_between_ticks(schedule: str, interval_s: float) -> None:
    assert longest_interval_s(schedule, AT, UTC) == interval_s
