"""What an answer costs: `python -m bench.scoring [--rows 5000] [--trees 100] [--runs 200] [--models forest,...]`.

Prints ratios of one run, because a machine's seconds mean little elsewhere. For each model: one row as a server has it,
`[[...]]` of JSON, through the scorer of a model that the real `loaders.loader.Loader` loaded, beside sklearn's own
`predict_proba` (regressors: `predict`) of the same row as an array; ten calls of the one and ten of the other by turns, and
"cold", call by call, where each finds the caches full of the other. Ratios are of medians; "quiet" ones of the fastest
tenth, because on a busy machine a long call is interrupted more often than a short one. Then the same of 1,000 rows, and the
largest difference between the two answers. Does not cover: HTTP, loading (`bench.loading`), recommenders.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn import ensemble, tree

from config.schema import ModelSettings, Settings, StoreSettings
from loaders.loader import Loader

FEATURES = 20
MANY = 1000
"""Rows of the larger question."""

Maker = Callable[[int], Any]
"""An estimator that is not fitted, of so many trees."""

MODELS: dict[str, Maker] = {
    "decision-tree": lambda trees: tree.DecisionTreeClassifier(random_state=0),
    "forest": lambda trees: ensemble.RandomForestClassifier(trees, random_state=0),
    "extra-trees": lambda trees: ensemble.ExtraTreesClassifier(trees, random_state=0),
    "forest-regressor": lambda trees: ensemble.RandomForestRegressor(trees, random_state=0),
    "gradient": lambda trees: ensemble.GradientBoostingClassifier(n_estimators=trees, random_state=0),
    "gradient-regressor": lambda trees: ensemble.GradientBoostingRegressor(n_estimators=trees, random_state=0),
    "histogram": lambda trees: ensemble.HistGradientBoostingClassifier(max_iter=trees, random_state=0),
    "histogram-missing": lambda trees: ensemble.HistGradientBoostingClassifier(max_iter=trees, random_state=0),
    "histogram-categories": lambda trees: ensemble.HistGradientBoostingClassifier(
        max_iter=trees, random_state=0, categorical_features=[0, 1, 2]
    ),
}


def data_for(name: str, rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """(rows, FEATURES) and a target: two classes with noise, or numbers for a regressor."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, FEATURES))
    value = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + rng.normal(size=rows)
    if name.endswith("categories"):
        matrix[:, :3] = rng.integers(0, 30, (rows, 3))
        value += np.sin(matrix[:, 0])
    if name.endswith("missing"):
        matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix, value if name.endswith("regressor") else (value > 0).astype(int)


class Taken(NamedTuple):
    """Seconds of many calls: the median, and what a tenth of them stayed below."""

    median: float
    quiet: float


def by_turns(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int, at_once: int = 1) -> tuple[Taken, Taken]:
    """Seconds of `runs` calls of each, `at_once` in a row: what disturbs the machine disturbs both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(-(-runs // at_once)):
        for call, seconds in zip((ours, theirs), taken, strict=True):
            for _ in range(at_once):
                began = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - began)
    one, other = (Taken(statistics.median(seconds), sorted(seconds)[len(seconds) // 10]) for seconds in taken)
    return one, other


def as_json(matrix: NDArray[np.float64]) -> list[list[float | None]]:
    """Rows as a body has them."""
    return [[None if value != value else value for value in row] for row in matrix.tolist()]


def compare(estimator: Any, scorer: Any, matrix: NDArray[np.float64], runs: int) -> dict[str, float]:
    """The figures of one loaded model."""
    ask = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    rows = as_json(matrix)
    answer = scorer.predict(rows)
    difference = np.abs(np.array(answer.probabilities or answer.predictions) - ask(matrix)).max()
    one, their_one = by_turns(lambda: scorer.predict(rows[:1]), lambda: ask(matrix[:1]), runs, 10)
    cold, their_cold = by_turns(lambda: scorer.predict(rows[:1]), lambda: ask(matrix[:1]), runs)
    many, their_many = by_turns(lambda: scorer.predict(rows), lambda: ask(matrix), max(1, runs // 20))
    return {
        "one_row_us": round(one.median * 1e6, 1),
        "sklearn_one_row_us": round(their_one.median * 1e6, 1),
        "one_row_x": round(their_one.median / one.median, 1),
        "one_row_quiet_x": round(their_one.quiet / one.quiet, 1),
        "one_row_cold_x": round(their_cold.median / cold.median, 1),
        "one_row_cold_quiet_x": round(their_cold.quiet / cold.quiet, 1),
        f"rows_{len(rows)}_ms": round(many.median * 1e3, 2),
        f"sklearn_rows_{len(rows)}_ms": round(their_many.median * 1e3, 2),
        f"rows_{len(rows)}_x": round(their_many.median / many.median, 2),
        f"rows_{len(rows)}_quiet_x": round(their_many.quiet / many.quiet, 2),
        "largest_difference": float(difference),
    }


async def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every figure, by model."""
    loader = Loader(Settings(store=StoreSettings(path=folder / "store")))
    await loader.open()
    report: dict[str, Any] = {}
    try:
        for name in asked.models.split(","):
            matrix, target = data_for(name, asked.rows, seed=0)
            estimator = MODELS[name](asked.trees).fit(matrix, target)
            version = await _loaded(loader, folder / f"{name}.joblib", estimator)
            questions, _ = data_for(name, MANY, seed=1)
            report[name] = {
                "family": version.family,
                "trees": version.scorer.details["trees"],
                "depth": version.scorer.details["depth"],
                **compare(estimator, version.scorer, questions, asked.runs),
            }
            await version.close()
            print(json.dumps({name: report[name]}), flush=True)
    finally:
        await loader.aclose()
    return report


async def _loaded(loader: Loader, path: Path, estimator: Any) -> Any:
    joblib.dump(estimator, path)
    model = ModelSettings(name=path.stem, source=str(path))
    artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
    if artifact is None:
        raise RuntimeError("the source says unchanged, but was told no revision")
    return await loader.load(model, artifact, on_phase=lambda phase, reason: None)


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scoring", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5000, help="rows to fit on (5000)")
    parser.add_argument("--trees", type=int, default=100, help="trees, or rounds of boosting (100)")
    parser.add_argument("--runs", type=int, default=200, help="repetitions of which a median is taken (200)")
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--folder", type=Path, help="where the files go (a temporary folder)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=asked.folder) as folder:
        report = asyncio.run(run(asked, Path(folder)))
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
