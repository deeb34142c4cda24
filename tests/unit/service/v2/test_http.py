"""The protocol over HTTP: messages, bytes after the JSON, errors in its shape, states of a model.

Does not cover: what each route declares (`tests.contracts.test_routes`), tensors of each kind of model (beside this file), real
clients (`tests.acceptance.test_v2`).
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.base import AnswerFailed, Predictions
from service.lifecycle.state import Phase
from service.routes.v2.message import HEADER_LENGTH
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import VERSION, FakeEstimator, FakeHosted, FakeRegistry, failed, live, loading
from tests.unit.service.v2.asking import INFER, TOKEN, USERS, error_of

ROWS = {"name": "input", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}


def estimator(**changes: Any) -> FakeRegistry:
    return FakeRegistry(live(), scorer=FakeEstimator(classes=[0.0, 1.0], **changes))


async def test_the_server(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    body = await (await client.get("/v2")).json()
    assert body["name"] == "holdfast" and body["version"]
    assert {"model_repository", "statistics", "binary_tensor_data"} <= set(body["extensions"])
    assert await (await client.get("/v2/health/live")).json() == {"live": True}
    assert await (await client.get("/v2/health/ready")).json() == {"ready": True}


async def test_a_server_that_waits_for_models_is_live_and_not_ready(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(loading()))
    assert (await client.get("/v2/health/live")).status == 200
    assert await error_of(await client.get("/v2/health/ready"), 503) == "Waiting for als (loading)."


@pytest.mark.parametrize("prefix", ["/v2/models/als", f"/v2/models/als/versions/{VERSION}"], ids=["model", "version"])
async def test_a_model(client_of: ClientOf, prefix: str) -> None:
    client = await client_of(FakeRegistry(live()))
    body = await (await client.get(prefix)).json()
    assert (body["name"], body["versions"], body["platform"]) == ("als", [VERSION], "holdfast_factors")
    assert [each["name"] for each in body["inputs"]] == ["user_id", "liked", "k", "exclude", "only", "categories"]
    assert await (await client.get(f"{prefix}/ready")).json() == {"name": "als", "ready": True}
    config = await (await client.get(f"{prefix}/config")).json()
    assert config["input"][0] == {"name": "user_id", "data_type": "TYPE_STRING", "dims": [-1], "optional": False}
    assert config["input"][2] == {"name": "k", "data_type": "TYPE_INT64", "dims": [1], "optional": True}
    assert (await client.post(f"{prefix}/infer", json={"inputs": [USERS]})).status == 200
    (stats,) = (await (await client.get(f"{prefix}/stats")).json())["model_stats"]
    assert stats["inference_stats"]["success"]["count"] == 1 and stats["inference_count"] == 2


@pytest.mark.parametrize("path", ["", "/ready", "/config", "/stats", "/infer"])
async def test_a_version_that_does_not_serve_is_a_404(client_of: ClientOf, path: str) -> None:
    client = await client_of(FakeRegistry(live()))
    method = "POST" if path == "/infer" else "GET"
    response = await client.request(method, f"/v2/models/als/versions/3{path}", json={"inputs": [USERS]})
    assert "als does not serve version '3'" in await error_of(response, 404)


async def test_recommendations(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    users = {"name": "user_id", "datatype": "INT64", "shape": [2, 1], "data": [[1], [77]]}
    response = await client.post(INFER, json={"id": "a", "inputs": [users], "parameters": {"k": 2}})
    body = await response.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("als", VERSION, "a")
    assert body["outputs"][0] == {"name": "item_id", "datatype": "INT64", "shape": [2, 2], "data": [101, 102, -1, -1]}
    assert body["outputs"][1]["data"][2:] == [None, None]
    assert [each["data"] for each in body["outputs"][2:]] == [[2, 0], [True, False]]


@pytest.mark.parametrize("users, field", [([77], "user_id"), ([77, 78], "user_id[0]")], ids=["one", "two"])
async def test_where_nobody_is_known_it_is_a_404(client_of: ClientOf, users: list[int], field: str) -> None:
    client = await client_of(FakeRegistry(live()))
    inputs = [{"name": "user_id", "datatype": "INT64", "shape": [len(users)], "data": users}]
    assert (await error_of(await client.post(INFER, json={"inputs": inputs}), 404)).startswith("user_id")


async def test_predictions_and_the_outputs_that_are_asked_for(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    body = await (await client.post(INFER, json={"inputs": [ROWS]})).json()
    assert "id" not in body and [each["name"] for each in body["outputs"]] == ["predictions", "probabilities"]
    wanted = [{"name": "probabilities"}]
    body = await (await client.post(INFER, json={"inputs": [ROWS], "outputs": wanted})).json()
    assert body["outputs"] == [{"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.25, 0.75, 0.25, 0.75]}]
    told = await error_of(await client.post(INFER, json={"inputs": [ROWS], "outputs": [{"name": "x"}]}), 400)
    assert told == "outputs: 'x' is unknown: there are predictions, probabilities"


async def test_a_row_that_the_model_refuses_is_named_as_it_was_sent(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    inputs = [{**ROWS, "shape": [1, 3], "data": [[1, 2, 3]]}]
    assert await error_of(await client.post(INFER, json={"inputs": inputs}), 400) == "input[0]: has 3 values, the model takes 2"
    columns = [{"name": name, "datatype": "FP64", "shape": [2], "data": [1, 2]} for name in ("width", "height")]
    assert (await client.post(INFER, json={"inputs": columns})).status == 200


def message(inputs: Sequence[dict[str, Any]], *binary: bytes, **rest: Any) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of a request with bytes after the JSON."""
    header = json.dumps({"inputs": inputs, **rest}).encode()
    return b"".join((header, *binary)), {HEADER_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"}


async def test_bytes_after_the_json_in_both_directions(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    raw = np.array([[1, 2], [3, 4]], "<f4").tobytes()
    inputs = [{"name": "input", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}]
    outputs = [{"name": "probabilities", "parameters": {"binary_data": False}}, {"name": "predictions"}]
    body, headers = message(inputs, raw, outputs=outputs, parameters={"binary_data_output": True})
    response = await client.post(INFER, data=body, headers=headers)
    content = await response.read()
    assert response.status == 200, content
    assert response.content_type == "application/octet-stream"
    length = int(response.headers[HEADER_LENGTH])
    told = json.loads(content[:length])["outputs"]
    assert told[0]["data"] == [0.25, 0.75, 0.25, 0.75]
    assert told[1] == {"name": "predictions", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}
    assert content[length:] == struct.pack("<2d", 3, 7)


SIZED = {"name": "input", "datatype": "FP64", "shape": [1, 2], "parameters": {"binary_data_size": 16}}
WRONG: dict[str, tuple[tuple[bytes, dict[str, str]], str]] = {
    "fewer bytes": (message([SIZED], b"\0" * 15), "input: binary_data_size is 16: 15 bytes are left after the JSON"),
    "more bytes": (message([SIZED], b"\0" * 17), f"{HEADER_LENGTH}: 1 bytes after the JSON belong to no input"),
    "size is no number": (message([{**SIZED, "parameters": {"binary_data_size": True}}], b"\0"), "input: binary_data_size is True"),
    "data twice": (message([{**SIZED, "data": [1, 2]}], b"\0" * 16), "input: has data and the parameter binary_data_size"),
    "no data": (message([{"name": "input", "datatype": "FP64", "shape": [1, 2]}]), "input: has neither data nor"),
    "header is no number": ((b"{}", {HEADER_LENGTH: "x"}), f"{HEADER_LENGTH}: expected the bytes of the JSON, 0 to 2, got 'x'"),
    "header beyond the body": ((b"{}", {HEADER_LENGTH: "3"}), f"{HEADER_LENGTH}: expected the bytes"),
    "sizes without a header": ((json.dumps({"inputs": [SIZED]}).encode(), {}), "input: binary_data_size is 16: 0 bytes are left"),
    "input twice": (message([ROWS, ROWS]), "inputs[1].name: 'input' is there twice"),
    "output twice": (message([ROWS], outputs=[{"name": "a"}, {"name": "a"}]), "outputs[1].name: 'a' is there twice"),
    "no inputs": (message([]), "inputs: Expected `array` of length >= 1"),
    "no datatype": (message([{**ROWS, "datatype": "FP128"}]), "inputs[0].datatype: Invalid enum value 'FP128'"),
    "negative shape": (message([{**ROWS, "shape": [-1, 2]}]), "inputs[0].shape[0]: Expected `int` >= 0"),
    "deep shape": (message([{**ROWS, "shape": [1] * 9}]), "inputs[0].shape: Expected `array` of length <= 8"),
    "unknown member": (message([ROWS], versoin="1"), "versoin: Object contains unknown field `versoin`"),
    "unknown member of an input": (message([{**ROWS, "dtype": "FP64"}]), "inputs[0].dtype: Object contains unknown field `dtype`"),
    "shared memory": (message([{**ROWS, "parameters": {"shared_memory_region": "a"}}]), "inputs[0].parameters: 'shared_memory_region'"),
    "classification": (message([ROWS], outputs=[{"name": "predictions", "parameters": {"classification": 3}}]), "outputs[0].parameters:"),
    "unknown parameter": (message([ROWS], parameters={"k": 3}), "parameters: 'k' is unknown"),
    "binary_data": (
        message([ROWS], outputs=[{"name": "predictions", "parameters": {"binary_data": 1}}]),
        "outputs[0].parameters.binary_data",
    ),
    "another model": (message([ROWS], model_name="iris"), "model_name: is 'iris', the address names als"),
    "nested parameter": (message([ROWS], parameters={"a": {}}), "parameters"),
    "no JSON": ((b"{", {}), "Input data was truncated"),
    "empty": ((b"", {}), "The body is empty"),
}


@pytest.mark.parametrize("sent, told", WRONG.values(), ids=WRONG)
async def test_wrong_messages_are_refused_by_name(client_of: ClientOf, sent: tuple[bytes, dict[str, str]], told: str) -> None:
    client = await client_of(estimator())
    body, headers = sent
    assert (await error_of(await client.post(INFER, data=body, headers=headers), 400)).startswith(told)


async def test_nan_is_null_but_not_in_text(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    told = '{"id": "\\"NaN", "inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [[1, NaN]]}]}'
    response = await client.post(INFER, data=told.encode(), headers={"Content-Type": "application/json"})
    body = await response.json()
    assert (response.status, body["id"], body["outputs"][0]["data"]) == (200, '"NaN', [None])
    for wrong in (told[:-1], told + '"' * 100_000, told.replace("NaN]", "Nan]"), "NaN", '"' + '\\"' * 100_000 + "NaN"):
        assert await error_of(await client.post(INFER, data=wrong.encode()), 400)


async def test_the_name_that_clients_of_kserve_repeat_and_members_that_are_null(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    said = {"id": None, "model_name": "als", "parameters": None, "outputs": None}
    response = await client.post(INFER, json={**said, "inputs": [{**ROWS, "parameters": None}]})
    body = await response.json()
    assert response.status == 200, body
    assert "id" not in body and len(body["outputs"]) == 2
    named = {"model_name": None, "outputs": [{"name": "predictions", "parameters": None}]}
    assert (await client.post(INFER, json={**named, "inputs": [ROWS]})).status == 200


async def test_parameters_of_other_servers_are_passed_over(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    inputs = [{**ROWS, "parameters": {"content_type": "np"}}]
    parameters = {"timeout": 5, "priority": 1, "sequence_id": 3, "sequence_start": True, "sequence_end": False}
    assert (await client.post(INFER, json={"inputs": inputs, "parameters": parameters})).status == 200


async def test_compression_of_both(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    many = {**ROWS, "shape": [500, 2], "data": [1] * 1000}
    body = gzip.compress(json.dumps({"inputs": [many], "parameters": {"binary_data_output": True}}).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip", "Content-Type": "application/json"}
    async with client.post(INFER, data=body, headers=headers) as response:
        content = await response.read()  # decompressed by the client
        assert (response.status, response.headers["Content-Encoding"]) == (200, "gzip")
        assert len(content) - int(response.headers[HEADER_LENGTH]) == 500 * 8 + 1000 * 8
        assert int(response.headers["Content-Length"]) < len(content)


async def test_short_answers_are_not_compressed(client_of: ClientOf) -> None:
    client = await client_of(estimator())
    async with client.post(INFER, json={"inputs": [ROWS]}, headers={"Accept-Encoding": "gzip"}) as response:
        assert "Content-Encoding" not in response.headers


STATES = {
    "loading": (loading(reason="from the store"), "als is not ready: loading (downloading, 25%, from the store)", True),
    "queued": (loading(phase=Phase.QUEUED, progress=None), "als is not ready: loading (queued)", True),
    "failed": (failed(type="digest_mismatch"), "als is not ready: digest_mismatch: digest_mismatch it is", False),
    "failed, tried again": (failed(next_attempt_at=2e9), "als is not ready: source_unavailable: source_unavailable it is", True),
    "unloaded": (replace(live(), live=None, unloaded=True), "als is not ready: unloaded", False),
    "not started": (replace(live(), live=None, on_demand=True), "als is not ready: not started, its first inference loads it", True),
}


@pytest.mark.parametrize("path", ["", "/ready", "/config", "/infer"])
@pytest.mark.parametrize("entry, told, comes_back", STATES.values(), ids=STATES)
async def test_a_model_that_is_not_ready_is_a_503(client_of: ClientOf, path: str, entry: Any, told: str, comes_back: bool) -> None:
    client = await client_of(FakeRegistry(entry))
    response = await client.request("POST" if path == "/infer" else "GET", f"/v2/models/als{path}", json={"inputs": [USERS]})
    assert await error_of(response, 503) == told
    assert ("Retry-After" in response.headers) == comes_back


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v2/nowhere", 404),
        ("GET", "/v2/", 404),
        ("GET", "/v2/models/als/nowhere", 404),
        ("GET", "/v2/models/nobody", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2", 405),
        ("GET", INFER, 405),
        ("POST", "/v2/repository/models/als/load", 401),
    ],
)
async def test_every_error_under_v2_has_its_shape(client_of: ClientOf, method: str, path: str, status: int) -> None:
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    response = await client.request(method, path)
    assert await error_of(response, status)
    assert ("Allow" in response.headers) == (status == 405)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_what_only_looks_like_v2_has_problems(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    assert (await client.get("/v22")).content_type == "application/problem+json"


async def test_large_bodies_media_types_and_defects(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry, max_body_bytes=2000)
    assert await error_of(await client.post(INFER, data=b"x" * 3000), 413)
    assert await error_of(await client.post(INFER, data=b"{}", headers={"Content-Type": "image/png"}), 415)
    assert await error_of(await client.post("/v2/repository/models/als/load"), 403)
    registry.failing = RuntimeError("secret")
    told = await error_of(await client.post(INFER, json={"inputs": [USERS]}), 500)
    assert "incident" in told and "secret" not in told


async def test_overload_is_429_with_retry_after(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), max_in_flight=0))
    response = await client.post(INFER, json={"inputs": [USERS]})
    assert "in flight" in await error_of(response, 429)
    assert response.headers["Retry-After"] == "1"


async def test_a_late_answer_is_504_and_a_dead_process_503(client_of: ClientOf) -> None:
    failures: list[Exception] = [TimeoutError(), AnswerFailed("child_crashed", "it died")]

    async def answer(rows: Sequence[Any], deadline_s: float, *rest: Any) -> Predictions:
        raise failures.pop(0)

    client = await client_of(FakeRegistry(live(), scorer=FakeHosted(answer)))
    assert "did not answer within" in await error_of(await client.post(INFER, json={"inputs": [ROWS]}), 504)
    response = await client.post(INFER, json={"inputs": [ROWS]})
    assert await error_of(response, 503) == "child_crashed: it died"
    assert response.headers["Retry-After"] == "1"


async def test_calls_that_found_it_not_ready_are_counted(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(loading()))
    await client.post(INFER, json={"inputs": [USERS]})
    totals = (await (await client.get("/models/als/calls")).json())["totals"]
    assert totals["loading"] == 1
