"""The measuring instruments measure: a blocked loop is late, memory in either place is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.ticker import SmapsSampler, Ticker
from tests.support import wait_until, wait_until_sync

MIB = 1 << 20


async def test_a_blocked_loop_is_late_and_an_idle_one_less() -> None:
    async with Ticker() as ticker:
        await wait_until(lambda: ticker.ticks >= 50)
        idle = ticker.lateness()
    async with Ticker() as ticker:
        await wait_until(lambda: ticker.ticks >= 5)
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        await wait_until(lambda: ticker.ticks >= 20)
        blocked = ticker.lateness()
    assert blocked.net_max_ms >= 90
    assert blocked.max_ms >= blocked.net_max_ms >= blocked.net_p99_ms >= blocked.net_p50_ms >= 0
    assert idle.net_p50_ms < 90
    assert idle.ticks >= 50
    assert blocked.as_json()["ticks"] == blocked.ticks


async def test_ticking_ends_with_the_block() -> None:
    async with Ticker() as ticker:
        await wait_until(lambda: ticker.ticks)
    ticks = ticker.ticks
    async with Ticker() as other:
        await wait_until(lambda: other.ticks >= 5)
    assert ticker.ticks == ticks


async def test_no_tick_is_no_number() -> None:
    async with Ticker(period_s=60) as ticker:
        with pytest.raises(ValueError, match="not ticked"):
            ticker.lateness()


def test_peak_is_of_the_sum_of_both_places() -> None:
    code = "import sys; sys.stdin.readline(); a = b'x' * (64 << 20); print('has', flush=True); sys.stdin.readline()"
    segment = os.memfd_create("segment", os.MFD_CLOEXEC)
    try:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with child, SmapsSampler(child.pid, segment) as sampler:
            assert child.stdin is not None
            assert child.stdout is not None
            wait_until_sync(lambda: sampler.samples >= 2)
            assert sampler.peak_private_bytes < 60 * MIB
            child.stdin.write("go\n")
            child.stdin.flush()
            assert child.stdout.readline() == "has\n"
            os.write(segment, b"y" * (32 * MIB))
            wait_until_sync(lambda: sampler.peak_segment_bytes >= 32 * MIB)
            assert sampler.peak_total_bytes >= 96 * MIB
            child.stdin.write("end\n")
    finally:
        os.close(segment)
    assert sampler.peak_segment_bytes == 32 * MIB
    assert 64 * MIB <= sampler.peak_private_bytes < 90 * MIB
    assert sampler.peak_total_bytes <= sampler.peak_private_bytes + sampler.peak_segment_bytes


def test_sampling_a_process_that_is_gone_is_no_error() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    with SmapsSampler(gone.pid) as sampler:
        gone.wait()
        wait_until_sync(lambda: not sampler.is_alive)
    with SmapsSampler(gone.pid) as sampler:
        pass
    assert sampler.samples == 0
