"""Totals of calls, by a clock that the test moves."""

from __future__ import annotations

from service.telemetry.calls import NS, Call, Calls, Outcome
from service.telemetry.recent import WINDOW_S

MS = 1_000_000


class Clock:
    """Both clocks: monotonic nanoseconds and Unix seconds."""

    def __init__(self) -> None:
        self.ns = 5_000 * NS
        self.set_s = 0.0
        """How far the wall clock was set."""

    def wall_s(self) -> float:
        return 1_700_000_000 + self.ns / NS + self.set_s


class Counted:
    def __init__(self) -> None:
        self.clock = Clock()
        self.calls = Calls(clock_ns=lambda: self.clock.ns, wall_s=self.clock.wall_s)

    def make(self, outcome: Outcome = Outcome.OK, *, ms: int = 2, model: str = "als", version: str | None = "v1", **times: int) -> Call:
        call = self.calls.begin(model, subjects=times.pop("subjects", 1), input_ns=times.pop("input_ns", 0))
        call.version = version
        for name, value in times.items():
            setattr(call, name, value)
        self.clock.ns += ms * MS
        self.calls.end(call, outcome)
        return call


def test_totals_name_every_outcome_and_count_those_that_were() -> None:
    counted = Counted()
    counted.make()
    counted.make(Outcome.OVERLOADED, version=None)
    totals = counted.calls.totals("als")
    assert set(totals) == set(Outcome)
    assert {outcome: count for outcome, count in totals.items() if count} == {Outcome.OK: 1, Outcome.OVERLOADED: 1}
    assert set(counted.calls.totals("nobody").values()) == {0}


def test_latency_is_by_model_and_outcome_and_counts_the_reading() -> None:
    counted = Counted()
    counted.make(ms=2, input_ns=5 * MS)
    counted.make(Outcome.REFUSED, ms=1)
    counted.make(ms=3, model="trees")
    by = {(ended.model, ended.outcome): ended for ended in counted.calls.ended()}
    assert set(by) == {("als", Outcome.OK), ("als", Outcome.REFUSED), ("trees", Outcome.OK)}
    assert by["als", Outcome.OK].latency.sum_ns == 7 * MS
    assert by["als", Outcome.OK].calls == 1


def test_a_call_is_in_flight_from_begin_to_end() -> None:
    counted = Counted()
    call = counted.calls.begin("als")
    assert counted.calls.in_flight("als") == 1
    counted.calls.end(call, Outcome.ABANDONED)
    assert counted.calls.in_flight("als") == 0


def test_statistics_are_by_version_and_add_up_the_parts() -> None:
    counted = Counted()
    counted.make(ms=2, subjects=3, input_ns=10, queue_ns=20, infer_ns=30, output_ns=40)
    counted.make(ms=2, subjects=2, input_ns=1, queue_ns=2, infer_ns=3, output_ns=4)
    counted.make(Outcome.DEADLINE, ms=9)
    counted.make(version="v2")
    kept = counted.calls.statistics("als")
    assert set(kept) == {"v1", "v2"}
    one = kept["v1"]
    assert (one.success.count, one.success.ns, one.fail.count, one.fail.ns) == (2, 4 * MS + 11, 1, 9 * MS)
    assert (one.compute_input.ns, one.queue.ns, one.compute_infer.ns, one.compute_output.ns) == (11, 22, 33, 44)
    assert (one.inferences, one.executions) == (5, 2)
    assert one.last_inference_at is not None
    assert one.last_inference_at < counted.clock.wall_s()


def test_a_call_that_no_version_answered_or_whose_client_left_is_no_versions_failure() -> None:
    counted = Counted()
    counted.make(Outcome.LOADING, version=None)
    counted.make(Outcome.ABANDONED)
    assert counted.calls.statistics("als") == {}


def test_versions_are_forgotten_and_totals_are_not() -> None:
    counted = Counted()
    for number in range(50):
        counted.make(version=f"v{number}")
    counted.calls.keep("als", ["v48", "v49", "v50"])
    assert set(counted.calls.statistics("als")) == {"v48", "v49"}
    assert counted.calls.totals("als")[Outcome.OK] == 50
    counted.calls.keep("nobody", ["v1"])


def test_seconds_hold_calls_failures_and_percentiles_of_what_was_answered() -> None:
    counted = Counted()
    counted.make(ms=10)
    counted.make(Outcome.FAILED, ms=900)
    counted.make(Outcome.REFUSED, ms=1)
    ((at, second), *rest) = counted.calls.seconds("als")
    assert not rest
    assert (second.calls, second.failed) == (3, 1)
    assert at == 1_700_005_000
    found = second.latency.percentile_ns(0.99)
    assert found is not None
    assert 10 * MS <= found <= 11 * MS


def test_only_the_last_two_minutes_are_kept() -> None:
    counted = Counted()
    for _ in range(3 * WINDOW_S):
        counted.make(ms=500)
    seconds = counted.calls.seconds("als")
    assert len(seconds) == WINDOW_S
    assert [at for at, _ in seconds] == sorted({at for at, _ in seconds})
    counted.clock.ns += WINDOW_S * NS
    assert counted.calls.seconds("als") == []
    assert counted.calls.seconds("nobody") == []


def test_a_wall_clock_that_is_set_back_mixes_no_seconds() -> None:
    counted = Counted()
    counted.make(ms=0)
    counted.clock.set_s = -3600.0
    counted.clock.ns += NS
    counted.make(ms=0)
    assert [at - 1_700_005_000 + 3600 for at, _ in counted.calls.seconds("als")] == [0, 1]
