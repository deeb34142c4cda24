"""The real application over a fake registry: a client of it, or the whole `serve`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

import service.server
from service.app import build_app
from service.server import serve
from tests.support import wait_until
from tests.unit.service.fakes import FakeRegistry, settings_for

ClientOf = Callable[..., Awaitable[TestClient[Any, Any]]]
Running = Callable[..., Any]


@pytest.fixture
async def client_of(tmp_path: Path) -> AsyncIterator[ClientOf]:
    """`await client_of(registry, **server_settings)`; `environ=` is what the application reads of the environment."""
    async with AsyncExitStack() as stack:

        async def start(registry: FakeRegistry, *, environ: dict[str, str] | None = None, **server: Any) -> TestClient[Any, Any]:
            app = build_app(settings_for(registry, tmp_path, **server), supervisor=registry, environ=environ or {})
            return await stack.enter_async_context(TestClient(TestServer(app)))

        yield start


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """`async with running(registry, **server_settings) as (url, app, task)`: the real `serve` over a fake registry."""

    @asynccontextmanager
    async def start(
        registry: FakeRegistry, environ: dict[str, str] | None = None, **server: Any
    ) -> AsyncIterator[tuple[str, Any, Awaitable[None]]]:
        settings = settings_for(registry, tmp_path, **server)
        app = build_app(settings, supervisor=registry, environ=environ or {})
        monkeypatch.setattr(service.server, "build_app", lambda settings, environ: app)
        urls: list[str] = []
        task = asyncio.create_task(serve(settings, environ=environ or {}, on_listening=urls.append))
        await wait_until(lambda: urls or task.done())
        yield urls[0], app, task
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 20)

    return start
