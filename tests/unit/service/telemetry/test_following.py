"""What runs beside the requests follows the real registry: events come by themselves, and versions that are gone are forgotten."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.schema import ServerSettings, Settings, StoreSettings
from service import background
from service.app import build_app
from service.keys import CALLS, EVENTS
from service.telemetry.calls import Outcome
from tests.support import wait_until
from tests.unit.lifecycle.fakes import Bench, settle


@asynccontextmanager
async def following(bench: Bench, folder: Path) -> AsyncIterator[web.Application]:
    """The application of this supervisor, of which only what follows the models runs."""
    settings = Settings(server=ServerSettings(), store=StoreSettings(path=folder), models={})
    app = build_app(settings, supervisor=bench.supervisor, environ={})
    context = background.telemetry(app)
    await anext(context)
    try:
        yield app
    finally:
        assert [each async for each in context] == []


def told(app: web.Application) -> list[str]:
    """The events of the stories, in order."""
    data = [json.loads(event.message.split(b"data: ")[1]) for event in app[EVENTS].after(0) or ()]
    return [each["event"] for each in data if "event" in each]


async def test_what_happens_is_told_by_itself_and_what_happened_before_too(tmp_path: Path) -> None:
    async with Bench() as bench, following(bench, tmp_path) as app:
        await wait_until(lambda: told(app) == ["start", "fetch_began"])
        await bench.serve()
        await wait_until(lambda: told(app)[-1:] == ["published"])
        assert told(app) == [line.event for line in bench.entry().story]


async def test_a_defect_in_following_is_logged_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "RESTART_PAUSE_S", 0.01)
    async with Bench() as bench, following(bench, tmp_path) as app:
        await wait_until(lambda: told(app))
        take = app[EVENTS].take

        def fails_once(view: Any) -> None:
            monkeypatch.setattr(app[EVENTS], "take", take)
            raise RuntimeError("a defect")

        monkeypatch.setattr(app[EVENTS], "take", fails_once)
        await bench.serve()
        await wait_until(lambda: told(app)[-1:] == ["published"])
        assert told(app) == [line.event for line in bench.entry().story]
    assert [record.levelno for record in caplog.records if "events failed" in record.message] == [logging.ERROR]


async def test_statistics_of_versions_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    async with Bench() as bench, following(bench, tmp_path) as app:
        for version in ("v1", "v2"):
            await bench.serve(version, f"r{version}")
            call = app[CALLS].begin("als")
            call.version = version
            app[CALLS].end(call, Outcome.OK)
            bench.registry.reload("als", force=True)
        await settle()
        await wait_until(lambda: set(app[CALLS].statistics("als")) == {"v2"})
        assert app[CALLS].totals("als")[Outcome.OK] == 2


async def test_the_end_of_the_registry_is_no_defect(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    async with following(bench, tmp_path):
        async with bench:
            await bench.serve()
        await settle()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
