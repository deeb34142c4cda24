"""Real clients of the Open Inference Protocol drive the program: tritonclient, with sockets of its own and over aiohttp.

Covers: an estimator of each family, recommenders with ids of each kind, a hybrid; the repository, statistics, a model that is
loaded on demand. Does not cover: faults of messages (`tests/unit/service/v2`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import joblib
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from numpy.typing import NDArray
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from tests.acceptance.running import ADMIN, Server, serving
from tests.acceptance.test_hybrid import files as hybrid_files
from tests.artifacts.hybrids import CONTENT_IDS
from tests.artifacts.ids import make_ids, plain
from tests.artifacts.recommenders import als_dict, bare_als
from tests.artifacts.writing import write
from tests.integration.hosting.bench_of_hosted import people, pipeline
from tests.support import wait_until_sync

USERS, ITEMS, FACTORS, K = 60, 40, 8, 5
ID_KINDS = ("int", "str")
ROWS, CLASSES = load_iris(return_X_y=True)
WORDS = np.array(["setosa", "versicolor", "virginica"])[CLASSES]
Client: TypeAlias = triton.InferenceServerClient


@dataclass(frozen=True)
class Fitted:
    """The estimators that are served, by the names they have there."""

    trees: RandomForestClassifier
    linear: LinearRegression
    hosted: MLPClassifier


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return Fitted(
        RandomForestClassifier(7, random_state=0).fit(ROWS, WORDS),
        LinearRegression().fit(ROWS, ROWS[:, :2]),
        MLPClassifier((4,), max_iter=2000, tol=1e-3, random_state=0).fit(ROWS / ROWS.max(), CLASSES),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, fitted: Fitted) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("v2")
    for name, estimator in vars(fitted).items():
        joblib.dump(estimator, folder / f"{name}.joblib")
    joblib.dump(pipeline(), folder / "people.joblib")
    models = {name: {"source": str(folder / f"{name}.joblib")} for name in (*vars(fitted), "people")}
    model = bare_als(USERS, ITEMS, FACTORS)
    for kind in (*ID_KINDS, "mixed"):
        saved = write(als_dict(kind, model=model, users=USERS, items=ITEMS), folder / f"als-{kind}", "pickle5")
        models[f"als-{kind}"] = {"source": str(saved)}
    models |= hybrid_files(folder / "hybrid")
    later = {"source": str(folder / "linear.joblib"), "load": "on_demand", "required": False}
    with serving(folder, {"models": {**models, "later": later}}) as server:
        server.wait_ready(*models)
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url.removeprefix("http://")) as client:
        yield client


def given(name: str, datatype: str, values: Any, *, shape: list[int] | None = None, is_binary: bool = True) -> triton.InferInput:
    array = np.array(values, dtype=triton_to_np_dtype(datatype))
    array = array if shape is None else array.reshape(shape)
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=is_binary)
    return tensor


def asked(*names: str, is_binary: bool = True) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=is_binary) for name in names]


def texts(array: NDArray[Any]) -> list[Any]:
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]


def test_the_server_lives_is_ready_and_says_what_it_can(client: Client) -> None:
    assert client.is_server_live() and client.is_server_ready()
    told = client.get_server_metadata()
    assert told["name"] == "holdfast" and {"model_repository", "statistics"} <= set(told["extensions"])


@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_trees(client: Client, fitted: Fitted, is_binary: bool, datatype: str) -> None:
    told = client.get_model_metadata("trees")
    assert (told["platform"], told["inputs"]) == ("holdfast_trees", [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}])
    assert client.get_model_config("trees")["input"][0]["dims"] == [-1, 4]
    assert client.is_model_ready("trees") and client.is_model_ready("trees", told["versions"][0])
    outputs = asked("probabilities", "predictions", is_binary=is_binary)
    found = client.infer("trees", [given("input", datatype, ROWS, is_binary=is_binary)], outputs=outputs, request_id="a-1")
    assert texts(found.as_numpy("predictions")) == fitted.trees.predict(ROWS).tolist()
    np.testing.assert_allclose(found.as_numpy("probabilities"), fitted.trees.predict_proba(ROWS))
    response = found.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("a-1", "trees", told["versions"][0])
    assert [each["name"] for each in response["outputs"]] == ["probabilities", "predictions"]
    assert json.loads(told["outputs"][1]["parameters"]["classes"]) == fitted.trees.classes_.tolist()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_linear_compressed_both_ways(client: Client, fitted: Fitted, coding: str) -> None:
    rows = np.tile(ROWS, (4, 1))
    codings = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    found = client.infer("linear", [given("input", "FP64", rows)], **codings)
    np.testing.assert_allclose(found.as_numpy("predictions"), fitted.linear.predict(rows))
    assert [each["name"] for each in found.get_response()["outputs"]] == ["predictions"]


def test_hosted(client: Client, fitted: Fitted) -> None:
    assert client.get_model_metadata("hosted")["outputs"][0] == {"name": "predictions", "datatype": "INT64", "shape": [-1]}
    rows = ROWS / ROWS.max()
    found = client.infer("hosted", [given("input", "FP64", rows)])
    assert found.as_numpy("predictions").dtype == np.int64
    assert found.as_numpy("predictions").tolist() == fitted.hosted.predict(rows).tolist()
    np.testing.assert_allclose(found.as_numpy("probabilities"), fitted.hosted.predict_proba(rows))


@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
def test_columns_of_numbers_and_text_as_the_metadata_lists_them(client: Client, is_binary: bool) -> None:
    frame = people()
    listed = client.get_model_metadata("people")["inputs"]
    assert [(each["name"], each["datatype"]) for each in listed] == [("age", "FP64"), ("town", "BYTES"), ("about", "BYTES")]
    inputs = [given(each["name"], each["datatype"], frame[[each["name"]]].to_numpy().tolist(), is_binary=is_binary) for each in listed]
    found = client.infer("people", inputs)
    assert found.as_numpy("predictions").tolist() == pipeline().predict(frame).tolist()


@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("kind", ID_KINDS)
def test_recommenders(client: Client, server: Server, kind: str, is_binary: bool) -> None:
    name = f"als-{kind}"
    listed = {each["name"]: each for each in client.get_model_metadata(name)["inputs"]}
    datatype = {"int": "INT64", "str": "BYTES"}[kind]
    assert [each for each, said in listed.items() if not said.get("parameters")] == ["user_id"]
    assert listed["user_id"]["datatype"] == datatype
    users = [plain(id) for id in make_ids(kind, USERS)][:3]
    inputs = [given("user_id", datatype, users, shape=[-1, 1], is_binary=is_binary), given("k", "INT64", [K], is_binary=is_binary)]
    found = client.infer(name, inputs, outputs=asked("item_id", "score", "count", "known", is_binary=is_binary))
    answered = server.predict(name, {"users": users, "k": K}).body["results"]
    assert found.as_numpy("item_id").shape == (3, K)
    assert texts(found.as_numpy("item_id")) == [item["item_id"] for each in answered for item in each["items"]]
    np.testing.assert_allclose(found.as_numpy("score").ravel(), [item["score"] for each in answered for item in each["items"]])
    assert found.as_numpy("count").tolist() == [K] * 3 and found.as_numpy("known").tolist() == [True] * 3


def test_liked_items_and_parameters(client: Client, server: Server) -> None:
    liked = [plain(id) for id in make_ids("int", ITEMS, first=500)][:3]
    inputs = [given("liked", "INT64", liked), given("exclude", "INT32", liked[:1])]
    found = client.infer("als-int", inputs, parameters={"k": K, "exclude_seen": False})
    answered = server.predict("als-int", {"liked": liked, "exclude": liked[:1], "k": K, "exclude_seen": False}).body
    assert found.as_numpy("item_id").tolist() == [[item["item_id"] for item in answered["items"]]]


def test_a_user_who_is_not_in_the_model(client: Client) -> None:
    users = [plain(id) for id in make_ids("str", USERS)][:1]
    found = client.infer("als-str", [given("user_id", "BYTES", [*users, "nobody"])], parameters={"k": 2})
    assert found.as_numpy("count").tolist() == [2, 0] and found.as_numpy("known").tolist() == [True, False]
    assert texts(found.as_numpy("item_id"))[2:] == ["", ""] and np.isnan(found.as_numpy("score")[1]).all()
    with pytest.raises(InferenceServerException) as caught:
        client.infer("als-str", [given("user_id", "BYTES", ["nobody"])])
    assert caught.value.status() == "404" and "nobody" in caught.value.message()


def test_mixed_ids_keep_their_kind(client: Client) -> None:
    ids = [plain(id) for id in make_ids("mixed", USERS)]
    number, text = next(id for id in ids if isinstance(id, int)), next(id for id in ids if isinstance(id, str))
    for datatype, id in (("INT64", number), ("BYTES", text)):
        assert client.infer("als-mixed", [given("user_id", datatype, [id])]).as_numpy("count").tolist() == [10]


def test_a_hybrid_names_the_versions_of_its_parts(client: Client) -> None:
    liked = [plain(id) for id in CONTENT_IDS[:2]]
    metadata = client.get_model_metadata("hybrid")
    assert metadata["platform"] == "holdfast_hybrid" and metadata["inputs"][0]["name"] == "user_id"
    found = client.infer("hybrid", [given("liked", "INT64", liked)], parameters={"k": K, "diversity": 1.0})
    assert found.as_numpy("item_id").shape == (1, K)
    versions = {name: client.get_model_metadata(name)["versions"][0] for name in ("content_based", "collaborative")}
    assert found.get_response()["parameters"] == {f"version_of_{name}": version for name, version in versions.items()}
    assert client.get_model_metadata("content_based")["inputs"][0]["name"] == "liked"


def entry_of(client: Client, name: str) -> dict[str, Any]:
    """Of the repository's index."""
    return next(each for each in client.get_model_repository_index() if each["name"] == name)


def test_the_repository(client: Client) -> None:
    assert entry_of(client, "linear")["state"] == "READY" and entry_of(client, "linear")["version"]
    client.unload_model("linear", headers=ADMIN)
    assert not client.is_model_ready("linear")
    # Until its arrays are unmapped it is UNLOADING.
    wait_until_sync(lambda: entry_of(client, "linear")["state"] == "UNAVAILABLE", 60)
    assert (entry_of(client, "linear")["reason"], "version" in entry_of(client, "linear")) == ("unloaded", False)
    with pytest.raises(InferenceServerException, match="linear is not ready: unloaded"):
        client.infer("linear", [given("input", "FP64", ROWS)])
    client.load_model("linear", headers=ADMIN)
    assert client.is_model_ready("linear")
    client.load_model("linear", headers=ADMIN)
    for rest in ({"config": "{}"}, {"config": "{}", "files": {"file:1/model.pkl": b"x"}}):
        with pytest.raises(InferenceServerException, match="without parameters") as caught:
            client.load_model("linear", headers=ADMIN, **rest)
        assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException) as caught:
        client.load_model("linear")
    assert caught.value.status() == "401"


def test_statistics(client: Client) -> None:
    before = client.get_inference_statistics("trees")["model_stats"][0]
    version = before["version"]
    client.infer("trees", [given("input", "FP64", ROWS)])
    (after,) = client.get_inference_statistics("trees", version)["model_stats"]
    assert after["inference_count"] - before["inference_count"] == len(ROWS)
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 1
    assert after["memory_usage"][0]["byte_size"] > 0 and after["last_inference"] >= before["last_inference"]
    assert {each["name"] for each in client.get_inference_statistics()["model_stats"]} >= {"trees", "linear", "als-int"}


@pytest.mark.parametrize(
    "model, inputs, status, words",
    [
        ("nobody", [("input", "FP64", [[1.0]])], "404", "No model is named 'nobody'"),
        ("trees", [("input", "FP64", [[1.0, 2.0]])], "400", "input[0]: has 2 values, the model takes 4"),
        ("trees", [("x", "FP64", [[1.0]])], "400", "inputs: 'x' is unknown: there are input"),
        ("als-int", [("user_id", "BYTES", ["1"])], "400", "user_id: is BYTES, the model's ids are INT64"),
        ("als-int", [("user_id", "INT64", [1]), ("k", "INT64", [1000])], "400", "k: the model has 40 items"),
    ],
)
def test_errors_have_a_message_and_a_number(client: Client, model: str, inputs: Any, status: str, words: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [given(*each) for each in inputs])
    assert caught.value.status() == status and words in caught.value.message()


def test_a_version_that_does_not_serve(client: Client) -> None:
    assert not client.is_model_ready("trees", "3")
    with pytest.raises(InferenceServerException, match="trees does not serve version '3'"):
        client.get_model_metadata("trees", "3")


def test_asking_for_metadata_loads_nothing_and_inference_loads_on_demand(client: Client, server: Server) -> None:
    assert not client.is_model_ready("later")
    with pytest.raises(InferenceServerException, match="later is not ready: not started"):
        client.get_model_metadata("later")
    assert server.model("later")["status"] == "not_started"
    message = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    reply = server.ask("POST", "/v2/models/later/infer", message)
    assert reply.status == 503 and reply.body["error"].startswith("later is not ready: loading (") and reply.retry_after_s
    wait_until_sync(lambda: client.is_model_ready("later"), 60)
    assert server.ask("POST", "/v2/models/later/infer", message).status == 200


async def test_the_client_over_aiohttp(server: Server, fitted: Fitted) -> None:
    tensor = triton_aio.InferInput("input", list(ROWS.shape), "FP64")
    tensor.set_data_from_numpy(ROWS)
    async with triton_aio.InferenceServerClient(server.url.removeprefix("http://")) as client:
        assert await client.is_server_ready() and await client.is_model_ready("linear")
        found = await client.infer("linear", [tensor])  # it offers to take it compressed, and then does
    np.testing.assert_allclose(found.as_numpy("predictions"), fitted.linear.predict(ROWS))


def test_several_clients_at_once(server: Server, fitted: Fitted) -> None:
    wrong: list[object] = []
    expected = fitted.trees.predict(ROWS).tolist()

    def ask() -> None:
        for _ in range(10):
            data = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [150, 4], "data": ROWS.tolist()}]}
            reply = server.ask("POST", "/v2/models/trees/infer", data)
            if reply.status != 200 or reply.body["outputs"][0]["data"] != expected:
                wrong.append(reply)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
