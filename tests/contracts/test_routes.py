"""What every line of the route table keeps to. A route that is added to the table is tested by that alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from service.app import build_app
from service.routes import ROUTES, Route
from tests.unit.service.fakes import FakeRegistry, live, settings_for

TOKEN = "contract-token"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ADMIN = [route for route in ROUTES if route.admin]
PATHS = sorted({route.path for route in ROUTES})


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def concrete(path: str, model: str = "als") -> str:
    return path.replace("{model}", model).replace("{item_id}", "101")


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry(live())


@pytest.fixture(params=[TOKEN])
async def client(request: pytest.FixtureRequest, registry: FakeRegistry, tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    app = build_app(settings_for(registry, tmp_path, token=request.param), supervisor=registry, environ={})
    async with TestClient(TestServer(app)) as client:
        yield client


async def assert_problem(response: Any, status: int | None = None) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = await response.json(content_type=None)
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == response.status
    assert status is None or response.status == status
    return body


def test_the_table_says_everything_once() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    assert all(route.summary and not route.summary.endswith(".") for route in ROUTES)
    assert all(route.admin for route in ROUTES if route.method not in ("GET", "POST"))
    assert not any(route.admin for route in ROUTES if route.method == "GET")


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=name_of)
async def test_a_get_is_open_answers_json_and_head(client: TestClient[Any, Any], route: Route) -> None:
    async with client.get(concrete(route.path)) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
    async with client.head(concrete(route.path)) as response:
        assert response.status == 200


@pytest.mark.parametrize("route", ADMIN, ids=name_of)
@pytest.mark.parametrize("client", [""], indirect=True)
async def test_an_admin_route_is_403_without_a_configured_token(client: TestClient[Any, Any], registry: FakeRegistry, route: Route) -> None:
    async with client.request(route.method, concrete(route.path), headers={"X-ADMIN-TOKEN": ""}) as response:
        await assert_problem(response, 403)
    assert not registry.commands


@pytest.mark.parametrize("route", ADMIN, ids=name_of)
async def test_an_admin_route_is_401_with_a_wrong_token(client: TestClient[Any, Any], registry: FakeRegistry, route: Route) -> None:
    for headers in ({}, {"X-ADMIN-TOKEN": "wrong"}, {"Authorization": "Bearer wrong"}):
        async with client.request(route.method, concrete(route.path), headers=headers) as response:
            await assert_problem(response, 401)
            assert "WWW-Authenticate" in response.headers
    assert not registry.commands


@pytest.mark.parametrize("route", ADMIN, ids=name_of)
async def test_an_admin_route_answers_to_the_token(client: TestClient[Any, Any], registry: FakeRegistry, route: Route) -> None:
    async with client.request(route.method, concrete(route.path), headers={"X-ADMIN-TOKEN": TOKEN}) as response:
        assert response.status == 202
    assert len(registry.commands) == 1


@pytest.mark.parametrize("route", [route for route in ROUTES if "{model}" in route.path], ids=name_of)
async def test_an_unknown_model_is_404_and_named(client: TestClient[Any, Any], route: Route) -> None:
    path = concrete(route.path, "nobody")
    async with client.request(route.method, path, headers={"X-ADMIN-TOKEN": TOKEN}, json={"user_id": 1}) as response:
        assert (await assert_problem(response, 404))["model"] == "nobody"


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_method_is_405_and_names_the_right_ones(client: TestClient[Any, Any], path: str) -> None:
    # /models/status is also a model's page to the router, so what is allowed is asked of the server.
    async with client.request("OPTIONS", concrete(path)) as response:
        await assert_problem(response, 405)
        allowed = set(response.headers["Allow"].split(","))
    assert {route.method for route in ROUTES if route.path == path} <= allowed
    for method in set(METHODS) - allowed:
        async with client.request(method, concrete(path)) as response:
            await assert_problem(response, 405)


@pytest.mark.parametrize("path", ["/nowhere", "/models/als/nowhere", "/health/", "/models//status", "/%00", "/models/a%2Fb"])
async def test_an_unknown_path_is_a_404_problem(client: TestClient[Any, Any], path: str) -> None:
    async with client.get(path) as response:
        await assert_problem(response, 404)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.path != "/" and route.path != "/health/live"], ids=name_of)
async def test_a_defect_is_an_opaque_500(client: TestClient[Any, Any], registry: FakeRegistry, route: Route) -> None:
    registry.failing = RuntimeError("secret detail")
    body = {"user_id": 1, "model": "als"} if route.path == "/predict" else {"user_id": 1}
    async with client.request(route.method, concrete(route.path), headers={"X-ADMIN-TOKEN": TOKEN}, json=body) as response:
        problem = await assert_problem(response, 500)
    assert problem["incident"]
    assert "secret" not in str(problem)
