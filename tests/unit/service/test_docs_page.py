"""GET /docs as a browser gets it. Does not cover: what is on the page (`reference/test_html_page`)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from service.routes import ROUTES
from service.routes.description import LONGEST_FILTER
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeRegistry, live

Client = TestClient[Any, Any]
FILE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')


@pytest.fixture
async def client(client_of: ClientOf) -> Client:
    return await client_of(FakeRegistry(live()))


async def test_the_page_has_every_route_and_files_that_are_there(client: Client) -> None:
    async with client.get("/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        text = await response.text()
    assert f"{len(ROUTES)} of {len(ROUTES)} routes" in text
    assert all(f'id="{route.operation_id}"' in text for route in ROUTES)
    files = FILE.findall(text)
    assert len(files) == 2
    for file in files:
        async with client.get(f"/{file}") as response:
            assert (response.status, response.content_type) == (200, "text/css")


async def test_it_may_load_nothing_but_its_own_style_sheets(client: Client) -> None:
    async with client.get("/docs") as response:
        policy = response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in policy and "script-src" not in policy


async def test_a_filter_needs_no_script(client: Client) -> None:
    async with client.get("/docs", params={"q": "similar items"}) as response:
        text = await response.text()
    assert f"1 of {len(ROUTES)} routes" in text
    assert 'value="similar items"' in text


async def test_a_filter_beyond_its_bound_is_refused_by_name(client: Client) -> None:
    async with client.get("/docs", params={"q": "a" * (LONGEST_FILTER + 1)}) as response:
        assert response.status == 422
        assert (await response.json(content_type=None))["field"] == "q"


@pytest.mark.parametrize(
    ("host", "called"),
    [
        ("models.example:8443", "http://models.example:8443/"),
        ("[::1]:80", "http://[::1]:80/"),
        ("a'$(id)", "http://127.0.0.1/"),
        ('x"><b>', "http://127.0.0.1/"),
    ],
)
async def test_curl_lines_call_who_was_asked(client: Client, host: str, called: str) -> None:
    async with client.get("/docs", headers={"Host": host}) as response:
        text = await response.text()
    assert f"curl {called}health</code>" in text.replace("'", "")
    assert "$(id)" not in text and "<b>" not in text
