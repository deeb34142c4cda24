"""What is special to Google Drive: its pages, and the traps of gdown, which talks to the double unchanged.

Covers: `loaders.sources.gdrive` and `drive_download`. Does not cover: what every source keeps to (tests/contracts/test_sources.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from config.schema import ModelSettings, Settings
from loaders.errors import AccessDenied, FetchStalled, LoadError, NotAModel, SourceUnavailable, TooLarge
from loaders.sources import Limits, open_source
from loaders.sources.drive_download import DriveDownload
from loaders.sources.threads import on_own_thread
from tests.doubles.drive import QUOTA_WORDS, DriveDouble, DriveFile
from tests.doubles.files import Served
from tests.integration.sources.conftest import LIMITS, MIB, Fetch
from tests.support import wait_until

ID = "1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUv"
URI = f"gdrive://{ID}"
CONTENT = b"\x80\x04" + bytes(range(256)) * 4096 * 2


@pytest_asyncio.fixture
async def drive(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DriveDouble]:
    async with DriveDouble({ID: DriveFile(CONTENT)}) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.mark.parametrize("kind", ["small", "confirm"])
async def test_small_and_confirmed(fetch: Fetch, drive: DriveDouble, into: Path, kind: str) -> None:
    drive.change(ID, kind=kind)
    assert await fetch(URI) is not None
    assert into.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "kind, failure, words",
    [
        ("quota", SourceUnavailable, QUOTA_WORDS),
        ("permission", AccessDenied, "You need access"),
        ("sign_in", AccessDenied, "sign in"),
        ("endless", SourceUnavailable, "circle"),
        ("html", NotAModel, "web page"),
        ("broken", SourceUnavailable, "HTTP 503"),
    ],
)
async def test_pages(fetch: Fetch, drive: DriveDouble, into: Path, kind: str, failure: type[LoadError], words: str) -> None:
    drive.change(ID, kind=kind)
    with pytest.raises(failure, match=words):
        await fetch(URI)
    assert list(into.parent.iterdir()) == []


@pytest.mark.parametrize(
    "kind, failure", [("quota", SourceUnavailable), ("permission", AccessDenied), ("missing", LoadError), ("broken", LoadError)]
)
async def test_pages_that_only_gdown_sees(drive: DriveDouble, into: Path, kind: str, failure: type[LoadError]) -> None:
    # Between being asked for one byte and being asked by gdown, Drive can change its mind.
    drive.change(ID, kind=kind)
    job = DriveDownload(ID, URI, into, "", None, LIMITS, lambda done, total: None)
    with pytest.raises(failure):
        await on_own_thread(job.run, name="fetch-gdrive")
    assert list(into.parent.iterdir()) == []


async def test_gdown_in_a_circle_is_ended(drive: DriveDouble, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(ModelSettings(name="als", source=URI), Settings())
    monkeypatch.setattr("loaders.sources.gdrive._CHUNK_ALLOWANCE_S", 0.0)
    asked = source._ask  # type: ignore[attr-defined]

    async def ask() -> object:
        found = await asked()
        drive.change(ID, kind="endless")
        return found

    monkeypatch.setattr(source, "_ask", ask)
    with pytest.raises(FetchStalled):
        await source.fetch(into, limits=Limits(16 * MIB, 0.5, 60.0), on_progress=lambda done, total: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch-gdrive")]


async def test_size_is_bounded_without_an_announcement(fetch: Fetch, drive: DriveDouble, into: Path) -> None:
    drive.change(ID, served=Served(b"", is_chunked=True, takes_ranges=False))
    with pytest.raises(TooLarge):
        await fetch(URI, limits=Limits(MIB, 10.0, 60.0))
    assert list(into.parent.iterdir()) == []


async def test_without_validators_the_digest_is_the_revision(fetch: Fetch, drive: DriveDouble) -> None:
    drive.change(ID, served=Served(b"", etag="", sends_modified=False))
    fetched = await fetch(URI)
    assert fetched is not None
    assert fetched.revision.token == f"sha256:{fetched.sha256}"
    assert await fetch(URI, known=fetched.revision) is None


async def test_what_a_killed_process_left_is_gone_on_with(fetch: Fetch, drive: DriveDouble, into: Path) -> None:
    source = open_source(ModelSettings(name="als", source=URI), Settings())
    token = (await source._ask()).token  # type: ignore[attr-defined]
    job = DriveDownload(ID, URI, into, token, len(CONTENT), LIMITS, lambda done, total: None)
    folder = into.with_name(into.name + ".gdown")
    assert job._prepare(folder) == 0
    (folder / "artifactabcdefgh.part").write_bytes(CONTENT[:MIB])
    assert await fetch(URI) is not None
    assert into.read_bytes() == CONTENT
    assert [path.name for path in into.parent.iterdir()] == [into.name]
    assert f"bytes={MIB}-" in [request.headers.get("Range") for request in drive.requests]


async def test_what_lies_at_the_output_is_never_believed(fetch: Fetch, drive: DriveDouble, into: Path) -> None:
    folder = into.with_name(into.name + ".gdown")
    folder.mkdir()
    (folder / "artifact").write_bytes(b"something else")
    into.write_bytes(b"something else")
    assert await fetch(URI) is not None
    assert into.read_bytes() == CONTENT


async def test_changed_between_being_asked_and_being_resumed(drive: DriveDouble, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(ModelSettings(name="als", source=URI), Settings())
    token = (await source._ask()).token  # type: ignore[attr-defined]
    job = DriveDownload(ID, URI, into, token, len(CONTENT), LIMITS, lambda done, total: None)
    folder = into.with_name(into.name + ".gdown")
    job._prepare(folder)
    (folder / "artifactabcdefgh.part").write_bytes(CONTENT[:MIB])
    asked = source._ask  # type: ignore[attr-defined]

    async def ask() -> object:
        found = await asked()
        drive.change(ID, content=CONTENT[::-1])
        return found

    monkeypatch.setattr(source, "_ask", ask)
    with pytest.raises(SourceUnavailable, match="changed"):
        await source.fetch(into, limits=LIMITS, on_progress=lambda done, total: None)
    assert list(into.parent.iterdir()) == []


async def test_prints_nothing_and_keeps_no_cookies(
    fetch: Fetch, drive: DriveDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert await fetch(URI) is not None
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "home").exists()


async def test_cancelled_while_drive_is_silent(drive: DriveDouble, into: Path) -> None:
    asked = threading.Event()
    job = DriveDownload(ID, URI, into, "", None, LIMITS, lambda done, total: asked.set())
    import asyncio

    task = asyncio.create_task(on_own_thread(job.run, name="fetch-gdrive"))
    await wait_until(lambda: drive.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(into.parent) == []
