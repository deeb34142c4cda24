"""Many more calls than a model can answer: some are answered, the others are told to come back, and the server stays well.

Does not cover: how fast (`bench/overload.py` measures that).
"""

from __future__ import annotations

import builtins
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.acceptance.running import Server, rss_anon_bytes, serving
from tests.artifacts.hostile.entry import Call
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.support import wait_until_sync

CLIENTS = 48
GROWTH_BYTES = 64 << 20


def slow_by_the_row() -> Any:
    """A pipeline that sleeps 10 ms a row, once for its prediction and once for its probabilities."""
    model = make_pipeline(FunctionTransformer(), DummyClassifier()).fit(np.zeros((2, 3)), [0, 1])
    model[0].func = Call(builtins.eval, "lambda rows: (__import__('time').sleep(0.01 * len(rows)), rows)[1]")
    return model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("overload")
    joblib.dump(slow_by_the_row(), folder / "slow.joblib")
    wide = np.random.default_rng(0).standard_normal((300_000, 64), dtype=np.float32)
    ids = {"user_id_map": {1: 0}, "item_id_map": {item: item for item in range(len(wide))}}
    joblib.dump({"user_factors": wide[:1], "item_factors": wide, "is_trained": True, **ids}, folder / "wide.joblib")
    models = {name: {"source": str(folder / f"{name}.joblib")} for name in ("slow", "wide")}
    models["small"] = {"source": str(write(als_dict("int"), folder / "small", "pickle4"))}
    with serving(folder, {"loading": {"trust": "any"}, "models": models}) as server:
        server.wait_ready(*models)
        yield server


QUESTIONS: dict[str, Any] = {"slow": {"instances": [[0, 0, 0]]}, "wide": {"user_id": 1}, "small": {"user_id": 1}}


class Rush:
    """Clients that ask without a pause, whatever they are told, until `enough` answers of each wanted status came."""

    def __init__(self, server: Server, model: str, size: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.without_retry_after = 0
        self.unexpected: list[Any] = []
        self._server, self._model = server, model
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, name=f"client {number}") for number in range(size)]

    def __enter__(self) -> Rush:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        while not self._is_over.is_set():
            reply = self._server.predict(self._model, QUESTIONS[self._model])
            self.statuses[reply.status] += 1
            if reply.status == 429:
                self.without_retry_after += not reply.retry_after_s
            elif reply.status != 200:
                self.unexpected.append(reply)


@pytest.mark.parametrize("model", ["slow", "wide"])
def test_overload_is_429_with_retry_after_and_nothing_else(server: Server, model: str) -> None:
    for _ in range(5):  # by then it is known what a call takes
        assert server.predict(model, QUESTIONS[model]).status == 200
    before = rss_anon_bytes(server.pid)
    health: Counter[int] = Counter()
    with Rush(server, model, CLIENTS) as rush:

        def goes_on() -> bool:
            health[server.get("/health").status] += 1
            return rush.statuses[200] >= 40 and rush.statuses[429] >= 400

        wait_until_sync(goes_on, 60, what="answers of both kinds")
    assert not rush.unexpected
    assert not rush.without_retry_after
    assert set(health) == {200}
    assert rss_anon_bytes(server.pid) - before < GROWTH_BYTES
    # Nothing is left of it: the next call finds nobody before it.
    assert server.predict(model, QUESTIONS[model]).status == 200
    wait_until_sync(lambda: server.get(f"/models/{model}/calls").body["in_flight"] == 0, what="none in flight")


def test_a_model_that_answers_at_once_refuses_nobody(server: Server) -> None:
    with Rush(server, "small", CLIENTS) as rush:
        wait_until_sync(lambda: rush.statuses[200] >= 20 * CLIENTS, 60, what="everybody was answered")
    assert set(rush.statuses) == {200}


def test_one_model_s_overload_is_not_another_s(server: Server) -> None:
    with Rush(server, "slow", CLIENTS) as rush:
        wait_until_sync(lambda: rush.statuses[429] >= 100, 60, what="overload")
        for model in ("small", "wide"):
            replies = [server.predict(model, QUESTIONS[model]) for _ in range(10)]
            assert {reply.status for reply in replies} == {200}
