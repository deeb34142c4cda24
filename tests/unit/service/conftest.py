"""A client of the real application over a fake registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from service.app import build_app
from tests.unit.service.fakes import FakeRegistry, settings_for

ClientOf = Callable[..., Awaitable[TestClient[Any, Any]]]


@pytest.fixture
async def client_of(tmp_path: Path) -> AsyncIterator[ClientOf]:
    """`await client_of(registry, **server_settings)`; `environ=` is what the application reads of the environment."""
    async with AsyncExitStack() as stack:

        async def start(registry: FakeRegistry, *, environ: dict[str, str] | None = None, **server: Any) -> TestClient[Any, Any]:
            app = build_app(settings_for(registry, tmp_path, **server), supervisor=registry, environ=environ or {})
            return await stack.enter_async_context(TestClient(TestServer(app)))

        yield start
