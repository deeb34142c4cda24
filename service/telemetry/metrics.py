"""The one table of metrics: what each is called, what it says, and where its numbers come from.

`/metrics` and docs/reference/metrics.md are made from it. Names follow Prometheus' conventions: base units, `_total` for what
only grows, `_timestamp_seconds` for Unix times, `_info` for words. Labels are names of configured models and members of closed
sets, so that their number is bounded. Does not cover: how they are written (`service.telemetry.exposition`), the metrics of
the process, which prometheus_client brings; what it is to read (`service.telemetry.readings`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from service.lifecycle.policy import is_stale
from service.lifecycle.state import Phase, Status, phase_of
from service.lifecycle.view import Facts, ModelView
from service.telemetry.metric import Kind, Metric, Sample, Value
from service.telemetry.readings import Readings, Traffic, Usage, trained_at
from service.telemetry.training_metrics import TRAINING_METRICS
from service.version import program_version


def _of_models(name: str, kind: Kind, help: str, read: Callable[[ModelView], float | None]) -> Metric:
    """A number of each model, left out where it has none."""

    def samples(readings: Readings, usage: Usage) -> Iterator[Sample]:
        for view in readings.views:
            value = read(view)
            if value is not None:
                yield (view.name,), float(value)

    return Metric(f"holdfast_model_{name}", kind, help, ("model",), samples)


def _of_versions(name: str, help: str, read: Callable[[Facts], float | None]) -> Metric:
    """A number of each version that serves."""
    return _of_models(name, "gauge", help, lambda view: None if view.loaded is None else read(view.loaded))


def _of_attempts(name: str, help: str, read: Callable[[ModelView], float | None]) -> Metric:
    """A number of each attempt that runs."""
    return _of_models(name, "gauge", help, lambda view: None if view.entry.attempt is None else read(view))


def _of_traffic(name: str, help: str, read: Callable[[Traffic], float]) -> Metric:
    def samples(readings: Readings, usage: Usage) -> Iterator[Sample]:
        for model, traffic in readings.traffic.items():
            yield (model,), read(traffic)

    return Metric(f"holdfast_{name}", "gauge", help, ("model",), samples)


def _of_the_server(name: str, help: str, read: Callable[[Readings, Usage], Value], kind: Kind = "gauge") -> Metric:
    return Metric(f"holdfast_{name}", kind, help, (), lambda readings, usage: [((), read(readings, usage))])


def _statuses(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for view in readings.views:
        for status in Status:
            yield (view.name, status.value), float(view.status is status)


def _phases(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for view in readings.views:
        now = phase_of(view.entry)
        for phase in Phase:
            yield (view.name, phase.value), float(phase is now)


def _infos(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for view in readings.views:
        if view.loaded is not None:
            yield (view.name, view.loaded.version, view.loaded.family), 1.0


def _failures(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for view in readings.views:
        for type, count in view.entry.tally.failures.items():
            yield (view.name, type), float(count)


def _requests(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for model, traffic in readings.traffic.items():
        for outcome, count in traffic.totals.items():
            yield (model, outcome.value), float(count)


def _latencies(readings: Readings, usage: Usage) -> Iterator[Sample]:
    for ended in readings.ended:
        yield (ended.model, ended.outcome.value), ended.latency


def _load_fact(name: str) -> Callable[[Facts], float | None]:
    def read(facts: Facts) -> float | None:
        value = facts.load.get(name)
        return value if isinstance(value, int | float) else None

    return read


METRICS: tuple[Metric, ...] = (
    Metric("holdfast_model_status", "gauge", "1 for the status that a model has, 0 for the others.", ("model", "status"), _statuses),
    Metric("holdfast_model_phase", "gauge", "1 for the phase that a model is in, 0 for the others.", ("model", "phase"), _phases),
    _of_models("ready", "gauge", "Whether a version serves.", lambda view: view.status is Status.READY),
    _of_models("stale", "gauge", "Whether a version serves although the last reload failed.", lambda view: is_stale(view.entry)),
    _of_models("required", "gauge", "Whether the server is not ready without the model.", lambda view: view.settings.required),
    Metric("holdfast_model_info", "info", "The version that serves, and its family.", ("model", "version", "family"), _infos),
    _of_versions("loaded_timestamp_seconds", "When the version that serves was loaded, kept over restarts.", lambda facts: facts.loaded_at),
    _of_versions(
        "trained_timestamp_seconds",
        "When the version that serves was trained, where its artifact says so.",
        lambda facts: trained_at(facts.details),
    ),
    _of_versions("load_seconds", "How long the load of the version that serves took.", _load_fact("seconds")),
    _of_versions("load_peak_bytes", "Most private memory of the process that loaded the version that serves.", _load_fact("peak_bytes")),
    _of_versions(
        "load_cap_bytes", "The private memory that the process was allowed which loaded the version that serves.", _load_fact("cap_bytes")
    ),
    _of_versions("artifact_bytes", "Size of the artifact of the version that serves.", lambda facts: facts.artifact_bytes),
    _of_versions(
        "segment_bytes", "Size of the arrays of the version that serves, which all processes share.", lambda facts: facts.segment_bytes
    ),
    _of_models(
        "draining_versions", "gauge", "Versions of the model that serve no more, but are still read.", lambda view: len(view.entry.draining)
    ),
    _of_attempts("attempt_started_timestamp_seconds", "When the running attempt began.", lambda view: _attempt(view, "started_at")),
    _of_attempts("download_done_bytes", "What the running attempt has of its artifact.", lambda view: _attempt(view, "bytes_done")),
    _of_attempts(
        "download_size_bytes",
        "Size of the artifact that the running attempt fetches, where its source says so.",
        lambda view: _attempt(view, "bytes_total"),
    ),
    _of_attempts(
        "download_progress_ratio", "Share of its artifact that the running attempt has, 0 to 1.", lambda view: _attempt(view, "progress")
    ),
    _of_models(
        "download_bytes_total",
        "counter",
        "Bytes received from the source, whatever became of them; for a local file, copied.",
        lambda view: view.entry.tally.received_bytes,
    ),
    _of_models("attempts_total", "counter", "Attempts to bring a revision to ready.", lambda view: view.entry.attempts_begun),
    _of_models("retries_total", "counter", "Attempts that began by themselves after a failure.", lambda view: view.entry.tally.retries),
    _of_models("loads_total", "counter", "Versions that were loaded.", lambda view: view.entry.tally.loads),
    _of_models("restores_total", "counter", "Kept versions that were brought back.", lambda view: view.entry.tally.restores),
    Metric(
        "holdfast_model_failures_total",
        "counter",
        "Attempts that failed, and versions whose process died, by type of failure.",
        ("model", "type"),
        _failures,
    ),
    _of_models("transitions_total", "counter", "Lines of the model's story.", lambda view: view.entry.transitions),
    Metric("holdfast_requests_total", "counter", "Calls of a model, by how they ended.", ("model", "outcome"), _requests),
    Metric(
        "holdfast_request_duration_seconds",
        "histogram",
        "From reading the question to the written answer, waits for the model and for a turn included.",
        ("model", "outcome"),
        _latencies,
    ),
    _of_traffic("requests_in_flight", "Calls that have begun and not ended.", lambda traffic: traffic.in_flight),
    _of_traffic(
        "requests_waiting", "Calls in flight that wait for a thread, or for the process of a hosted model.", lambda traffic: traffic.waiting
    ),
    Metric(
        "holdfast_requests_in_flight_limit",
        "gauge",
        "How many calls may be in flight: `max_in_flight`.",
        ("model",),
        lambda readings, usage: [((view.name,), float(view.settings.max_in_flight)) for view in readings.views],
    ),
    _of_the_server(
        "event_loop_lag_seconds",
        "How late the event loop was, ten times a second.",
        lambda readings, usage: readings.lag,
        "histogram",
    ),
    _of_the_server(
        "event_loop_lag_max_seconds",
        "The worst lag of the event loop in about the last minute.",
        lambda readings, usage: readings.worst_lag_ns / 1e9,
    ),
    _of_the_server(
        "interactions_total", "Interactions that were posted and appended.", lambda readings, _: readings.interactions, "counter"
    ),
    _of_the_server("recent_users", "Users whose answers take in what they did lately.", lambda readings, _: readings.known_users),
    *TRAINING_METRICS,
    _of_the_server("event_streams", "Clients of /events.", lambda readings, usage: readings.streams),
    _of_the_server(
        "segment_bytes",
        "Arrays of all versions that serve.",
        lambda readings, usage: sum(view.loaded.segment_bytes for view in readings.views if view.loaded is not None),
    ),
    _of_the_server("process_private_bytes", "Memory of the server that is no file's: its own alone.", lambda _, usage: usage.private_bytes),
    _of_the_server(
        "memory_free_bytes", "What host and container have left for loads, the reserve included.", lambda _, usage: usage.memory_free_bytes
    ),
    _of_the_server("store_bytes", "What the store takes on disk, looked at once a minute.", lambda _, usage: usage.store_bytes),
    _of_the_server(
        "store_limit_bytes", "The disk budget of the store: `[store] max_bytes`.", lambda readings, _: readings.store_limit_bytes
    ),
    _of_the_server("store_free_bytes", "What the file system of the store has left.", lambda _, usage: usage.store_free_bytes),
    _of_the_server("uptime_seconds", "Since the server started.", lambda readings, usage: readings.uptime_s),
    Metric(
        "holdfast_build_info",
        "info",
        "The program, and the Python that it runs on.",
        ("version", "python"),
        lambda readings, usage: [((program_version(), platform.python_version()), 1.0)],
    ),
)


def _attempt(view: ModelView, field: str) -> float | None:
    value: float | None = getattr(view.entry.attempt, field)
    return value
