"""A clock that only moves when told, and a loader whose every step is answered by the test.

Covers: the ports of the supervisor. Does not cover: anything real.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from config.schema import ModelSettings
from loaders.published import PublishedVersion
from service.lifecycle.ports import Artifact, Loaded, OnPhase, OnProgress, OnTrained, Published, Workshop
from service.lifecycle.state import Entry
from service.lifecycle.supervisor import Supervisor

DEADLINE_S = 10.0


async def settle() -> None:
    """Let every task that can run do so, for checks that something did not happen."""
    for _ in range(50):
        await asyncio.sleep(0)


class FakeClock:
    """Time that stands still between `advance`s."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        rings: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + delay_s, next(self._order), rings))
        await rings

    async def advance(self, delay_s: float) -> None:
        """Ring what is due on the way, each at its time."""
        await settle()
        until = self.now + delay_s
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, rings = heapq.heappop(self._sleepers)
            if not rings.done():
                self.now = max(self.now, at)
                rings.set_result(None)
                await settle()
        self.now = until
        await settle()

    def pending(self) -> list[float]:
        """Seconds from now at which something will ring."""
        return sorted(round(at - self.now, 6) for at, _, rings in self._sleepers if not rings.done())


@dataclass
class FakeArtifact:
    revision: str
    size: int = 100


@dataclass
class FakeLoaded:
    version: str
    revision: str
    family: str = "factors"
    scorer: Any = "scorer"
    artifact_bytes: int = 100
    segment_bytes: int = 200
    loaded_at: float = 1_000_000.0
    load: Mapping[str, Any] = field(default_factory=lambda: {"seconds": 0.5})
    details: Mapping[str, Any] = field(default_factory=lambda: {"users": 3})
    parts: Mapping[str, str] = field(default_factory=dict)
    closed: int = 0
    close_error: Exception | None = None
    tell_death: Callable[[str, str], None] | None = None

    def on_death(self, tell: Callable[[str, str], None]) -> None:
        self.tell_death = tell

    async def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error


class Call:
    """A step of the loader that waits for the test's answer."""

    def __init__(self, model: str, **given: Any) -> None:
        self.model = model
        self.given = given
        self.cancelled = False
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.cleanup: asyncio.Future[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return self.given[name]

    def finish(self, result: Any = None) -> None:
        self.answer.set_result(result)

    def fail(self, error: BaseException) -> None:
        self.answer.set_exception(error)

    async def wait(self) -> Any:
        try:
            return await self.answer
        except asyncio.CancelledError:
            self.cancelled = True
            if self.cleanup is not None:
                await self.cleanup
            raise


class FakeLoader:
    """Each fetch and load is a Call, handed to the test in the order they begin."""

    def __init__(self) -> None:
        self.fetches: asyncio.Queue[Call] = asyncio.Queue()
        self.loads: asyncio.Queue[Call] = asyncio.Queue()
        self.restores: asyncio.Queue[Call] = asyncio.Queue()
        self.kept: dict[str, FakeLoaded | Exception] = {}
        self.kept_of_trainings: dict[str, FakeLoaded] = {}
        self.asks_restore = False
        self.need_bytes = 10
        self.touches: dict[str, asyncio.Queue[Exception | None]] = {}
        self.cleared: list[str | None] = []
        self.log: list[str] = []

    async def restore(self, model: ModelSettings) -> Loaded | None:
        self.log.append(f"restore {model.name}")
        if model.source.startswith("training:"):
            return self.kept_of_trainings.get(model.name)
        if self.asks_restore:
            call = Call(model.name)
            self.restores.put_nowait(call)
            await call.wait()
        kept = self.kept.get(model.name)
        if isinstance(kept, Exception):
            raise kept
        return kept

    async def fetch(self, model: ModelSettings, *, known: str | None, on_progress: OnProgress) -> Artifact | None:
        self.log.append(f"fetch {model.name}")
        call = Call(model.name, known=known, on_progress=on_progress, source=model.source)
        self.fetches.put_nowait(call)
        artifact: Artifact | None = await call.wait()
        return artifact

    def estimate(self, model: ModelSettings, artifact: Artifact) -> int:
        return self.need_bytes

    async def load(self, model: ModelSettings, artifact: Artifact, *, on_phase: OnPhase) -> Loaded:
        call = Call(model.name, artifact=artifact, on_phase=on_phase)
        self.loads.put_nowait(call)
        loaded: Loaded = await call.wait()
        return loaded

    async def disown(self, model: ModelSettings, loaded: Loaded) -> None:
        self.log.append(f"disown {model.name} {loaded.version}")

    async def let_go(self, model: ModelSettings) -> None:
        self.log.append(f"let_go {model.name}")

    def watch(self, model: ModelSettings) -> AsyncIterator[None] | None:
        touches = self.touches.get(model.source if model.source.startswith("training:") else model.name)
        return _touches(touches) if touches is not None else None

    def touch(self, watched: str) -> asyncio.Queue[Exception | None]:
        """Where the test puts the changes of a model's file, or of what a training ("training:NAME") publishes."""
        return self.touches.setdefault(watched, asyncio.Queue())

    async def clear(self, model: str | None) -> int:
        self.cleared.append(model)
        return 7

    async def next_fetch(self, model: str | None = None) -> Call:
        """The fetch that began first, of that model or of any; what began before it stays for later."""
        passed = []
        async with asyncio.timeout(DEADLINE_S):
            while (call := await self.fetches.get()).model != (model or call.model):
                passed.append(call)
        for other in passed:
            self.fetches.put_nowait(other)
        return call

    async def next_load(self) -> Call:
        return await asyncio.wait_for(self.loads.get(), DEADLINE_S)


async def _touches(touches: asyncio.Queue[Exception | None]) -> AsyncIterator[None]:
    while True:
        error = await touches.get()
        if error is not None:
            raise error
        yield


class FakeAdmission:
    """Room for `free_bytes`."""

    def __init__(self, free_bytes: int = 1_000_000) -> None:
        self.free_bytes = free_bytes
        self.error: Exception | None = None

    def reserve(self, need_bytes: int) -> str | None:
        if self.error is not None:
            raise self.error
        if need_bytes > self.free_bytes:
            return f"waiting for memory: needs {need_bytes}, {self.free_bytes} free"
        self.free_bytes -= need_bytes
        return None

    def release(self, need_bytes: int) -> None:
        self.free_bytes += need_bytes


def record_of(version: str, training: str = "als") -> PublishedVersion:
    """What a training recorded of a version, all of it of no account but its name."""
    return PublishedVersion(
        version=version,
        training=training,
        algorithm="als",
        family="factors",
        trained_at=1_000_000.0,
        published_at=1_000_000.0,
        bytes=100,
        sha256="0" * 64,
        code_version="1",
        seconds=1.0,
        peak_bytes=None,
        split="time",
        cut_at=None,
    )


class FakeArchive:
    """The versions of one training, newest first, in memory."""

    def __init__(self, *versions: str) -> None:
        self.names = list(versions)
        self.current = versions[0] if versions else None
        self.pinned: str | None = None
        self.withdrawn: dict[str, dict[str, Any]] = {}
        self.commands: list[tuple[Any, ...]] = []
        self.failing: Exception | None = None

    def publish(self, version: str) -> None:
        self.names.insert(0, version)
        self.current = self.pinned or version

    async def published(self, training: str) -> Published:
        self._check()
        return Published(tuple(record_of(name) for name in self.names), self.current, self.pinned, dict(self.withdrawn))

    async def roll_back(self, training: str, to: str, by: str) -> None:
        self._command("roll_back", training, to, by)
        self.current = self.pinned = to

    async def activate(self, training: str, version: str, by: str) -> None:
        self._command("activate", training, version, by)
        self.current, self.pinned = version, None
        self.withdrawn.pop(version, None)

    async def unpin(self, training: str, by: str) -> None:
        self._command("unpin", training, by)
        self.pinned = None

    async def withdraw(self, training: str, version: str, failure: Mapping[str, str], serving: str | None) -> None:
        self._command("withdraw", training, version, failure["type"], serving)
        self.withdrawn[version] = {"at": 1_000_000.0, **failure}
        sound = [name for name in self.names if name not in self.withdrawn]
        if self.current == version:
            self.current = serving or next(iter(sound), self.current)

    def _command(self, *command: Any) -> None:
        self._check()
        self.commands.append(command)

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


class FakeTrainer:
    """Each training is a Call, answered by the test."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Call] = asyncio.Queue()

    async def train(self, training: str, because: str, on_progress: OnTrained) -> None:
        call = Call(training, because=because, on_progress=on_progress)
        self.calls.put_nowait(call)
        await call.wait()

    async def next_call(self) -> Call:
        return await asyncio.wait_for(self.calls.get(), DEADLINE_S)


class FakeCanary:
    """Complains of the versions it is told to."""

    def __init__(self) -> None:
        self.complaints: dict[str, Exception] = {}
        self.checked: list[str] = []
        self.count = 3

    def questions(self, model: str) -> int:
        return self.count

    async def check(self, model: str, challenger: Loaded) -> None:
        self.checked.append(challenger.version)
        if challenger.version in self.complaints:
            raise self.complaints[challenger.version]


class Bench:
    """A supervisor with everything around it fake. `async with` starts and closes it."""

    def __init__(self, *models: ModelSettings, concurrency: int = 2, drain_s: float = 30.0, published: Sequence[str] = ()) -> None:
        self.clock = FakeClock()
        self.loader = FakeLoader()
        self.admission = FakeAdmission()
        self.archive, self.trainer, self.canary = FakeArchive(*published), FakeTrainer(), FakeCanary()
        self.supervisor = Supervisor(
            {model.name: model for model in models or (ModelSettings("als", source="/als.pkl"),)},
            self.loader,
            self.admission,
            workshop=Workshop(self.archive, self.trainer, self.canary),
            concurrency=concurrency,
            drain_s=drain_s,
            clock=self.clock,
            random=lambda: 0.0,
            sleep=self.clock.sleep,
        )
        self.registry = self.supervisor.registry

    async def __aenter__(self) -> Bench:
        await self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        closing = asyncio.ensure_future(self.supervisor.aclose())
        while not closing.done():
            await self.clock.advance(60.0)
        await closing

    def entry(self, name: str = "als") -> Entry:
        return self.registry.view(name).entry

    def status(self, name: str = "als") -> str:
        return self.registry.view(name).status.value

    async def serve(self, version: str = "v1", revision: str = "r1", name: str = "als") -> FakeLoaded:
        """Answer the attempt that runs, up to the published version."""
        fetch = await self.loader.next_fetch(name if len(self.registry.snapshot()) > 1 else None)
        fetch.finish(FakeArtifact(revision))
        return await self.finish_load(version, revision)

    async def finish_load(self, version: str, revision: str) -> FakeLoaded:
        load = await self.loader.next_load()
        loaded = FakeLoaded(version, revision)
        load.finish(loaded)
        await settle()
        return loaded

    async def fail_fetch(self, error: BaseException) -> None:
        fetch = await self.loader.next_fetch()
        fetch.fail(error)
        await settle()

    async def fail_load(self, error: BaseException, revision: str = "r1") -> None:
        fetch = await self.loader.next_fetch()
        fetch.finish(FakeArtifact(revision))
        load = await self.loader.next_load()
        load.fail(error)
        await settle()
