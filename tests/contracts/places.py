"""One stage for each source of the scheme table: an artifact that a test can write, change, deny and harm on its way.

Covers: how each scheme's outside world is moved. Does not cover: what must then happen (`test_sources`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import trustme

from config.schema import ModelSettings, S3Settings, Settings, StoreSettings
from loaders.published import MODEL_FILE, PublishedFolder, PublishedVersion
from loaders.sources import Source, open_source
from tests.doubles.drive import DriveDouble, DriveFile, environment_of
from tests.doubles.faults import FaultProxy
from tests.doubles.files import FileServer, Served
from tests.doubles.s3_server import S3Service
from training.versions.publish import publish, stage_folder, write_record

PATH = "/models/als.pkl"
DRIVE_ID = "1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUv"


class Place:
    """Where the artifact is. `faults` is None where no network lies between."""

    faults: FaultProxy | None = None
    source: Source

    async def put(self, content: bytes) -> None:
        """The artifact is `content` from now on."""
        raise NotImplementedError

    async def remove(self) -> None:
        """There is no artifact any more."""
        raise NotImplementedError

    async def deny(self) -> None:
        """The artifact is there and may not be read, until the test ends."""
        raise NotImplementedError

    def resumed_at(self) -> int:
        """Where the last request that asked for a later part began; 0 if none did."""
        raise NotImplementedError


def source_at(uri: str, settings: Settings | None = None) -> Source:
    """The source of an address, opened as the program does."""
    return open_source(ModelSettings(name="als", source=uri), settings or Settings())


class FilePlace(Place):
    """A folder that nobody else may enter once access is denied: root is not refused by modes, so it becomes somebody else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = source_at(str(path))

    async def put(self, content: bytes) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(self.path)

    async def remove(self) -> None:
        self.path.unlink()

    async def deny(self) -> None:
        self.path.parent.chmod(0o000)
        if os.geteuid() == 0:
            os.seteuid(65534)

    def allow(self) -> None:
        os.seteuid(os.getuid())
        self.path.parent.chmod(0o700)


class TrainingPlace(Place):
    """What a training publishes: each content is another version, which never changes."""

    def __init__(self, store: Path) -> None:
        self.folder = PublishedFolder(store, "als")
        self.source = source_at("training:als", Settings(store=StoreSettings(path=store)))
        self._count = 0

    async def put(self, content: bytes) -> None:
        self._count += 1
        version = f"20260101T000000-{self._count:06x}"
        staging = stage_folder(self.folder.path.parent, "als", version)
        (staging / MODEL_FILE).touch(0o600)
        (staging / MODEL_FILE).write_bytes(content)
        unmeasured = {"algorithm": "als", "family": "factors", "code_version": "", "split": "time"}
        unmeasured["sha256"] = hashlib.sha256(content).hexdigest()
        times = {"trained_at": 0.0, "published_at": 0.0, "seconds": 0.0, "cut_at": None}
        write_record(staging, PublishedVersion(version, "als", bytes=len(content), peak_bytes=None, **unmeasured, **times))  # type: ignore[arg-type]
        publish(self.folder.path.parent, "als", staging, 1)

    async def remove(self) -> None:
        shutil.rmtree(self.folder.path)

    async def deny(self) -> None:
        self.folder.path.chmod(0o000)
        if os.geteuid() == 0:
            os.seteuid(65534)

    def allow(self) -> None:
        os.seteuid(os.getuid())
        if self.folder.path.exists():
            self.folder.path.chmod(0o700)


class WebPlace(Place):
    """A file server behind a proxy."""

    def __init__(self, server: FileServer, faults: FaultProxy, scheme: str) -> None:
        self.server, self.faults = server, faults
        self.source = source_at(f"{scheme}://127.0.0.1:{faults.address[1]}{PATH}?token=secret")

    async def put(self, content: bytes) -> None:
        self.server.files[PATH] = Served(content)

    async def remove(self) -> None:
        del self.server.files[PATH]

    async def deny(self) -> None:
        self.server.change(PATH, status=403)

    def resumed_at(self) -> int:
        return _first_byte(request.headers.get("Range", "") for request in self.server.requests)


class S3Place(Place):
    """An object behind a proxy."""

    def __init__(self, service: S3Service, faults: FaultProxy) -> None:
        self.service, self.faults = service, faults
        self.key = f"{uuid4().hex}/als.pkl"
        self.source = self._source(service.secret_access_key)

    def _source(self, secret: str) -> Source:
        assert self.faults is not None
        s3 = S3Settings(self.faults.url, self.service.region, self.service.access_key_id, secret)
        return source_at(f"s3://{self.service.bucket}/{self.key}", Settings(s3=s3))

    async def put(self, content: bytes) -> None:
        await self.service.put(self.key, content)

    async def remove(self) -> None:
        await self.service.delete(self.key)

    async def deny(self) -> None:
        self.source = self._source("not the secret")

    def resumed_at(self) -> int:
        assert self.faults is not None
        return _first_byte(re.findall(r"bytes=\d+-\d*", self.faults.heard.decode("latin-1")))


class DrivePlace(Place):
    """A shared file that needs the confirmation form, behind a proxy in front of the double's own."""

    def __init__(self, drive: DriveDouble, faults: FaultProxy) -> None:
        self.drive, self.faults = drive, faults
        self.source = source_at(f"https://drive.google.com/file/d/{DRIVE_ID}/view?usp=sharing")

    async def put(self, content: bytes) -> None:
        self.drive.files[DRIVE_ID] = DriveFile(content)

    async def remove(self) -> None:
        self.drive.change(DRIVE_ID, kind="missing")

    async def deny(self) -> None:
        self.drive.change(DRIVE_ID, kind="permission")

    def resumed_at(self) -> int:
        return _first_byte(request.headers.get("Range", "") for request in self.drive.requests)


def _first_byte(ranges: Iterable[str]) -> int:
    found = [int(match[1]) for text in ranges if (match := re.match(r"bytes=(\d+)-", text))]
    return next((first for first in reversed(found) if first), 0)


@asynccontextmanager
async def file_place(folder: Path, service: S3Service, environment: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    inner = folder / "theirs"
    inner.mkdir()
    place = FilePlace(inner / "als.pkl")
    try:
        yield place
    finally:
        place.allow()


@asynccontextmanager
async def training_place(folder: Path, service: S3Service, environment: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    place = TrainingPlace(folder / "published")
    try:
        yield place
    finally:
        place.allow()


@asynccontextmanager
async def http_place(folder: Path, service: S3Service, environment: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with FileServer() as server, FaultProxy(server.address) as faults:
        yield WebPlace(server, faults, "http")


@asynccontextmanager
async def https_place(folder: Path, service: S3Service, environment: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    environment.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with FileServer(tls=context) as server, FaultProxy(server.address) as faults:
        yield WebPlace(server, faults, "https")


@asynccontextmanager
async def s3_place(folder: Path, service: S3Service, environment: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with FaultProxy(service.address) as faults:
        yield S3Place(service, faults)


@asynccontextmanager
async def gdrive_place(folder: Path, service: S3Service, environment: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with DriveDouble() as drive, FaultProxy(drive.address) as faults:
        for name, value in environment_of(faults.address[1], drive.ca_bundle).items():
            environment.setenv(name, value)
        yield DrivePlace(drive, faults)


PLACES: dict[str, Callable[[Path, S3Service, pytest.MonkeyPatch], AbstractAsyncContextManager[Place]]] = {
    "file": file_place,
    "http": http_place,
    "https": https_place,
    "s3": s3_place,
    "gdrive": gdrive_place,
    "training": training_place,
}
"""One for each scheme of `loaders.sources.SOURCES`; `test_sources` fails while one is missing."""
