"""What every source of the scheme table keeps to, over real sockets and real files.

Covers: `loaders.sources.base.Source`, for each scheme listed. Does not cover: what is special to one (tests/integration/sources).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from loaders.errors import (
    AccessDenied,
    DiskFull,
    FetchStalled,
    FetchTimeout,
    NotAModel,
    SourceNotFound,
    SourceUnavailable,
    TooLarge,
)
from loaders.fetching import LOCAL
from loaders.sources import SOURCES, Fetched, Limits, Revision
from tests.contracts.places import PLACES, Place
from tests.doubles.faults import FaultProxy
from tests.doubles.s3_server import S3Service, s3_service
from tests.support import wait_until

MIB = 1 << 20
SIZE = 3 * MIB
LIMITS = Limits(max_bytes=16 * MIB, stall_timeout_s=10.0, total_timeout_s=60.0)
HALF_WAY = 3 * MIB // 2
LINKED = ("training",)
"""Schemes whose artifacts lie in the store's file system already, and get another name there."""


def artifact(seed: int) -> bytes:
    return b"\x80\x04" + random.Random(seed).randbytes(SIZE - 2)


FIRST, SECOND = artifact(1), artifact(2)


class Story:
    """Progress, as it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int | None]] = []

    def __call__(self, done: int, total: int | None) -> None:
        self.told.append((done, total))

    @property
    def done(self) -> int:
        return self.told[-1][0] if self.told else 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[S3Service]:
    async with s3_service() as running:
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Over every scheme; where faults of a network are the subject, or the room for a copy, over those that have one."""
    if "place" in metafunc.fixturenames:
        without = LOCAL if "faults" in metafunc.fixturenames else LINKED if "copies" in metafunc.fixturenames else ()
        metafunc.parametrize("place", sorted(set(SOURCES) - set(without)), indirect=True)


@pytest_asyncio.fixture
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, service: S3Service, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    async with PLACES[request.param](tmp_path, service, monkeypatch) as opened:
        await opened.put(FIRST)
        yield opened


@pytest.fixture
def faults(place: Place) -> FaultProxy:
    assert place.faults is not None
    return place.faults


@pytest.fixture
def copies() -> None:
    """Asked for where the artifact needs room of its own."""


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    return folder / "als.part"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; where mounting is not allowed (no root), the numbers of one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here; test_disk_full_by_the_numbers covers the check")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def fetch(
    place: Place, into: Path, *, limits: Limits = LIMITS, known: Revision | None = None, story: Story | None = None
) -> Fetched | None:
    return await place.source.fetch(into, limits=limits, on_progress=story or Story(), known=known)


def left_in(into: Path) -> list[str]:
    return sorted(path.name for path in into.parent.iterdir())


def test_every_scheme_has_a_place() -> None:
    assert sorted(PLACES) == sorted(SOURCES)


async def test_fetches_all_of_it(place: Place, into: Path) -> None:
    story = Story()
    fetched = await fetch(place, into, story=story)
    assert fetched is not None
    assert into.read_bytes() == FIRST
    assert fetched.path == into
    assert fetched.size == SIZE
    assert fetched.sha256 in (None, hashlib.sha256(FIRST).hexdigest())
    assert fetched.revision.token
    assert stat.S_IMODE(into.stat().st_mode) == 0o600
    assert left_in(into) == [into.name]
    assert story.told[-1] == (SIZE, SIZE)
    assert [done for done, _ in story.told] == sorted(done for done, _ in story.told)


async def test_progress_grows_on_the_way(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.bytes_per_s = 6 * MIB
    story = Story()
    await fetch(place, into, story=story)
    assert len({done for done, _ in story.told}) >= 4
    assert {total for _, total in story.told} == {SIZE}


async def test_says_what_is_current(place: Place, into: Path) -> None:
    probed = await place.source.probe()
    fetched = await fetch(place, into)
    assert fetched is not None
    assert fetched.revision == probed
    assert probed.size == SIZE


async def test_unchanged_is_not_fetched(place: Place, into: Path) -> None:
    known = await place.source.probe()
    before = place.faults.bytes_down if place.faults else 0
    assert await fetch(place, into, known=known) is None
    assert left_in(into) == []
    if place.faults is not None:
        assert place.faults.bytes_down - before < 100_000


async def test_changed_is_fetched(place: Place, into: Path) -> None:
    known = await place.source.probe()
    await place.put(SECOND)
    fetched = await fetch(place, into, known=known)
    assert fetched is not None
    assert fetched.revision.token != known.token
    assert into.read_bytes() == SECOND


async def test_not_found(place: Place, into: Path) -> None:
    await place.remove()
    with pytest.raises(SourceNotFound, match=r".+"):
        await fetch(place, into)
    with pytest.raises(SourceNotFound):
        await place.source.probe()
    assert left_in(into) == []


async def test_denied(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    into = tmp_path_factory.mktemp("store") / "als.part"
    await place.deny()
    with pytest.raises(AccessDenied):
        await fetch(place, into)
    with pytest.raises(AccessDenied):
        await place.source.probe()


async def test_too_large(place: Place, into: Path) -> None:
    with pytest.raises(TooLarge) as caught:
        await fetch(place, into, limits=Limits(SIZE - 1, 10.0, 60.0))
    assert caught.value.detail["limit_bytes"] == SIZE - 1
    assert left_in(into) == []


async def test_exactly_the_limit_is_not_too_large(place: Place, into: Path) -> None:
    assert await fetch(place, into, limits=Limits(SIZE, 10.0, 60.0)) is not None


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html><body>Welcome</body></html>", b"\n <HTML><head></head></HTML>" + b" " * SIZE])
async def test_web_page_is_not_a_model(place: Place, into: Path, page: bytes) -> None:
    await place.put(page)
    with pytest.raises(NotAModel, match="web page"):
        await fetch(place, into)
    assert left_in(into) == []


async def test_empty_is_not_a_model(place: Place, into: Path) -> None:
    await place.put(b"")
    with pytest.raises(NotAModel, match="empty"):
        await fetch(place, into)
    assert left_in(into) == []


async def test_refused(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.refuses = True
    with pytest.raises(SourceUnavailable):
        await fetch(place, into)
    with pytest.raises(SourceUnavailable):
        await place.source.probe()


async def test_cut_is_resumed(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.cut_after, faults.plan.refuses_after_cut = HALF_WAY, True
    with pytest.raises(SourceUnavailable):
        await fetch(place, into)
    kept = into.stat().st_size
    assert MIB // 2 < kept < SIZE
    faults.heal()
    story = Story()
    fetched = await fetch(place, into, story=story)
    assert fetched is not None
    assert into.read_bytes() == FIRST
    assert fetched.sha256 == hashlib.sha256(FIRST).hexdigest()
    assert place.resumed_at() == kept
    assert left_in(into) == [into.name]
    assert story.told[-1] == (SIZE, SIZE)


async def test_reset_is_resumed(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.cut_after, faults.plan.refuses_after_cut, faults.plan.cut_by_reset = HALF_WAY, True, True
    with pytest.raises(SourceUnavailable):
        await fetch(place, into)
    faults.heal()
    assert await fetch(place, into) is not None
    assert into.read_bytes() == FIRST


async def test_changed_after_the_cut_is_fetched_anew(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.cut_after, faults.plan.refuses_after_cut = HALF_WAY, True
    with pytest.raises(SourceUnavailable):
        await fetch(place, into)
    faults.heal()
    await place.put(SECOND)
    fetched = await fetch(place, into)
    assert fetched is not None
    assert into.read_bytes() == SECOND
    assert fetched.sha256 == hashlib.sha256(SECOND).hexdigest()


async def test_another_address_does_not_resume(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.cut_after, faults.plan.refuses_after_cut = HALF_WAY, True
    with pytest.raises(SourceUnavailable):
        await fetch(place, into)
    faults.heal()
    validator = into.with_name(into.name + ".json")
    validator.write_text(json.dumps({**json.loads(validator.read_text()), "origin": "another"}))
    into.write_bytes(SECOND[: into.stat().st_size])
    assert await fetch(place, into) is not None
    assert into.read_bytes() == FIRST


async def test_bytes_without_a_validator_are_not_resumed(place: Place, into: Path) -> None:
    into.write_bytes(SECOND[:HALF_WAY])
    assert await fetch(place, into) is not None
    assert into.read_bytes() == FIRST


async def test_stalled(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.stall_after = HALF_WAY
    with pytest.raises(FetchStalled, match="no byte for"):
        await fetch(place, into, limits=Limits(16 * MIB, 0.5, 60.0))
    assert into.stat().st_size > MIB // 2
    faults.heal()
    assert await fetch(place, into) is not None
    assert into.read_bytes() == FIRST


async def test_silent_from_the_start(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.stall_after = 0
    with pytest.raises(FetchStalled):
        await fetch(place, into, limits=Limits(16 * MIB, 0.5, 60.0))


async def test_slow_is_not_stalled_but_may_take_too_long(place: Place, into: Path, faults: FaultProxy) -> None:
    faults.plan.bytes_per_s = MIB / 2
    with pytest.raises(FetchTimeout, match="not fetched within"):
        await fetch(place, into, limits=Limits(16 * MIB, 1.0, 1.5))


async def test_cancelled_ends_at_once_and_can_go_on(place: Place, into: Path, faults: FaultProxy) -> None:
    # no_leaks watches what is left: no thread, no descriptor.
    faults.plan.bytes_per_s = MIB
    story = Story()
    task = asyncio.create_task(fetch(place, into, story=story))
    await wait_until(lambda: story.done > MIB // 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = into.stat().st_size
    assert kept > 0
    faults.heal()
    assert await fetch(place, into) is not None
    assert into.read_bytes() == FIRST
    assert place.resumed_at() == kept


async def test_disk_full(place: Place, tiny_disk: Path) -> None:
    (tiny_disk / "taken").write_bytes(bytes(2 * MIB))
    into = tiny_disk / "als.part"
    story = Story()
    with pytest.raises(DiskFull):
        await fetch(place, into, story=story)
    assert left_in(into) == ["taken"]
    assert story.done == 0  # known before the body was read


async def test_disk_full_by_the_numbers(place: Place, into: Path, copies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_bavail, f_frsize = 100, 4096

    monkeypatch.setattr("loaders.sources.checks.os.statvfs", lambda folder: Disk)
    with pytest.raises(DiskFull) as caught:
        await fetch(place, into)
    assert caught.value.detail["free_bytes"] == 409600
    assert left_in(into) == []


async def test_says_nothing_secret(place: Place, faults: FaultProxy, into: Path) -> None:
    faults.plan.refuses = True
    with pytest.raises(SourceUnavailable) as caught:
        await fetch(place, into)
    for words in (place.source.uri, repr(place.source), caught.value.message):
        assert "secret" not in words
