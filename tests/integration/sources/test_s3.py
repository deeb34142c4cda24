"""What is special to S3: where credentials and endpoint come from, what its errors mean, leaving a process.

Covers: `loaders.sources.s3` against a server that checks signatures. Does not cover: what every source keeps to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from config.schema import S3Settings
from loaders.errors import AccessDenied, SourceNotFound, SourceUnavailable
from tests.doubles.faults import FaultProxy
from tests.doubles.s3_server import S3Service, s3_service
from tests.integration.sources.conftest import Fetch
from tests.support import run_python

CONTENT = b"\x80\x04" + bytes(100_000)
KEY = "some folder/als+1.pkl"

FETCH_AND_LEAVE = """
import asyncio, sys
from pathlib import Path
from config.schema import ModelSettings, S3Settings, Settings
from loaders.sources import Limits, open_source
source = open_source(ModelSettings("als", sys.argv[1]), Settings(s3=S3Settings(*sys.argv[3:])))
limits = Limits(1 << 30, 10.0, 60.0)
asyncio.run(source.fetch(Path(sys.argv[2]), limits=limits, on_progress=lambda done, total: None))
asyncio.run(source.probe())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[S3Service]:
    async with s3_service() as running:
        await running.put(KEY, CONTENT)
        yield running


@pytest.fixture
def uri(service: S3Service) -> str:
    return f"s3://{service.bucket}/{KEY}"


def settings(service: S3Service) -> S3Settings:
    return S3Settings(service.endpoint, service.region, service.access_key_id, service.secret_access_key)


async def test_from_the_environment(fetch: Fetch, service: S3Service, uri: str, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    assert await fetch(uri) is not None
    assert into.read_bytes() == CONTENT


async def test_from_the_settings(fetch: Fetch, service: S3Service, uri: str) -> None:
    assert await fetch(uri, s3=settings(service)) is not None


async def test_configured_keys_leave_the_token_of_others_alone(
    fetch: Fetch, service: S3Service, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the other key")
    async with FaultProxy(service.address) as proxy:
        s3 = S3Settings(proxy.url, service.region, service.access_key_id, service.secret_access_key)
        assert await fetch(uri, s3=s3) is not None
        assert b"x-amz-security-token" not in bytes(proxy.heard).lower()


async def test_unknown_key_is_denied(fetch: Fetch, service: S3Service, uri: str) -> None:
    with pytest.raises(AccessDenied):
        await fetch(uri, s3=S3Settings(service.endpoint, service.region, "AKIANOBODY", "nothing"))


async def test_no_such_bucket(fetch: Fetch, service: S3Service) -> None:
    with pytest.raises(SourceNotFound, match="bucket"):
        await fetch("s3://elsewhere/als.pkl", s3=settings(service))


async def test_nobody_listens(fetch: Fetch, service: S3Service, uri: str) -> None:
    async with FaultProxy(("127.0.0.1", 1)) as nobody:
        nobody.plan.refuses = True
        with pytest.raises(SourceUnavailable):
            await fetch(uri, s3=S3Settings(nobody.url, "us-east-1", "key", "secret"))


def test_a_process_that_fetches_and_leaves_does_not_abort(service: S3Service, uri: str, tmp_path: Path) -> None:
    keys = (service.endpoint, service.region, service.access_key_id, service.secret_access_key)
    codes = [run_python(FETCH_AND_LEAVE, uri, str(tmp_path / "als.part"), *keys).returncode for _ in range(5)]
    assert codes == [0] * 5
