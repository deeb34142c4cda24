"""Estimators of scikit-learn one after the other in one server, each loaded while the one before it is asked.

Covers: `bench.estimators.cases()` of one kind, fitted and saved just before they are needed, and what is compared. Does not
cover: which there are and how they are fitted (`bench.estimators`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from bench.estimators import Case, Fitted, cases, fit
from tests.acceptance.running import Reply, Server, serving
from tests.support import ROOT

PAGE = ROOT / "docs" / "reference" / "estimators.md"
NOT_SERVED: dict[str, str] = {}
"""Name to the failure type it must end in."""


def families_on_the_page() -> dict[str, str]:
    """Name to family, as docs/reference/estimators.md says."""
    return dict(re.findall(r"^\| (\w+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))


def of_kind(kind: str) -> list[Case]:
    return [case for case in cases() if case.kind == kind]


class Queue:
    """The cases of one kind in a server where all are configured and two at most are loaded: a hosted one is a process."""

    def __init__(self, queued: list[Case], folder: Path, server: Server) -> None:
        self._queued, self._folder, self._server = queued, folder, server
        self._prepared: dict[str, Fitted] = {}

    def check(self, case: Case) -> None:
        """Ask it, and compare with what scikit-learn itself predicts."""
        fitted = self._prepare(case)
        following = self._queued[self._queued.index(case) + 1 :]
        if following:
            self._prepare(following[0])
        name = model_name(case)
        try:
            reply = self._server.predict(name, {"instances": fitted.rows.tolist()}, {"Prefer": "wait=60"})
            status = self._server.model(name)
        finally:
            self._server.command("POST", f"/models/{name}/unload")
        if case.name in NOT_SERVED:
            assert status["failure"]["type"] == NOT_SERVED[case.name]
            return
        assert reply.status == 200, (reply.body, status)
        assert_predicted(fitted, reply)
        assert status["family"] == families_on_the_page()[case.name]

    def _prepare(self, case: Case) -> Fitted:
        """Fit it, save it, have it loaded; once."""
        if case.name not in self._prepared:
            self._prepared[case.name] = fitted = fit(case)
            joblib.dump(fitted.estimator, self._folder / f"{case.name}.joblib")
            assert self._server.command("POST", f"/models/{model_name(case)}/load").status == 202
        return self._prepared[case.name]


@contextmanager
def queue_of(kind: str, folder: Path) -> Iterator[Queue]:
    queued = of_kind(kind)
    models = {
        model_name(case): {"source": str(folder / f"{case.name}.joblib"), "load": "on_demand", "required": False, "request_timeout": "60s"}
        for case in queued
    }
    with serving(folder, {"models": models}) as server:
        yield Queue(queued, folder, server)


def model_name(case: Case) -> str:
    return case.name.lower()


def assert_predicted(fitted: Fitted, reply: Reply) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = np.asarray(fitted.estimator.predict(fitted.rows))
        probabilities: Any = fitted.estimator.predict_proba(fitted.rows) if hasattr(fitted.estimator, "predict_proba") else None
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(np.array(reply.body["predictions"], float), wanted, rtol=1e-6, atol=1e-9)
    else:
        assert reply.body["predictions"] == wanted.tolist()
    if probabilities is None:
        assert "probabilities" not in reply.body
    else:
        by_row = np.stack(probabilities, axis=1) if isinstance(probabilities, list) else probabilities
        np.testing.assert_allclose(np.array(reply.body["probabilities"], float), by_row, rtol=1e-6, atol=1e-9)
