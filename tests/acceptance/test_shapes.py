"""Every shape of artifact that an array family takes, as the real library makes it, served without that library.

Covers: each example of the contract (`tests.contracts.families`), saved in turns by pickle and joblib, in a server that has
neither sklearn nor implicit, scipy, pandas or joblib: the answers over HTTP are the library's own. Does not cover: hosted
models and hybrids, which need a library or parts (`test_hosted`, `test_estimators_*`, `test_hybrid`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from tests.acceptance.running import Server, serving
from tests.artifacts.writing import write
from tests.contracts.families import EstimatorExample, RecommenderExample, example, examples

WAYS = ("pickle5", "joblib_zlib", "pickle4", "joblib", "pickle2")
K = 10


def model_name(shape: tuple[str, str]) -> str:
    return "-".join(shape).lower()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, base_python: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shapes")
    models = {}
    for at, shape in enumerate(examples()):
        path = write(example(*shape).artifact, folder / model_name(shape), WAYS[at % len(WAYS)])
        models[model_name(shape)] = {"source": str(path)}
    with serving(folder, {"models": models}, python=base_python) as server:
        server.wait_ready(*models)
        yield server


def assert_ranking(items: list[dict[str, Any]], wanted: list[tuple[Any, float]]) -> None:
    """Same ids in the same order, but for items whose scores are equal in the library's own precision."""
    count = min(K, len(wanted))
    scores = [score for _, score in wanted[:count]]
    np.testing.assert_allclose([item["score"] for item in items[:count]], scores, rtol=1e-4, atol=1e-5)
    score_of = dict(wanted)
    for item, (id, score) in zip(items[:count], wanted[:count], strict=True):
        assert type(item["item_id"]) is (str if isinstance(id, str) else int)
        assert item["item_id"] == id or np.isclose(score_of.get(item["item_id"], scores[-1]), score, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", examples(), ids="-".join)
def test_it_answers_as_its_library_does(server: Server, shape: tuple[str, str]) -> None:
    made, name = example(*shape), model_name(shape)
    assert server.model(name)["family"] == shape[0]
    if isinstance(made, EstimatorExample):
        ask_estimator(server, name, made)
    else:
        ask_recommender(server, name, made)


def ask_estimator(server: Server, name: str, made: EstimatorExample) -> None:
    reply = server.predict(name, {"instances": [list(row) for row in made.rows]})
    assert reply.status == 200, reply
    wanted = np.asarray(made.predictions)
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(np.array(reply.body["predictions"], float), wanted, rtol=1e-6, atol=1e-9)
    else:
        assert reply.body["predictions"] == wanted.tolist()
    assert ("probabilities" in reply.body) == (made.probabilities is not None) == ("classes" in reply.body)
    if made.probabilities is not None:
        np.testing.assert_allclose(np.array(reply.body["probabilities"]), np.array(made.probabilities), rtol=1e-6, atol=1e-9)


def ask_recommender(server: Server, name: str, made: RecommenderExample) -> None:
    if made.users:
        reply = server.predict(name, {"users": list(made.users), "k": K})
        assert reply.status == 200, reply
        for result, wanted in zip(reply.body["results"], made.answers(2 * K), strict=True):
            assert_ranking(result["items"], wanted)
    reply = server.predict(name, {"liked": list(made.liked), "k": K})
    assert reply.status == 200, reply
    if made.liked_answers is not None:
        assert_ranking(reply.body["items"], made.liked_answers(2 * K))
    # In an address "7" may be the text or the number, and where both are ids it is the number.
    clear = next(item for item in made.liked if not (isinstance(item, str) and item.isdigit()))
    if made.similar_answers is not None:
        reply = server.get(f"/models/{name}/similar/{quote(str(clear), safe='')}?k={K}")
        assert reply.status == 200, reply
        assert_ranking(reply.body["items"], made.similar_answers(clear, 2 * K))
