"""What is special to local files: how they are taken into the store, and noticing that they change.

Covers: `loaders.sources.file` and `watch`. Does not cover: what every source keeps to (tests/contracts/test_sources.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.schema import ModelSettings, Settings
from loaders.errors import NotAModel, SourceNotFound, SourceUnavailable
from loaders.sources import file as file_module
from loaders.sources import open_source
from tests.integration.sources.conftest import MIB, Fetch
from tests.support import wait_until

CONTENT = b"\x80\x04" + bytes(range(256)) * 4096 * 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    found = folder / "als 1.pkl"
    found.write_bytes(CONTENT)
    return found


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "SLICE_BYTES", 256 << 10)
    monkeypatch.setattr(file_module, "_clone", lambda source, target: False)


async def test_addresses(fetch: Fetch, path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("HOME", str(path.parent))
    (path.parent / "link.pkl").symlink_to(path)
    for uri in (str(path), path.as_uri(), path.name, f"./{path.name}", "~/link.pkl", "file://localhost" + path.as_uri()[7:]):
        into.unlink(missing_ok=True)
        assert await fetch(uri) is not None
        assert into.read_bytes() == CONTENT


async def test_the_store_has_its_own_copy(fetch: Fetch, path: Path, into: Path) -> None:
    await fetch(str(path))
    with path.open("r+b") as file:
        file.write(b"changed")
    assert into.read_bytes() == CONTENT


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("in_kernel", [True, False])
async def test_copied_in_slices(fetch: Fetch, path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, in_kernel: bool) -> None:
    if not in_kernel:  # as between two file systems
        monkeypatch.setattr(file_module, "_copy_range", lambda source, target, offset, length: 0)
    told: list[int] = []
    assert await fetch(str(path), on_progress=lambda done, total: told.append(done)) is not None
    assert into.read_bytes() == CONTENT
    assert told == sorted(told)
    assert len(set(told)) > 4


@pytest.mark.parametrize("replaced", [True, False])
@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.usefixtures("small_slices")
async def test_changed_while_copied(
    fetch: Fetch, path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, times: int, replaced: bool
) -> None:
    whole_copies = []
    real = file_module._copy_range

    def interrupted(source: int, target: int, offset: int, length: int) -> int:
        if offset == 0:
            whole_copies.append(offset)
            if len(whole_copies) <= times:
                content = bytes([len(whole_copies)]) + CONTENT[1:]
                fresh = path.with_suffix(".new") if replaced else path
                fresh.write_bytes(content)
                fresh.replace(path)
        return real(source, target, offset, length)

    monkeypatch.setattr(file_module, "_copy_range", interrupted)
    if times == 1:
        fetched = await fetch(str(path))
        assert fetched is not None
        assert into.read_bytes() == path.read_bytes()
        assert fetched.revision == await open_source(ModelSettings(name="als", source=str(path)), Settings()).probe()
    else:
        with pytest.raises(SourceUnavailable, match="changed"):
            await fetch(str(path))
        assert list(into.parent.iterdir()) == []


@pytest.mark.usefixtures("small_slices")
async def test_cancelled_while_copied(fetch: Fetch, path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = file_module._copy_range
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(source: int, target: int, offset: int, length: int) -> int:
        loop.call_soon_threadsafe(begun.set)
        return real(source, target, 0, 1)

    monkeypatch.setattr(file_module, "_copy_range", endless)
    task = asyncio.ensure_future(fetch(str(path)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(into.parent.iterdir()) == []


async def test_not_files(fetch: Fetch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "pipe"):
        with pytest.raises(NotAModel):
            await fetch(str(tmp_path / name))
    for name in ("missing/als.pkl", "pipe/als.pkl", "x" * 300):
        with pytest.raises(SourceNotFound):
            await fetch(str(tmp_path / name))


class Changes:
    """Counts what a watch tells."""

    def __init__(self) -> None:
        self.count = 0

    async def more(self) -> None:
        before = self.count
        await wait_until(lambda: self.count > before, 20.0)


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[Changes]:
    changes = open_source(ModelSettings(name="als", source=str(path)), Settings()).watch()
    assert changes is not None
    counter = Changes()

    async def count() -> None:
        async for _ in changes:
            counter.count += 1

    task = asyncio.create_task(count())
    try:
        yield counter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


async def test_watch_sees_replacing_and_rewriting(path: Path) -> None:
    async with watched(path) as changes:
        waiting = asyncio.create_task(changes.more())
        await asyncio.sleep(0)
        replace(path, CONTENT + b"1")
        await waiting
        waiting = asyncio.create_task(changes.more())
        await asyncio.sleep(0)
        path.write_bytes(CONTENT + b"22")
        await waiting
        (path.parent / "other.pkl").write_bytes(b"no matter")
        path.unlink()
        waiting = asyncio.create_task(changes.more())
        await asyncio.sleep(0)
        path.write_bytes(CONTENT)
        await waiting
    assert changes.count == 3


async def test_watch_sees_a_switched_link(path: Path, tmp_path: Path) -> None:
    # The way Kubernetes updates mounted files: als.pkl -> ..data/als.pkl, and ..data is replaced.
    mount = tmp_path / "mount"
    for version in ("1", "2"):
        (mount / version).mkdir(parents=True)
        (mount / version / "als.pkl").write_bytes(version.encode())
    (mount / "..data").symlink_to("1")
    (mount / "als.pkl").symlink_to("..data/als.pkl")
    async with watched(mount / "als.pkl") as changes:
        waiting = asyncio.create_task(changes.more())
        await asyncio.sleep(0)
        (mount / "..tmp").symlink_to("2")
        (mount / "..tmp").rename(mount / "..data")
        await waiting
        waiting = asyncio.create_task(changes.more())
        await asyncio.sleep(0)
        (mount / "2" / "als.pkl").write_bytes(b"22")
        await waiting


async def test_watch_waits_for_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "later" / "als.pkl"
    async with watched(path) as changes:
        waiting = asyncio.create_task(changes.more())
        await asyncio.sleep(0)
        path.parent.mkdir()
        path.write_bytes(CONTENT[:MIB])
        await waiting
