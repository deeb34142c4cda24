"""What calls of models cost and how they ended.

Covers: one call's times, totals by model, version and outcome, latency histograms, the last two minutes by the second. Event
loop only, but for the times of one call, which its thread sets. Does not cover: their exposition
(`service.telemetry.exposition`, `service.routes.v2`).
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.telemetry.durations import Buckets, Duration, Histogram
from service.telemetry.recent import Recent, Second

NS = 1_000_000_000
"""Nanoseconds of a second."""


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    REFUSED = "refused"
    """The question was wrong: 404, 422."""
    LOADING = "loading"
    """The model is on its way: 202."""
    UNAVAILABLE = "unavailable"
    """The model failed to load, or was unloaded: 503."""
    OVERLOADED = "overloaded"
    """Too many calls at the same time: 429."""
    DEADLINE = "deadline"
    """No answer within the model's request_timeout: 504."""
    FAILED = "failed"
    """The model could not answer, or the server has a defect: 503, 500."""
    ABANDONED = "abandoned"
    """The client went away first."""


FAILURES = frozenset({Outcome.UNAVAILABLE, Outcome.OVERLOADED, Outcome.DEADLINE, Outcome.FAILED})
"""What a client calls a failed call: nothing was wrong with the question, and it got no answer."""


@dataclass(slots=True)
class Call:
    """One call of a model. Times in nanoseconds of the monotonic clock; `version` is None until one answers it.

    subjects: users, items or rows that it asks for. input_ns: reading the question. queue_ns: waiting for a thread or for the
    process of a hosted model. infer_ns: scoring. output_ns: writing the answer.
    """

    model: str
    began_ns: int
    version: str | None = None
    subjects: int = 1
    input_ns: int = 0
    queue_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0


@dataclass(slots=True)
class Statistics:
    """Totals of one version of a model. Source: the statistics extension of the Open Inference Protocol.

    success, fail: whole calls. queue, compute_*: parts of the successful ones. inferences: subjects of the successful ones;
    executions: how often the model ran for them. last_inference_at: Unix seconds, None before the first.
    """

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    inferences: int = 0
    executions: int = 0
    last_inference_at: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The calls of one model that ended in one way, since the server started."""

    model: str
    outcome: Outcome
    latency: Buckets

    @property
    def calls(self) -> int:
        return sum(self.latency.counts)


class Calls:
    """Every call that was made, in totals. Event loop only.

    Grows with the models and the versions that serve or drain, not with the calls. clock_ns: monotonic; wall_s: Unix seconds.
    """

    def __init__(self, *, clock_ns: Callable[[], int] = time.monotonic_ns, wall_s: Callable[[], float] = time.time) -> None:
        self._clock_ns = clock_ns
        self._wall_s = wall_s
        self._latency: defaultdict[tuple[str, Outcome], Histogram] = defaultdict(Histogram)
        self._versions: defaultdict[str, defaultdict[str, Statistics]] = defaultdict(lambda: defaultdict(Statistics))
        self._recent: defaultdict[str, Recent] = defaultdict(Recent)
        self._in_flight: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Calls models={len(self._recent)} in_flight={dict(+self._in_flight)}>"

    def begin(self, model: str, *, subjects: int = 1, input_ns: int = 0) -> Call:
        """A call that begins now; `end` it, whatever comes of it."""
        self._in_flight[model] += 1
        return Call(model, self._clock_ns(), subjects=subjects, input_ns=input_ns)

    def end(self, call: Call, outcome: Outcome) -> None:
        """Count a call that ended now."""
        self._in_flight[call.model] -= 1
        now_ns = self._clock_ns()
        took_ns = now_ns - call.began_ns + call.input_ns
        self._latency[call.model, outcome].add(took_ns)
        answered_ns = took_ns if outcome is Outcome.OK else None
        self._recent[call.model].add(now_ns // NS, answered_ns, outcome in FAILURES)
        if call.version is not None and outcome is not Outcome.ABANDONED:
            _add(self._versions[call.model][call.version], call, took_ns, self._wall_s(), is_success=outcome is Outcome.OK)

    def in_flight(self, model: str) -> int:
        """Calls that began and have not ended, those that wait for their model included."""
        return self._in_flight[model]

    def totals(self, model: str) -> Mapping[Outcome, int]:
        """Calls since the server started, by how they ended; every outcome is there. They never fall."""
        kept = ((outcome, self._latency.get((model, outcome))) for outcome in Outcome)
        return {outcome: 0 if latency is None else sum(latency.taken().counts) for outcome, latency in kept}

    def ended(self) -> list[Ended]:
        """Calls and their latency by model and outcome, only those that there were."""
        return [Ended(model, outcome, latency.taken()) for (model, outcome), latency in self._latency.items()]

    def statistics(self, model: str) -> Mapping[str, Statistics]:
        """Version -> its totals, of those that answered calls and still serve or drain."""
        return dict(self._versions[model]) if model in self._versions else {}

    def keep(self, model: str, versions: Collection[str]) -> None:
        """Forget the statistics of all versions but these."""
        if model in self._versions:
            for version in self._versions[model].keys() - set(versions):
                del self._versions[model][version]

    def seconds(self, model: str) -> list[tuple[int, Second]]:
        """The last two minutes, only seconds in which calls ended, each with its Unix time."""
        recent, now_ns = self._recent.get(model), self._clock_ns()
        # Counted by the monotonic clock, so that a wall clock that is set mixes nothing up.
        ahead = round(self._wall_s() - now_ns / NS)
        return [] if recent is None else [(second.at + ahead, second) for second in recent.seconds(now_ns // NS)]


def _add(kept: Statistics, call: Call, took_ns: int, now: float, *, is_success: bool) -> None:
    if not is_success:
        kept.fail.add(took_ns)
        return
    kept.success.add(took_ns)
    kept.queue.add(call.queue_ns)
    kept.compute_input.add(call.input_ns)
    kept.compute_infer.add(call.infer_ns)
    kept.compute_output.add(call.output_ns)
    kept.inferences += call.subjects
    kept.executions += 1
    kept.last_inference_at = now
