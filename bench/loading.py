"""What loading costs: `python -m bench.loading [--bytes 1GiB] [--formats pickle5,joblib,...] [--runs 5]`.

Prints ratios of one run, because a machine's seconds mean little elsewhere: memory of child and segment to the arrays'
bytes, growth of the server's private memory, lateness of a 1 ms ticker beside `asyncio.to_thread(pickle.load)`, readiness
beside `joblib.load(mmap_mode="r")` and a bare child's start, restart from the kept segment. The server side is the real
`loaders.loader.Loader`, in this process. Does not cover: fetching, HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import joblib
import psutil

from bench.models import FORMATS, array_bytes, big_model, size_of, write_model
from bench.ticker import SmapsSampler, Ticker
from config.schema import ModelSettings, Settings, StoreSettings
from loaders.loader import Loader, StoredArtifact, Version

ADOPTED = ("joblib", "safetensors")


def private_bytes() -> int:
    """Private resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this kernel does not tell RssAnon")


class Bench:
    """One model file of one format, loaded again and again."""

    def __init__(self, loader: Loader, model: ModelSettings, artifact: StoredArtifact) -> None:
        self.loader = loader
        self.model = model
        self.artifact = artifact

    async def load(self) -> tuple[Version, float]:
        """A version, and the seconds until it was ready."""
        began = time.perf_counter()
        version = await self.loader.load(self.model, self.artifact, on_phase=lambda phase, reason: None)
        return version, time.perf_counter() - began

    async def memory(self, arrays: int) -> dict[str, float]:
        """Peaks, in units of the arrays' bytes; growth of this process in MB."""
        gc.collect()
        before = private_bytes()
        loading = asyncio.ensure_future(self.load())
        child, segment = await _child_and_segment()
        with SmapsSampler(child, segment) as sampler:
            version, seconds = await loading
        grown = private_bytes() - before
        await version.close()
        return {
            "seconds": round(seconds, 2),
            "child_private_x": round(sampler.peak_private_bytes / arrays, 3),
            "segment_x": round(sampler.peak_segment_bytes / arrays, 3),
            "child_and_segment_x": round(sampler.peak_total_bytes / arrays, 3),
            "adopted_x": round(version.load["adopted_bytes"] / arrays, 3),
            "server_growth_mb": round(grown / 1e6, 1),
        }

    async def lateness(self, work: Callable[[], Any]) -> float:
        """Net p99 lateness in ms of a 1 ms ticker while `work` runs."""
        gc.collect()
        async with Ticker() as ticker:
            await work()
        return ticker.lateness().net_p99_ms

    async def load_and_drop(self) -> None:
        version, _ = await self.load()
        await version.close()

    async def unpickle_in_a_thread(self) -> None:
        held = [await asyncio.to_thread(_unpickle, self.artifact.path)]
        await asyncio.to_thread(held.clear)


def _unpickle(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        return pickle.load(file) if head[:1] == b"\x80" else joblib.load(path)


async def _child_and_segment() -> tuple[int, Path]:
    """The pid of the loading child, and a path to the segment it writes."""
    me = psutil.Process()
    while True:
        for child in me.children():
            for fd in Path("/proc/self/fd").iterdir():
                try:
                    if "/segments/" in (target := os.readlink(fd)) and "deleted" in target:
                        return child.pid, fd
                except FileNotFoundError:
                    continue
        await asyncio.sleep(0)


async def idle(seconds: float) -> float:
    """Net p99 lateness in ms of the ticker with nothing else to do."""
    async with Ticker() as ticker:
        await asyncio.sleep(seconds)
    return ticker.lateness().net_p99_ms


async def ready_beside_mmap(bench: Bench, runs: int) -> dict[str, float]:
    """Seconds to ready against `joblib.load(mmap_mode="r")` plus the start of a child that imports numpy; medians."""
    ours, theirs, starts = [], [], []
    for _ in range(runs):
        version, seconds = await bench.load()
        await version.close()
        ours.append(seconds)
        began = time.perf_counter()
        if bench.model.name == "joblib":
            joblib.load(bench.artifact.path, mmap_mode="r")
            theirs.append(time.perf_counter() - began)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", "import loaders.reading"], check=True)
        starts.append(time.perf_counter() - began)
    bar = (statistics.median(theirs) if theirs else 0.0) + statistics.median(starts)
    return {
        "ready_s": round(statistics.median(ours), 3),
        "mmap_and_start_s": round(bar, 3),
        "ready_x": round(statistics.median(ours) / bar, 2),
    }


async def restart(bench: Bench) -> float:
    """Seconds from a process's first look at the kept record to a scorer that answers."""
    began = time.perf_counter()
    version = await bench.loader.restore(bench.model)
    seconds = time.perf_counter() - began
    if version is None:
        raise RuntimeError("nothing was kept")
    await version.close()
    return round(seconds, 4)


async def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every figure, by format."""
    loader = Loader(Settings(store=StoreSettings(path=folder / "store", max_bytes=1 << 40)))
    await loader.open()
    report: dict[str, Any] = {}
    try:
        for format in asked.formats.split(","):
            path = folder / f"model.{format}"
            shape = big_model(asked.bytes, ids=asked.ids, fill="coarse" if "_" in format else "random")
            write_model(path, shape, format)
            model = ModelSettings(name=format, source=str(path), memory_bytes=asked.memory, max_artifact_bytes=1 << 40)
            bench = Bench(loader, model, await _artifact(loader, model, path))
            row: dict[str, Any] = {
                "array_bytes": array_bytes(shape),
                "memory_cap_bytes": asked.memory,
                **await bench.memory(array_bytes(shape)),
            }
            if format in ADOPTED:
                row |= await ready_beside_mmap(bench, asked.runs)
            row["restart_s"] = await restart(bench)
            if asked.runs and format not in ADOPTED:
                row |= await _lateness(bench, asked.runs)
            report[format] = row
            print(json.dumps({format: row}), flush=True)
            await loader.clear(format)
            path.unlink()
    finally:
        await loader.aclose()
    return report


async def _artifact(loader: Loader, model: ModelSettings, path: Path) -> StoredArtifact:
    """In the store where its arrays stay in it; else where it lies, so that no load deletes it."""
    if model.name not in ADOPTED:
        return StoredArtifact(path, "bench", path.stat().st_size, None)
    artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
    if artifact is None:
        raise RuntimeError("the source says unchanged, but was told no revision")
    return artifact


async def _lateness(bench: Bench, runs: int) -> dict[str, float]:
    quiet, child, thread = [], [], []
    for _ in range(runs):
        quiet.append(await idle(2.0))
        child.append(await bench.lateness(bench.load_and_drop))
        thread.append(await bench.lateness(bench.unpickle_in_a_thread))
    figures = {
        "idle_p99_ms": statistics.median(quiet),
        "child_p99_ms": statistics.median(child),
        "thread_p99_ms": statistics.median(thread),
    }
    return {name: round(value, 3) for name, value in figures.items()} | {
        "child_x_idle": round(figures["child_p99_ms"] / figures["idle_p99_ms"], 2),
        "thread_x_idle": round(figures["thread_p99_ms"] / figures["idle_p99_ms"], 2),
    }


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.loading", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bytes", type=size_of, default=size_of("1GiB"), help="bytes of the arrays together (1GiB)")
    parser.add_argument("--formats", default="pickle4,pickle5,joblib_lz4,joblib_zlib,joblib,safetensors", help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--memory", type=size_of, default=size_of("300MiB"), help="memory cap of the child (300MiB)")
    parser.add_argument("--ids", choices=("none", "int", "str"), default="none", help="id maps of every row")
    parser.add_argument("--runs", type=int, default=5, help="repetitions where a median is taken (5)")
    parser.add_argument("--folder", type=Path, help="where the files go (a temporary folder)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=asked.folder) as folder:
        report = asyncio.run(run(asked, Path(folder)))
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
