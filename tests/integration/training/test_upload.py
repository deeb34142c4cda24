"""What is published is copied to S3, and a server elsewhere answers from it; where that fails, it is published here all the same.

Covers: `training.versions.upload` against a server that checks signatures, and what of it is in a run's record.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

import training.versions.upload
from config.schema import GIB, MIB, DataSettings, ModelSettings, S3Settings, Settings, StoreSettings, TrainingSettings
from loaders.errors import AccessDenied
from loaders.published import MODEL_FILE, PublishedFolder, PublishedVersion
from service.app import build_app
from tests.doubles.s3_server import S3Service, s3_service
from tests.integration.training.drawing import planted_data, write_sqlite
from tests.support import wait_until
from tests.unit.models.building import factors_bundle
from tests.unit.training.published import published
from training.running.runner import Runner
from training.running.runs import Run, RunCause, RunStatus
from training.versions import publish
from training.versions.upload import upload

USERS = ("u1", "u2", "u3")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[S3Service]:
    async with s3_service() as running:
        yield running


def s3(service: S3Service) -> S3Settings:
    return S3Settings(service.endpoint, service.region, service.access_key_id, service.secret_access_key)


def objects(service: S3Service, prefix: str) -> dict[str, bytes]:
    """Key below the prefix -> content, as boto3 reads them."""
    client = service._client()
    listed = client.list_objects_v2(Bucket=service.bucket, Prefix=f"{prefix}/").get("Contents", [])
    keys = [each["Key"] for each in listed]
    return {key.removeprefix(f"{prefix}/"): client.get_object(Bucket=service.bucket, Key=key)["Body"].read() for key in keys}


def training_settings(folder: Path, service: S3Service, publish_to: str) -> Settings:
    write_sqlite(folder / "data.db", planted_data())
    parameters = {"factors": 8, "regularization": 30.0, "sweeps": 2}
    als = TrainingSettings(name="als", algorithm="als", parameters=parameters, memory_bytes=GIB, timeout_s=120.0, publish_to=publish_to)
    data = DataSettings(url=f"sqlite:///{folder / 'data.db'}", attempts=1)
    return Settings(store=StoreSettings(path=folder / "store"), data=data, training={"als": als}, s3=s3(service))


async def trained(runner: Runner, **asked: Any) -> Run:
    run = await runner.start("als", cause=RunCause.COMMAND, force=True, **asked)
    return await runner.wait(run.id, 120)


async def answers(client: TestClient[Any, Any]) -> tuple[str, list[Any]]:
    """The version that answers, and what it answers some users."""
    told = []
    for user in USERS:
        async with client.post("/models/als/predict", json={"user_id": user, "k": 5}) as response:
            told.append(await response.json())
    return told[0].get("version", ""), [each.get("items") for each in told]


async def test_a_server_elsewhere_takes_each_version_and_answers_the_same(tmp_path: Path, service: S3Service) -> None:
    prefix = "elsewhere/als"
    target = f"s3://{service.bucket}/{prefix}"
    told: list[Run] = []
    here = training_settings(tmp_path, service, f"{target}/")
    here = replace(here, models={"als": ModelSettings(name="als", source="training:als", watch=True)})
    there = Settings(
        store=StoreSettings(path=tmp_path / "there"),
        models={"als": ModelSettings(name="als", source=f"{target}/{MODEL_FILE}", poll_s=0.1)},
        s3=s3(service),
    )
    runner = Runner(here, on_change=told.append)
    await runner.open()
    first = await trained(runner)
    assert (first.status, first.reason) == (RunStatus.PUBLISHED, None)
    assert any(run.step == f"copying to {target}/" and run.progress == 1.0 for run in told)
    kept = PublishedFolder(here.store.path, "als")
    content = kept.model_of(first.id).read_bytes()
    found = await asyncio.to_thread(objects, service, prefix)
    assert sorted(found) == [f"{first.id}/model.safetensors", f"{first.id}/version.json", "current.json", "model.safetensors"]
    assert found["model.safetensors"] == found[f"{first.id}/model.safetensors"] == content
    assert found[f"{first.id}/version.json"] == (kept.folder_of(first.id) / "version.json").read_bytes()
    assert json.loads(found["current.json"])["version"] == first.id
    # Without the data, or what users did since the training would count in the answers here, and not there.
    async with (
        TestClient(TestServer(build_app(replace(here, data=DataSettings()), environ={}))) as near,
        TestClient(TestServer(build_app(there, environ={}))) as far,
    ):

        async def alike(not_from: str) -> str | None:
            """The version there, once it is another one and answers as the one here does."""
            version, items = await answers(far)
            return version if version not in ("", not_from) and items == (await answers(near))[1] and all(items) else None

        before = await wait_until(lambda: alike(""), 30)
        parameters = {**here.training["als"].parameters, "factors": 5}
        await runner.aclose()
        runner = Runner(replace(here, training={"als": replace(here.training["als"], parameters=parameters)}))
        await runner.open()
        assert (await trained(runner)).reason is None
        after = await wait_until(lambda: alike(before), 30)
        assert after != before
    await runner.aclose()


async def test_a_bucket_that_refuses_undoes_nothing(tmp_path: Path, service: S3Service, caplog: pytest.LogCaptureFixture) -> None:
    settings = training_settings(tmp_path, service, "s3://nobody-has-this/als")
    runner = Runner(settings)
    await runner.open()
    run = await trained(runner)
    assert run.status is RunStatus.PUBLISHED
    assert run.reason is not None and run.reason.startswith("published here, but not to s3://nobody-has-this/als: ")
    assert "no such bucket" in run.reason
    assert PublishedFolder(settings.store.path, "als").current() == run.id
    assert [record.message.partition(":")[0] for record in caplog.records if record.levelname == "WARNING"] == [
        "a published version is not copied"
    ]
    await runner.aclose()


async def test_a_pinned_version_stays_current_there_too(tmp_path: Path, service: S3Service) -> None:
    one, two = published(tmp_path, 1), published(tmp_path, 2)
    target = f"s3://{service.bucket}/pinned"
    folder = PublishedFolder(tmp_path, "als")
    await upload(folder.folder_of(one.version), one, target, s3(service), is_current=True)
    await upload(folder.folder_of(two.version), two, target, s3(service), is_current=False)
    found = await asyncio.to_thread(objects, service, "pinned")
    assert found["model.safetensors"] == found[f"{one.version}/model.safetensors"] != found[f"{two.version}/model.safetensors"]
    assert json.loads(found["current.json"])["version"] == one.version


async def test_a_version_too_large_for_a_copy_is_sent_twice_in_parts(
    tmp_path: Path, service: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.versions.upload, "_LARGEST_COPY_BYTES", 0)
    monkeypatch.setattr(training.versions.upload, "_PART_BYTES", 5 * MIB)  # the least that S3 takes
    rng = np.random.default_rng(0)
    seen = rng.random((4, 200_000)) < 0.001
    large = factors_bundle(rng.random((4, 16)).astype("f4"), rng.random((200_000, 16)).astype("f4"), seen)
    record = published(tmp_path, 1, bundle=large)
    assert record.bytes > 2 * 5 * MIB
    shares: list[float] = []
    folder = PublishedFolder(tmp_path, "als").folder_of(record.version)
    await upload(folder, record, f"s3://{service.bucket}/large", s3(service), is_current=True, on_copied=shares.append)
    found = await asyncio.to_thread(objects, service, "large")
    assert found["model.safetensors"] == (folder / MODEL_FILE).read_bytes()
    once = shares[: len(shares) // 2]
    assert len(once) > 2 and once == sorted(once) and shares == once + once and once[-1] == 1.0


async def test_wrong_keys_are_told(tmp_path: Path, service: S3Service) -> None:
    record = published(tmp_path, 1)
    wrong = replace(s3(service), secret_access_key="wrong")
    with pytest.raises(AccessDenied):
        await upload(tmp_path / "als" / record.version, record, f"s3://{service.bucket}/x", wrong, is_current=True)


async def test_a_process_that_stops_gives_the_copy_up_and_keeps_what_is_published(
    tmp_path: Path, service: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def stalls(*_: Any, **__: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("training.running.carrying.upload", stalls)
    settings = training_settings(tmp_path, service, f"s3://{service.bucket}/stalled")
    runner = Runner(settings)
    await runner.open()
    run = await runner.start("als", cause=RunCause.COMMAND)
    await asyncio.wait_for(begun.wait(), 120)
    await runner.aclose()
    after = Runner(settings)
    await after.open()
    (kept,) = await after.runs()
    assert (kept.status, kept.version) == (RunStatus.PUBLISHED, run.id)
    assert kept.reason is not None and kept.reason.endswith("it was cancelled")
    await after.aclose()


async def test_a_process_that_stops_while_it_publishes_begins_no_copy(
    tmp_path: Path, service: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishes, goes_on, copied = threading.Event(), threading.Event(), []

    def slowly(*given: Any, **named: Any) -> PublishedVersion:
        publishes.set()
        assert goes_on.wait(60)
        return publish.publish(*given, **named)

    async def copies(*given: Any, **_: Any) -> None:
        copied.append(given)

    monkeypatch.setattr("training.running.carrying.publish", SimpleNamespace(publish=slowly, clean=publish.clean))
    monkeypatch.setattr("training.running.carrying.upload", copies)
    runner = Runner(training_settings(tmp_path, service, f"s3://{service.bucket}/late"))
    await runner.open()
    run = await runner.start("als", cause=RunCause.COMMAND)
    await asyncio.to_thread(publishes.wait, 120)
    stopping = asyncio.create_task(runner.aclose())
    await asyncio.sleep(0)
    goes_on.set()
    await stopping
    assert copied == []
    assert PublishedFolder(tmp_path / "store", "als").current() == run.id
