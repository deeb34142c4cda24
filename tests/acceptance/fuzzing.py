"""Schemathesis over the API description of a running server: requests made from the description, answers held against it.

Covers: which routes one run takes, how it is configured, that it found nothing. Does not cover: what runs (`tests.acceptance.running`).
Source: schemathesis.readthedocs.io, configuration reference.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from service.routes import ROUTES, Route
from tests.acceptance.running import TOKEN, Config, Server, environment, toml
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write

EXAMPLES = 200
"""Of one route that takes something, made at random; those that its schemas' limits ask for come on top."""
ENDS_WITHIN_S = 840.0
HANG_GUARD_S = 900
"""Of a test: thousands of requests are a minute of work where nothing else runs."""
ENDLESS = ("/events",)
Found = dict[str, Counter[int]]
_SHOWN_CHARACTERS = 600
"""Of a line of a report: it shows addresses whole."""


def is_command(route: Route) -> bool:
    return route.admin


def is_question(route: Route) -> bool:
    """Whether it asks a model something: its answer depends on what the model is, which no description can say."""
    return not route.admin and 504 in route.answers


def is_reading(route: Route) -> bool:
    return not is_command(route) and not is_question(route) and route.path not in ENDLESS


KINDS: tuple[Callable[[Route], bool], ...] = (is_command, is_question, is_reading)
"""Which routes are taken together, with a server of their own."""


def artifacts(folder: Path) -> dict[str, Path]:
    """A recommender, an estimator that answers from arrays, one that is hosted, and a file that is no model."""
    rows = np.random.default_rng(5).normal(size=(60, 2))
    labels = ["low" if row[0] < 0 else "high" for row in rows]
    models = {
        "als": als_dict("int"),
        "forest": RandomForestClassifier(3, random_state=0).fit(rows, labels),
        "knn": KNeighborsClassifier().fit(rows, labels),
    }
    files = {name: write(model, folder / name, "joblib") for name, model in models.items()}
    (folder / "broken.joblib").write_bytes(b"\x80\x04 no model")
    return {**files, "broken": folder / "broken.joblib", "missing": folder / "nowhere.joblib"}


def trainings(folder: Path) -> Config:
    """Settings of a training that is quick and of one that the gate refuses, over a few interactions; more may be posted, of any id."""
    with closing(sqlite3.connect(folder / "data.db")) as database, database:
        database.execute("CREATE TABLE interactions (user_id, item_id, weight REAL NOT NULL, ts REAL NOT NULL)")
        rows = ((user, (user * 7 + number) % 30, 1.0, 1.7e9 + 60 * number + user) for user in range(40) for number in range(8))
        database.executemany("INSERT INTO interactions VALUES (?, ?, ?, ?)", rows)
    return {
        "data": {"url": f"sqlite:///{folder / 'data.db'}"},
        "training.liked": {"algorithm": "popular"},
        "training.strict": {"algorithm": "popular"},
        "training.strict.gate": {"minimum": 1.0},
    }


@contextmanager
def stalled_source() -> Iterator[str]:
    """The address of a source that takes a request and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/model.joblib"


def fuzz(
    server: Server,
    which: Callable[[Route], bool],
    config: Config,
    models: Sequence[str],
    examples: int = EXAMPLES,
    *,
    runs: Sequence[str] = ("20260304T050607-0123ab",),
) -> Found:
    """The statuses that each of these routes answered, by "METHOD /path", after a run of schemathesis with all checks.

    `config` is what its schemathesis.toml has besides, `models` the names that most requests are about, `runs` the
    ids of the training runs that some are about. Raises AssertionError
    with its report where it found something, or left a route out.
    """
    folder = server.folder / "schemathesis"
    folder.mkdir()
    ids = [route.operation_id for route in ROUTES if which(route)]
    (folder / "schemathesis.toml").write_text(_settings(models, runs, examples) + toml(config))
    run = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            *("--no-color", "run", f"{server.url}/openapi.json", "--report", "ndjson", "--report-ndjson-path", "found.ndjson"),
            *(word for each in ids for word in ("--include-operation-id", each)),
        ],
        cwd=folder,
        # Its own warnings are its maker's business.
        env={**environment(), "PYTHONWARNINGS": "ignore", "COLUMNS": "140"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    report = "\n".join(line[:_SHOWN_CHARACTERS] for line in (run.stdout + run.stderr).splitlines())
    assert run.returncode == 0, report
    found = _answered(folder / "found.ndjson")
    for route in filter(which, ROUTES):
        count = sum(found.get(f"{route.method} {route.path}", {}).values())
        assert count >= (examples if _takes_something(route) else 1), f"{count} requests of {route.path}: {report}"
    return found


def _takes_something(route: Route) -> bool:
    return route.body is not None or "{" in route.path or bool(route.parameters)


def _answered(events: Path) -> Found:
    found: Found = {}
    with events.open() as lines:
        for event in map(json.loads, lines):
            recorded = event.get("ScenarioFinished", {}).get("recorder", {})
            statuses = found.setdefault(recorded.get("label", ""), Counter())
            statuses.update(each["response"]["status_code"] for each in recorded.get("interactions", {}).values())
    return {label: statuses for label, statuses in found.items() if statuses}


# What a table and a clock decide of interactions, and that a key stands for another request, no description can say.
_DECIDED_ELSEWHERE = ("POST /interactions",)


def _settings(models: Sequence[str], runs: Sequence[str], examples: int) -> str:
    return f"""
continue-on-failure = true
request-timeout = 30.0
[auth.openapi]
adminToken = {{ api_key = "{TOKEN}" }}
[cache]
enabled = false
[generation]
max-examples = {examples}
deterministic = true
database = "none"
no-shrink = true
[phases.stateful.generation]
max-examples = 20
[dictionaries]
models = {{ values = {list(models)!r} }}
runs = {{ values = {list(runs)!r} }}
users = {{ values = [4, 11, 18, 25] }}
items = {{ values = ["503", "510", "517"] }}
[parameters]
"path.model" = {{ dictionary = "models", probability = 0.9 }}
"path.id" = {{ dictionary = "runs", probability = 0.5 }}
"path.item_id" = {{ dictionary = "items", probability = 0.7 }}
"body.user_id" = {{ dictionary = "users", probability = 0.5 }}
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "431", "5xx"]
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "501", "503", "504"]
""" + "".join(
        f"""[[operations]]
include-name = {name!r}
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "503"]
"""
        for name in _DECIDED_ELSEWHERE
    )
