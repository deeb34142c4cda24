"""What is special to web servers: conditions, ranges and validators as servers differ in them, status codes, lies.

Covers: `loaders.sources.https` and `client`. Does not cover: what every source keeps to (tests/contracts/test_sources.py).
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from config.schema import ModelSettings, Settings
from loaders.errors import AccessDenied, DiskFull, LoadError, NotAModel, SourceNotFound, SourceUnavailable, TooLarge
from loaders.sources import Limits, Revision, open_source
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.integration.sources.conftest import MIB, Fetch

FIRST = b"\x80\x04" + bytes(range(256)) * 4096 * 2
SECOND = FIRST[:2] + FIRST[:1:-1]
PATH = "/als.pkl"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FileServer]:
    async with FileServer({PATH: Served(FIRST)}) as running:
        yield running


@pytest_asyncio.fixture
async def faults(server: FileServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.address) as running:
        yield running


@pytest.fixture
def uri(faults: FaultProxy) -> str:
    return f"{faults.url}{PATH}"


async def cut(fetch: Fetch, uri: str, faults: FaultProxy) -> None:
    """Leave a partial download behind."""
    faults.plan.cut_after = MIB
    with pytest.raises(SourceUnavailable):
        await fetch(uri)
    faults.heal()


def ranges(server: FileServer) -> list[str]:
    return [request.headers.get("Range", "") for request in server.requests]


@pytest.mark.parametrize(
    "status, failure",
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (404, SourceNotFound),
        (410, SourceNotFound),
        (408, SourceUnavailable),
        (429, SourceUnavailable),
        (500, SourceUnavailable),
        (503, SourceUnavailable),
    ],
)
async def test_status(fetch: Fetch, server: FileServer, uri: str, into: Path, status: int, failure: type[LoadError]) -> None:
    server.change(PATH, status=status, headers={"Retry-After": "7"})
    with pytest.raises(failure, match=f"HTTP {status}") as caught:
        await fetch(uri)
    assert caught.value.detail.get("retry_after_s") == (7 if failure is SourceUnavailable else None)
    assert list(into.parent.iterdir()) == []


async def test_page_by_its_type(fetch: Fetch, server: FileServer, uri: str, into: Path) -> None:
    server.change(PATH, content_type="text/html; charset=utf-8")
    told: list[int] = []
    with pytest.raises(NotAModel):
        await fetch(uri, on_progress=lambda done, total: told.append(done))
    assert told == []
    assert list(into.parent.iterdir()) == []


async def test_recheck_by_date(fetch: Fetch, server: FileServer, uri: str) -> None:
    server.change(PATH, etag="")
    fetched = await fetch(uri)
    assert fetched is not None
    assert fetched.revision.token.startswith("mtime:")
    sent = server.body_bytes
    assert await fetch(uri, known=fetched.revision) is None
    assert server.body_bytes == sent


async def test_recheck_where_conditions_are_ignored(fetch: Fetch, server: FileServer, uri: str) -> None:
    server.change(PATH, minds_conditions=False)
    fetched = await fetch(uri)
    assert fetched is not None
    assert await fetch(uri, known=fetched.revision) is None


async def test_without_validators_the_digest_is_the_revision(fetch: Fetch, server: FileServer, uri: str, into: Path) -> None:
    server.change(PATH, etag="", sends_modified=False)
    fetched = await fetch(uri)
    assert fetched is not None
    assert fetched.revision.token == f"sha256:{hashlib.sha256(FIRST).hexdigest()}"
    assert await fetch(uri, known=fetched.revision) is None
    assert list(into.parent.iterdir()) == []
    server.change(PATH, content=SECOND)
    assert await fetch(uri, known=fetched.revision) is not None


async def test_probe_where_head_is_not_allowed(server: FileServer, uri: str) -> None:
    server.change(PATH, minds_head=False)
    source = open_source(ModelSettings(name="als", source=uri), Settings())
    assert (await source.probe()).size == len(FIRST)


@pytest.mark.parametrize("weak", [{"etag": 'W/"1"'}, {"etag": "", "sends_modified": False}])
async def test_no_strong_validator_no_resume(fetch: Fetch, server: FileServer, faults: FaultProxy, uri: str, weak: dict[str, str]) -> None:
    server.change(PATH, **weak)
    await cut(fetch, uri, faults)
    assert await fetch(uri) is not None
    assert ranges(server) == ["", ""]


async def test_resumes_by_date(fetch: Fetch, server: FileServer, faults: FaultProxy, uri: str, into: Path) -> None:
    server.change(PATH, etag="")
    await cut(fetch, uri, faults)
    assert await fetch(uri) is not None
    assert into.read_bytes() == FIRST
    assert ranges(server)[1].startswith("bytes=")


async def test_server_without_ranges(fetch: Fetch, server: FileServer, faults: FaultProxy, uri: str, into: Path) -> None:
    server.change(PATH, takes_ranges=False)
    await cut(fetch, uri, faults)
    fetched = await fetch(uri)
    assert fetched is not None
    assert into.read_bytes() == FIRST
    assert fetched.sha256 == hashlib.sha256(FIRST).hexdigest()


async def test_server_that_ignores_if_range(fetch: Fetch, server: FileServer, faults: FaultProxy, uri: str, into: Path) -> None:
    await cut(fetch, uri, faults)
    server.change(PATH, content=SECOND, minds_if_range=False)
    fetched = await fetch(uri)
    assert fetched is not None
    assert into.read_bytes() == SECOND
    assert fetched.sha256 == hashlib.sha256(SECOND).hexdigest()


async def test_shorter_than_the_partial(fetch: Fetch, server: FileServer, faults: FaultProxy, uri: str, into: Path) -> None:
    await cut(fetch, uri, faults)
    server.change(PATH, content=FIRST[:1000], minds_if_range=False)
    assert await fetch(uri) is not None
    assert into.read_bytes() == FIRST[:1000]


async def test_whole_but_not_published(fetch: Fetch, server: FileServer, faults: FaultProxy, uri: str, into: Path) -> None:
    # As if the process had died between the last byte and the end.
    await cut(fetch, uri, faults)
    into.write_bytes(FIRST)
    assert await fetch(uri) is not None
    assert ranges(server)[-1] == f"bytes={len(FIRST) - 1}-"
    assert into.read_bytes() == FIRST


@pytest.mark.parametrize("validator", ["", "[]", "{}", "not json", '{"origin": 1, "token": 2, "total": "x"}'])
async def test_broken_validator_file(fetch: Fetch, uri: str, into: Path, validator: str) -> None:
    into.write_bytes(SECOND[:MIB])
    into.with_name(into.name + ".json").write_text(validator)
    assert await fetch(uri) is not None
    assert into.read_bytes() == FIRST


async def test_shorter_than_announced(fetch: Fetch, faults: FaultProxy, uri: str, into: Path) -> None:
    async def close() -> None:
        faults.plan.cut_after = 0

    faults.plan = Plan(length_delta=1000, at=(len(FIRST), close))
    with pytest.raises(SourceUnavailable):
        await fetch(uri)
    faults.heal()
    assert await fetch(uri) is not None
    assert into.read_bytes() == FIRST


async def test_announced_too_large_is_not_read(fetch: Fetch, server: FileServer, uri: str, into: Path) -> None:
    told: list[int] = []
    with pytest.raises(TooLarge):
        await fetch(uri, limits=Limits(MIB, 10.0, 60.0), on_progress=lambda done, total: told.append(done))
    assert told == []
    assert list(into.parent.iterdir()) == []


async def test_too_large_without_an_announcement(fetch: Fetch, server: FileServer, uri: str, into: Path) -> None:
    server.change(PATH, is_chunked=True)
    told: list[int] = []
    with pytest.raises(TooLarge):
        await fetch(uri, limits=Limits(MIB, 10.0, 60.0), on_progress=lambda done, total: told.append(done))
    assert max(told) <= MIB
    assert list(into.parent.iterdir()) == []


async def test_unknown_length(fetch: Fetch, server: FileServer, uri: str, into: Path) -> None:
    server.change(PATH, is_chunked=True)
    fetched = await fetch(uri)
    assert fetched is not None
    assert fetched.size == len(FIRST)
    assert into.read_bytes() == FIRST


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_disk_fills_up_on_the_way(server: FileServer, uri: str, tiny_disk: Path) -> None:
    server.change(PATH, is_chunked=True, content=FIRST * 3)
    source = open_source(ModelSettings(name="als", source=uri), Settings())
    with pytest.raises(DiskFull, match="no room"):
        await source.fetch(tiny_disk / "als.part", limits=Limits(16 * MIB, 10.0, 60.0), on_progress=lambda done, total: None)
    assert list(tiny_disk.iterdir()) == []


async def test_redirects_are_followed_and_counted(fetch: Fetch, server: FileServer, faults: FaultProxy, into: Path) -> None:
    server.files["/moved"] = Served(b"", redirects_to=PATH)
    server.files["/circle"] = Served(b"", redirects_to="/circle?signature=hush")
    assert await fetch(f"{faults.url}/moved") is not None
    assert into.read_bytes() == FIRST
    with pytest.raises(SourceUnavailable, match="redirects") as caught:
        await fetch(f"{faults.url}/circle")
    assert "hush" not in str(caught.value)


async def test_content_encoding_is_stored_as_sent(fetch: Fetch, server: FileServer, uri: str, into: Path) -> None:
    server.change(PATH, headers={"Content-Encoding": "gzip"})
    assert await fetch(uri) is not None
    assert into.read_bytes() == FIRST
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


async def test_user_and_password_are_sent_and_not_shown(fetch: Fetch, server: FileServer, uri: str) -> None:
    with_user = uri.replace("http://", "http://me:hush@")
    assert "hush" not in open_source(ModelSettings(name="als", source=with_user), Settings()).uri
    await fetch(with_user)
    assert server.requests[0].headers["Authorization"].startswith("Basic ")


async def test_untrusted_certificate(fetch: Fetch, tmp_path: Path) -> None:
    import ssl

    import trustme

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with FileServer({PATH: Served(FIRST)}, tls=context) as server:
        with pytest.raises(SourceUnavailable, match="certificate"):
            await fetch(f"{server.url}{PATH}")


async def test_a_bundle_that_is_missing_is_named(fetch: Fetch, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    with pytest.raises(SourceUnavailable, match=r"/nonexistent/ca\.pem"):
        await fetch(uri)


async def test_name_that_does_not_resolve(fetch: Fetch) -> None:
    with pytest.raises(SourceUnavailable):
        await fetch("http://nowhere.invalid/als.pkl")


async def test_known_of_another_kind_is_ignored(fetch: Fetch, uri: str) -> None:
    assert await fetch(uri, known=Revision("file:1:2:3:4:5")) is not None
