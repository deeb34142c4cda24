"""Ten times more than a model can: `python -m bench.overload [--model hosted,threads] [--seconds 20] [--times 10]`.

For each model, which takes about 20 ms a call: the installed server with default settings, one client alone (its p99 is the
uncontended one), then as many clients as keep it busy (what they get is its capacity), then `times` that capacity. Calls then are
sent at their times whether or not earlier ones were answered (an open loop), and /health is asked every 50 ms. Prints the ratio
of the accepted calls' p99 to the uncontended one, what became of the others, the growth of the server's memory and the p99 of
/health. The load comes from this process, on the same cores as the server. Does not cover: models answered on the event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import builtins
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

CALL_S = 0.01
_BUSY = 4
"""Clients that keep a model busy."""


class _Made:
    """What `function(*arguments)` returns, where it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def _pipeline(seconds: str) -> Any:
    from sklearn.dummy import DummyClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    rows = np.zeros((2, 3))
    model = make_pipeline(FunctionTransformer(), DummyClassifier()).fit(rows, [0, 1])
    model[0].func = _Made(builtins.eval, f"lambda rows: (__import__('time').sleep({seconds}), rows)[1]")
    return model


def _factors(items: int = 1_400_000, factors: int = 64) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "user_factors": rng.standard_normal((10, factors), dtype=np.float32),
        "item_factors": rng.standard_normal((items, factors), dtype=np.float32),
        "user_id_map": {user: user for user in range(10)},
        "item_id_map": {item: item for item in range(items)},
        "is_trained": True,
    }


MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "hosted": (lambda: _pipeline(f"{CALL_S} * len(rows)"), {"instances": [[0.0, 0.0, 0.0]]}),
    "hosted-batch": (lambda: _pipeline(str(CALL_S)), {"instances": [[0.0, 0.0, 0.0]]}),
    "threads": (_factors, {"user_id": 1, "k": 10}),
}
"""A model that takes its time a row, one that takes it a question however many rows are in it, and arrays scored in threads."""


@dataclass
class Tally:
    """What became of calls; `seconds` of each status, from sending to the last byte."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    without_retry_after: int = 0

    def add(self, outcome: str, seconds: float, is_told: bool) -> None:
        self.seconds.setdefault(outcome, []).append(seconds)
        self.without_retry_after += outcome == "429" and not is_told

    def counts(self) -> dict[str, int]:
        return dict(Counter({outcome: len(seconds) for outcome, seconds in self.seconds.items()}))

    def quantile_ms(self, outcome: str, share: float) -> float:
        ordered = sorted(self.seconds.get(outcome, ())) or [float("nan")]
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)


class Connection(asyncio.Protocol):
    """One keep-alive connection: as little of HTTP as a load generator needs, so that it can be many."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[str, bool]] | None = None
        self._head: bytes | None = None
        self._missing = 0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._head is None:
            self._buffer += data
            head, ended, rest = self._buffer.partition(b"\r\n\r\n")
            if not ended:
                return
            self._head, self._buffer, data = head.lower(), b"", rest
            self._missing = int(self._head.split(b"content-length:")[1].split(b"\r\n")[0])
        self._missing -= len(data)
        if self._missing <= 0 and self.answer is not None and not self.answer.done():
            status, is_told = self._head.split(b" ", 2)[1].decode(), b"retry-after:" in self._head
            self._head = None
            self.answer.set_result((status, is_told))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionResetError("closed by the server"))

    async def ask(self, request: bytes) -> tuple[str, bool]:
        """Status and whether there is a Retry-After. Raises ConnectionError."""
        if self.transport is None:
            raise ConnectionResetError("closed by the server")
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


class Clients:
    """Connections to one server, as many as are needed at a time."""

    def __init__(self, url: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")
        self._idle: deque[Connection] = deque()
        self.opened = 0

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return head.encode() + content

    async def ask(self, request: bytes, tally: Tally) -> str:
        """Send it, on a connection that is idle or new, and note what came of it."""
        began = time.perf_counter()
        try:
            connection = self._idle.pop() if self._idle else await self._opened()
            outcome, is_told = await connection.ask(request)
            self._idle.append(connection)
        except OSError as error:
            outcome, is_told = type(error).__name__, False
        tally.add(outcome, time.perf_counter() - began, is_told)
        return outcome

    async def _opened(self) -> Connection:
        self.opened += 1
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self._host, int(self._port))
        return connection

    def close(self) -> None:
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.close()


async def closed_loop(clients: Clients, request: bytes, size: int, seconds: float) -> Tally:
    """`size` clients that ask again as soon as they are answered."""
    tally, until = Tally(), time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            if await clients.ask(request, tally) != "200":
                await asyncio.sleep(CALL_S)

    await asyncio.gather(*(one() for _ in range(size)))
    return tally


async def open_loop(clients: Clients, request: bytes, per_s: float, seconds: float) -> tuple[Tally, float]:
    """Calls at fixed times; also how late the latest of them was sent."""
    tally, began, latest_s = Tally(), time.perf_counter(), 0.0
    asked: set[asyncio.Task[str]] = set()
    for number in range(int(per_s * seconds)):
        due = began + number / per_s
        if (ahead_s := due - time.perf_counter()) > 0.001:
            await asyncio.sleep(ahead_s)
        latest_s = max(latest_s, time.perf_counter() - due)
        task = asyncio.create_task(clients.ask(request, tally))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)
    return tally, latest_s


async def _health(clients: Clients, tally: Tally) -> None:
    request = clients.request("GET", "/health")
    while True:
        await clients.ask(request, tally)
        await asyncio.sleep(0.05)


def rss_bytes(pid: int) -> int:
    """Private memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


@contextmanager
def serving(folder: Path, name: str, model: Any) -> Iterator[tuple[int, str]]:
    """The installed program with this one model and no setting but its trust; its process id and URL, once the model is ready."""
    path = folder / f"{name}.pkl"
    path.write_bytes(pickle.dumps(model))
    (folder / "holdfast.toml").write_text(f'[loading]\ntrust = "any"\n[models.{name}]\nsource = "{path}"\n')
    log = (folder / "log").open("wb")
    program = subprocess.Popen([str(Path(sys.executable).parent / "holdfast"), "serve", "--port", "0"], cwd=folder, stdout=log, stderr=log)
    try:
        yield program.pid, _ready(folder, program, name)
    finally:
        program.terminate()
        program.wait()
        log.close()


def _ready(folder: Path, program: subprocess.Popen[bytes], name: str) -> str:
    from urllib.request import urlopen

    announced = folder / "var" / "server.json"
    while program.poll() is None:
        if announced.exists():
            url = str(json.loads(announced.read_text())["url"])
            with urlopen(f"{url}/models/{name}") as response:
                status = json.load(response)["status"]
            if status == "ready":
                return url
            if status == "error":
                break
        time.sleep(0.05)
    raise RuntimeError((folder / "log").read_text())


async def measure(pid: int, url: str, name: str, question: Any, asked: argparse.Namespace) -> dict[str, Any]:
    """The figures of one model."""
    clients = Clients(url)
    request = clients.request("POST", f"/models/{name}/predict", question)
    await closed_loop(clients, request, 1, 0.5)
    alone = await closed_loop(clients, request, 1, asked.alone)
    busy = await closed_loop(clients, request, _BUSY, asked.alone)
    capacity = len(busy.seconds["200"]) / asked.alone
    health, before = Tally(), rss_bytes(pid)
    watching = asyncio.create_task(_health(clients, health))
    tally, latest_s = await open_loop(clients, request, asked.times * capacity, asked.seconds)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    clients.close()
    counts = tally.counts()
    return {
        "alone_p50_ms": alone.quantile_ms("200", 0.5),
        "alone_p99_ms": alone.quantile_ms("200", 0.99),
        "capacity_per_s": round(capacity, 1),
        "offered_per_s": round(asked.times * capacity, 1),
        "accepted_p50_ms": tally.quantile_ms("200", 0.5),
        "accepted_p99_ms": tally.quantile_ms("200", 0.99),
        "p99_x": round(tally.quantile_ms("200", 0.99) / alone.quantile_ms("200", 0.99), 2),
        "accepted_of_capacity": round(counts.get("200", 0) / asked.seconds / capacity, 2),
        "answers": counts,
        "refused_p99_ms": tally.quantile_ms("429", 0.99),
        "without_retry_after": tally.without_retry_after,
        "rss_growth_mb": round((rss_bytes(pid) - before) / 1e6, 1),
        "health": health.counts(),
        "health_p99_ms": health.quantile_ms("200", 0.99),
        "connections": clients.opened,
        "latest_sent_ms": round(latest_s * 1000, 1),
    }


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.overload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="of overload (20)")
    parser.add_argument("--alone", type=float, default=5.0, help="seconds of each measurement before it (5)")
    parser.add_argument("--times", type=float, default=10.0, help="times the capacity that are offered (10)")
    asked = parser.parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    report = {}
    for name in asked.models.split(","):
        make, question = MODELS[name]
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder, serving(Path(folder), name, make()) as (pid, url):
            report[name] = asyncio.run(measure(pid, url, name, question, asked))
        print(json.dumps({name: report[name]}), flush=True)
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
