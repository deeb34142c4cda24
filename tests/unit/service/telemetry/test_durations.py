"""Histograms and percentiles against the values they were given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry.durations import Histogram, Sketch

times_ns = st.lists(st.integers(0, 10**12), min_size=1, max_size=50)


@given(times_ns, st.floats(0, 1))
def test_a_percentile_is_never_too_short_and_a_sixteenth_too_long_at_most(values: list[int], share: float) -> None:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    exact = next(value for value in sorted(values) if sum(other <= value for other in values) >= max(1.0, share * len(values)))
    found = sketch.percentile_ns(share)
    assert found is not None
    assert exact <= found <= exact * 17 / 16


def test_a_sketch_of_nothing_has_no_percentile() -> None:
    assert Sketch().percentile_ns(0.5) is None


@given(times_ns)
def test_a_histogram_counts_each_value_up_to_its_bound(values: list[int]) -> None:
    bounds_s = (0.001, 0.5, 10.0)
    histogram = Histogram(bounds_s)
    for value in values:
        histogram.add(value)
    taken = histogram.taken()
    expected = [sum(value <= bound * 1e9 for value in values) for bound in bounds_s]
    assert [count for _, count in taken.cumulative()] == [*expected, len(values)]
    assert taken.sum_ns == sum(values)


def test_the_bound_itself_is_in_its_bucket() -> None:
    histogram = Histogram((0.001, 0.01))
    histogram.add(1_000_000)
    histogram.add(1_000_001)
    assert histogram.taken().cumulative() == [("0.001", 1), ("0.01", 2), ("+Inf", 2)]


def test_what_was_taken_stays_as_it_was() -> None:
    histogram = Histogram()
    taken = histogram.taken()
    histogram.add(1)
    assert sum(taken.counts) == 0


@pytest.mark.parametrize("bits", range(1, 60))
def test_neighbours_share_a_bucket_only_above_32_ns(bits: int) -> None:
    low, high = Sketch(), Sketch()
    low.add(2**bits - 1)
    high.add(2**bits)
    assert low.percentile_ns(1) == 2**bits - 1
    assert low.percentile_ns(1) != high.percentile_ns(1)
