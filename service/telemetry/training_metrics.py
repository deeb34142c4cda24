"""The part of the table of metrics that is about trainings.

Covers: names, words, and what they are read from. Does not cover: reading it (`service.telemetry.trainings`), the rest of the table
(`service.telemetry.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loaders.published import PublishedVersion
from service.telemetry.metric import Metric, Sample
from service.telemetry.readings import Readings, Usage
from service.telemetry.trainings import TrainingFacts
from service.workshop import share_of
from training.running.runs import Run, RunStatus


def _of_trainings(name: str, help: str, read: Callable[[TrainingFacts], float | None]) -> Metric:
    """A number of each training, left out where it has none."""

    def samples(readings: Readings, usage: Usage) -> Iterator[Sample]:
        for facts in readings.trainings:
            value = read(facts)
            if value is not None:
                yield (facts.name,), float(value)

    return Metric(f"holdfast_{name}", "gauge", help, ("training",), samples)


def _of_current(read: Callable[[PublishedVersion], float]) -> Callable[[TrainingFacts], float | None]:
    return lambda facts: None if facts.folder.current is None else read(facts.folder.current)


def _of_active(read: Callable[[Run], float | None]) -> Callable[[TrainingFacts], float | None]:
    return lambda facts: None if facts.active is None else read(facts.active)


def _of_last(read: Callable[[Run], float | None]) -> Callable[[TrainingFacts], float | None]:
    return lambda facts: None if facts.last is None else read(facts.last)


def _seconds(run: Run) -> float | None:
    return None if run.started_at is None or run.ended_at is None else run.ended_at - run.started_at


def _runs(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for facts in readings.trainings:
        for status in RunStatus:
            if status.is_over:
                yield (facts.name, status.value), float(sum(tally.count for tally in facts.tallies if tally.status is status))


def _run_failures(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for facts in readings.trainings:
        for type in sorted({tally.failure for tally in facts.tallies} - {""}):
            yield (facts.name, type), float(sum(tally.count for tally in facts.tallies if tally.failure == type))


def _qualities(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for facts in readings.trainings:
        if facts.folder.current is not None:
            for metric, value in facts.folder.current.metrics.items():
                yield (facts.name, metric), float(value)


TRAINING_METRICS: tuple[Metric, ...] = (
    _of_trainings(
        "last_training_success_timestamp_seconds",
        "When a run last published, or found nothing new in the data; kept over restarts.",
        lambda facts: facts.succeeded_at,
    ),
    Metric(
        "holdfast_training_runs_total",
        "counter",
        "Runs that are over, by how they ended; of any process, kept over restarts.",
        ("training", "status"),
        _runs,
    ),
    Metric(
        "holdfast_training_failures_total",
        "counter",
        "Runs that failed or crashed, by type of failure; of any process, kept over restarts.",
        ("training", "type"),
        _run_failures,
    ),
    _of_trainings(
        "training_failures_in_a_row", "How many of the newest runs failed or crashed, 20 at most.", lambda facts: facts.failed_in_a_row
    ),
    _of_trainings(
        "training_refusals_in_a_row", "How many of the newest runs the gate refused, 20 at most.", lambda facts: facts.refused_in_a_row
    ),
    _of_trainings("training_active", "Whether a run waits or runs.", lambda facts: facts.active is not None),
    _of_trainings("training_run_started_timestamp_seconds", "When the run began that runs now.", _of_active(lambda run: run.started_at)),
    _of_trainings(
        "training_run_progress_ratio", "How far the run is that runs now, 0 to 1; each phase counts the same.", _of_active(share_of)
    ),
    _of_trainings("training_last_run_seconds", "How long the last run took that is over.", _of_last(_seconds)),
    _of_trainings(
        "training_last_run_peak_bytes",
        "Most private memory of the process of the last run that is over.",
        _of_last(lambda run: run.peak_bytes),
    ),
    _of_trainings(
        "training_last_run_cap_bytes", "The private memory that the last run was allowed that is over.", _of_last(lambda run: run.cap_bytes)
    ),
    _of_trainings(
        "training_schedule_interval_seconds",
        "Longest time between two of the next ten ticks of its schedule.",
        lambda facts: facts.interval_s,
    ),
    _of_trainings("training_versions", "Versions that are published and kept, withdrawn ones too.", lambda facts: facts.folder.kept),
    _of_trainings("training_withdrawn_versions", "Kept versions that were taken back.", lambda facts: facts.folder.withdrawn),
    _of_trainings("training_published_bytes", "Size of the kept versions; part of the store.", lambda facts: facts.folder.bytes),
    _of_trainings(
        "training_published_timestamp_seconds",
        "When the version was published that is current.",
        _of_current(lambda found: found.published_at),
    ),
    _of_trainings(
        "training_pinned",
        "Whether only a command may replace the version that is current.",
        lambda facts: facts.folder.pinned_at is not None,
    ),
    _of_trainings("training_pinned_timestamp_seconds", "When the pinned version was pinned.", lambda facts: facts.folder.pinned_at),
    Metric(
        "holdfast_training_quality",
        "gauge",
        "What the version that is current was measured with on its holdout.",
        ("training", "metric"),
        _qualities,
    ),
)
