"""What every line of the route table keeps to. A route that is added to the table is tested by that alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from service.app import build_app
from service.lifecycle.view import ModelView
from service.routes import ROUTES, Route
from service.routes.implied import PATH_VARIABLES
from tests.contracts.described import check, name_of, url_of
from tests.unit.service.a_run import a_published_run
from tests.unit.service.fakes import FakeEstimator, FakeRegistry, failed, live, loading, settings_for
from training.running.journal import NAME, Journal

TOKEN = "contract-token"
ADMIN_TOKEN = {"X-ADMIN-TOKEN": TOKEN}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ADMIN = [route for route in ROUTES if route.admin]
STREAM = "text/event-stream"
Client = TestClient[Any, Any]

A_RUN = a_published_run(PATH_VARIABLES["id"].example)
"""One that was, so that there is something to be told of runs."""


class Hurried(FakeRegistry):
    """Whoever waits for it waits a moment only: the declared examples ask for many seconds, and what loads here never ends."""

    async def wait_settled(self, name: str, timeout_s: float) -> ModelView:
        assert timeout_s > 0
        return await super().wait_settled(name, 0.01)


STATES: dict[str, Callable[[], FakeRegistry]] = {
    "recommender": lambda: Hurried(live()),
    "estimator": lambda: Hurried(live(), scorer=FakeEstimator(classes=["no", "yes"])),
    "loading": lambda: Hurried(loading()),
    "failed": lambda: Hurried(failed(next_attempt_at=None)),
    "nothing": Hurried,
}
"""What is served while every route is asked."""


@pytest.fixture(params=["recommender"])
def registry(request: pytest.FixtureRequest) -> FakeRegistry:
    found = STATES[request.param]()
    # Those of /v2 are answered when they are done.
    found.after |= {"load": lambda _: live(), "unload": lambda entry: replace(entry, live=None, attempt=None, unloaded=True)}
    return found


@pytest.fixture(params=[TOKEN])
async def client(request: pytest.FixtureRequest, registry: FakeRegistry, tmp_path: Path) -> AsyncIterator[Client]:
    journal = Journal(tmp_path / NAME)
    journal.open()
    journal.add(A_RUN)
    journal.close()
    app = build_app(settings_for(registry, tmp_path, token=request.param), supervisor=registry, environ={})
    async with TestClient(TestServer(app)) as client:
        yield client


async def ask(client: Client, route: Route, url: str = "", *, headers: Any = ADMIN_TOKEN, **rest: Any) -> tuple[int, Any, Any]:
    """Status, headers and JSON of the answer (None where it has none), which is one that the route declares."""
    async with asyncio.timeout(30), client.request(route.method, url or url_of(route), headers=headers, **rest) as response:
        content = None if response.content_type == STREAM else await response.read()
        check(route, response.status, response.headers, content)
        is_json = content is not None and response.content_type.endswith("json")
        return response.status, response.headers, await response.json(content_type=None) if is_json else None


def body_of(route: Route) -> dict[str, Any]:
    """The first example of its body, as arguments of a request."""
    return {} if route.body is None else {"json": next(iter(route.body.examples.values()))}


async def assert_error(response: Any, status: int, dialect: str = "native") -> dict[str, Any]:
    assert response.status == status
    body: dict[str, Any] = await response.json(content_type=None)
    if dialect == "v2":
        assert response.content_type == "application/json"
        assert list(body) == ["error"] and isinstance(body["error"], str)
        return body
    assert response.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == response.status
    return body


def test_the_table_says_everything_once() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    assert all(route.admin for route in ROUTES if route.method not in ("GET", "POST"))


@pytest.mark.parametrize("registry", STATES, indirect=True)
@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=name_of)
async def test_a_get_answers_what_it_declares_and_head(client: Client, route: Route) -> None:
    status, headers, _ = await ask(client, route)
    assert "Cache-Control" in headers
    async with asyncio.timeout(30), client.head(url_of(route), headers=ADMIN_TOKEN) as response:
        assert response.status == status
        assert not await response.read()


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET" and not route.admin], ids=name_of)
async def test_a_get_is_open_and_good_where_a_recommender_serves(client: Client, route: Route) -> None:
    status, _, _ = await ask(client, route, headers={})
    assert status == 200 or 200 not in route.answers


@pytest.mark.parametrize("registry", STATES, indirect=True)
@pytest.mark.parametrize("route", [route for route in ROUTES if route.body is not None], ids=name_of)
async def test_every_example_of_a_body_gets_an_answer_that_is_declared(client: Client, route: Route) -> None:
    assert route.body is not None
    for example in route.body.examples.values():
        status, _, _ = await ask(client, route, json=example)
        # /v2 tells the wrong kind of model by 400, too.
        assert status != 415 and (status != 400 or route.dialect == "v2"), example


@pytest.mark.parametrize("route", [route for route in ROUTES if route.body is not None], ids=name_of)
@pytest.mark.parametrize("content", ["{", "", "[]", "null", '{"nobody": 1}', '{"\\ud800": 1}', "\x00", "[" * 100_000], ids=str.__len__)
async def test_a_wrong_body_gets_an_answer_that_is_declared(client: Client, route: Route, content: str) -> None:
    status, _, _ = await ask(client, route, data=content.encode(), headers={**ADMIN_TOKEN, "Content-Type": "application/json"})
    assert 400 <= status < 500 or status == 501 or (route.body is not None and not route.body.required and not content)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.queried], ids=name_of)
async def test_a_parameter_that_it_does_not_take_is_refused_by_name(client: Client, registry: FakeRegistry, route: Route) -> None:
    url = url_of(route)
    status, _, body = await ask(client, route, f"{url}{'&' if '?' in url else '?'}nobody=1", **body_of(route))
    assert status in (400, 422)
    assert "nobody" in str(body)
    assert not registry.commands


@pytest.mark.parametrize("route", ADMIN, ids=name_of)
@pytest.mark.parametrize("client", [""], indirect=True)
async def test_an_admin_route_is_403_without_a_configured_token(client: Client, registry: FakeRegistry, route: Route) -> None:
    status, _, _ = await ask(client, route, headers={"X-ADMIN-TOKEN": ""})
    assert status == 403
    assert not registry.commands


@pytest.mark.parametrize("route", ADMIN, ids=name_of)
async def test_an_admin_route_is_401_with_a_wrong_token(client: Client, registry: FakeRegistry, route: Route) -> None:
    for headers in ({}, {"X-ADMIN-TOKEN": "wrong"}, {"Authorization": "Bearer wrong"}):
        status, _, _ = await ask(client, route, headers=headers)
        assert status == 401
    assert not registry.commands


@pytest.mark.parametrize("registry", STATES, indirect=True)
@pytest.mark.parametrize("route", ADMIN, ids=name_of)
async def test_an_admin_route_answers_to_the_token(client: Client, registry: FakeRegistry, route: Route) -> None:
    status, _, _ = await ask(client, route, **body_of(route))
    assert status not in (401, 403)
    assert len(registry.commands) <= 1


@pytest.mark.parametrize("route", [route for route in ROUTES if "{model}" in route.path], ids=name_of)
async def test_an_unknown_model_is_404_and_named(client: Client, route: Route) -> None:
    status, _, body = await ask(client, route, url_of(route, model="nobody"), **body_of(route))
    assert status == 404 or list(route.answers) == [501]
    assert status == 501 or "nobody" in str(body)


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_a_wrong_method_is_405_and_names_the_right_ones(client: Client, path: str) -> None:
    routes = {route.method: route for route in ROUTES if route.path == path}
    route = next(iter(routes.values()))
    url = url_of(route).partition("?")[0]
    for method in ({*METHODS, "OPTIONS"}) - set(routes):
        async with client.request(method, url) as response:
            await assert_error(response, 405, route.dialect)
            assert set(response.headers["Allow"].split(",")) - {"HEAD"} == set(routes)


@pytest.mark.parametrize("path", ["/nowhere", "/models/als/nowhere", "/health/", "/models//status", "/%00", "/models/a%2Fb"])
async def test_an_unknown_path_is_a_404_problem(client: Client, path: str) -> None:
    async with client.get(path) as response:
        await assert_error(response, 404)


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
async def test_a_defect_is_an_opaque_500(client: Client, registry: FakeRegistry, route: Route) -> None:
    registry.failing = RuntimeError("secret detail")
    async with asyncio.timeout(30), client.request(route.method, url_of(route), headers=ADMIN_TOKEN, **body_of(route)) as response:
        if "{model}" in route.path and list(route.answers) != [501]:
            assert response.status == 500
        if response.status == 500:
            body = await assert_error(response, 500, route.dialect)
            assert "incident" in str(body)
            assert "secret" not in str(body)
        elif response.content_type != STREAM:
            check(route, response.status, response.headers, await response.read())
