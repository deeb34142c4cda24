"""Every classifier and regressor of scikit-learn, asked over HTTP, answers what scikit-learn itself predicts.

Covers: all of `bench.estimators.cases()`, and that docs/reference/estimators.md says of each where it went. Does not cover:
what each family owes beyond that (`tests/contracts/test_families.py`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from bench.estimators import Case, Fitted, cases, fit
from tests.acceptance.running import Server, serving
from tests.support import ROOT

PAGE = ROOT / "docs" / "reference" / "estimators.md"
NOT_SERVED: dict[str, str] = {}
"""Name to the failure type it must end in."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("estimators")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """One server with all of them, each loaded when it is asked for the first time: a hosted one is a process."""
    models = {
        model_name(case): {"source": str(folder / f"{case.name}.joblib"), "load": "on_demand", "required": False, "request_timeout": "60s"}
        for case in cases()
    }
    with serving(folder, {"models": models}) as server:
        yield server


def model_name(case: Case) -> str:
    return case.name.lower()


@pytest.fixture
def fitted(case: Case, folder: Path) -> Fitted:
    made = fit(case)
    joblib.dump(made.estimator, folder / f"{case.name}.joblib")
    return made


@pytest.fixture
def reply(case: Case, fitted: Fitted, server: Server) -> Iterator[Any]:
    name = model_name(case)
    yield server.predict(name, {"instances": fitted.rows.tolist()}, {"Prefer": "wait=60"})
    server.command("POST", f"/models/{name}/unload?wait=30")


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.kind}-{case.name}")
def test_it_predicts_as_scikit_learn_does(case: Case, fitted: Fitted, reply: Any, server: Server) -> None:
    if case.name in NOT_SERVED:
        assert server.model(model_name(case))["failure"]["type"] == NOT_SERVED[case.name]
        return
    assert reply.status == 200, (reply.body, server.model(model_name(case)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = np.asarray(fitted.estimator.predict(fitted.rows))
        probabilities = fitted.estimator.predict_proba(fitted.rows) if hasattr(fitted.estimator, "predict_proba") else None
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(np.array(reply.body["predictions"], float), wanted, rtol=1e-6, atol=1e-9)
    else:
        assert reply.body["predictions"] == wanted.tolist()
    if probabilities is None:
        assert "probabilities" not in reply.body
    else:
        by_row = np.stack(probabilities, axis=1) if isinstance(probabilities, list) else probabilities
        np.testing.assert_allclose(np.array(reply.body["probabilities"], float), by_row, rtol=1e-6, atol=1e-9)
    assert server.model(model_name(case))["family"] == families_on_the_page()[case.name]


def families_on_the_page() -> dict[str, str]:
    return dict(re.findall(r"^\| (\w+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))


def test_the_page_names_all_of_them() -> None:
    assert set(families_on_the_page()) | set(NOT_SERVED) == {case.name for case in cases()}
