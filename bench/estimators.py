"""Which estimator of scikit-learn is served how: `python -m bench.estimators` writes the page docs/reference/estimators.md.

Every classifier and regressor of `sklearn.utils.all_estimators()` is fitted on a small numeric set, saved with joblib, and
loaded by the real loader; the family that took it, and its reason, make the table. Does not cover: comparing predictions
(`tests/acceptance/estimators.py` does, over HTTP, for all of them).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

ROWS, FEATURES, CLASSES = 60, 4, 3

# What has no default and must be given; the inner estimators are the plainest there are.
_AROUND_ONE = (
    "ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier", "MultiOutputRegressor", "OneVsOneClassifier",
    "OneVsRestClassifier", "OutputCodeClassifier", "RegressorChain", "SelfTrainingClassifier", "TunedThresholdClassifierCV",
)  # fmt: skip
_AROUND_SEVERAL = ("StackingClassifier", "StackingRegressor", "VotingClassifier", "VotingRegressor")
_SEVERAL_OUTPUTS = (
    "CCA", "ClassifierChain", "MultiOutputClassifier", "MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV",
    "MultiTaskLasso", "MultiTaskLassoCV", "PLSCanonical", "RegressorChain",
)  # fmt: skip
_BINARY = ("ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier", "TunedThresholdClassifierCV")
_ONE_FEATURE = ("IsotonicRegression",)
_WHOLE_NUMBERS = ("CategoricalNB",)


class Case(NamedTuple):
    """An estimator of the list. `kind` is "classifier" or "regressor"."""

    name: str
    kind: str
    module: str


class Fitted(NamedTuple):
    """A fitted estimator and rows to ask it, float64 (rows, features)."""

    estimator: Any
    rows: NDArray[np.float64]


class Served(NamedTuple):
    """Where an estimator went: a family, or "" with the reason why it is not served."""

    case: Case
    family: str
    reason: str


@cache
def cases() -> tuple[Case, ...]:
    """All of them, by kind and name."""
    from sklearn.utils import all_estimators

    found = [Case(name, kind, cls.__module__) for kind in ("classifier", "regressor") for name, cls in all_estimators(type_filter=kind)]
    return tuple(found)


def fit(case: Case) -> Fitted:
    """The estimator with its defaults, fitted on the small set. Raises what its `fit` raises."""
    from sklearn.utils import all_estimators

    rng = np.random.default_rng(7)
    features = 1 if case.name in _ONE_FEATURE else FEATURES
    rows = np.round(rng.uniform(0.1, 4.0, (ROWS, features)), 3)
    if case.name in _WHOLE_NUMBERS:
        rows = np.floor(rows)
    target = _target(case, rows, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated, or does not converge on sixty rows, is not the question here
        estimator = _made(dict(all_estimators(type_filter=case.kind))[case.name], case)
        estimator.fit(rows[:, 0] if case.name in _ONE_FEATURE else rows, target)
    return Fitted(estimator, rows)


def _made(cls: Any, case: Case) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    is_classifier = case.kind == "classifier"
    one = LogisticRegression() if is_classifier else Ridge()
    other = DecisionTreeClassifier(random_state=0) if is_classifier else DecisionTreeRegressor(random_state=0)
    given: dict[str, Any] = {}
    if case.name in _AROUND_ONE:
        given["estimator"] = one
    elif case.name in _AROUND_SEVERAL:
        given["estimators"] = [("one", one), ("other", other)]
    estimator = cls(**given)
    chosen: dict[str, Any] = {"random_state": 0}
    if case.name.startswith("RadiusNeighbors"):
        chosen["radius"] = 10.0  # every row has neighbours
    return estimator.set_params(**{name: value for name, value in chosen.items() if name in estimator.get_params()})


def _target(case: Case, rows: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    score = rows.sum(axis=1) + rng.normal(scale=0.3, size=len(rows))
    if case.kind == "regressor":
        return np.column_stack((score, rows[:, 0] * 2.0)) if case.name in _SEVERAL_OUTPUTS else score
    ranked = np.argsort(np.argsort(score))
    classes = 2 if case.name in _BINARY else CLASSES
    labels = ranked * classes // len(rows)
    return np.column_stack((labels, 1 - labels)) if case.name in _SEVERAL_OUTPUTS else labels


async def served(case: Case, folder: Path) -> Served:
    """Load it as the server would, and say where it went."""
    import joblib

    from config.schema import ModelSettings, Settings
    from loaders.checking import check
    from loaders.errors import LoadError

    try:
        fitted = fit(case)
    except (ValueError, TypeError) as error:
        return Served(case, "", f"does not fit a small numeric set: {str(error).splitlines()[0]}")
    path = folder / f"{case.name}.joblib"
    joblib.dump(fitted.estimator, path)
    try:
        report = await check(Settings(), ModelSettings(name="check", source=str(path)))
    except LoadError as error:
        return Served(case, "", f"{error.type}: {error.message}")
    return Served(case, report["family"], report["reason"])


def page(rows: list[Served]) -> Iterator[str]:
    """The lines of docs/reference/estimators.md."""
    yield "# Estimators of scikit-learn"
    yield ""
    yield "Generated by `make docs`: every classifier and regressor of `sklearn.utils.all_estimators()`, fitted with its defaults on a"
    yield "small numeric set, saved with joblib and loaded. `trees` and `linear` answer from shared arrays in the server; `hosted`"
    yield "answers from the unpickled object in a capped process of its own. A test asks each of them over HTTP and compares the"
    yield "answers with scikit-learn's own. An estimator inside something else (a Pipeline, a search) may go elsewhere: the"
    yield "reason stands in its status."
    yield ""
    counts = {family: sum(row.family == family for row in rows) for family in ("trees", "linear", "hosted", "")}
    total = len(rows)
    yield (
        f"{total - counts['']} of {total} are served: {counts['trees']} by `trees`, {counts['linear']} by `linear`, "
        f"{counts['hosted']} by `hosted`."
    )
    for kind in ("classifier", "regressor"):
        yield ""
        yield f"## {kind.capitalize()}s"
        yield ""
        yield "| estimator | family | why |"
        yield "|---|---|---|"
        for row in rows:
            if row.case.kind == kind:
                yield f"| {row.case.name} | {f'`{row.family}`' if row.family else 'not served'} | {row.reason} |"


def main() -> None:
    """Write the page to standard output."""
    with tempfile.TemporaryDirectory(prefix="holdfast-estimators-") as folder:
        rows = []
        for at, case in enumerate(cases()):
            print(f"{at + 1} of {len(cases())}: {case.name}", file=sys.stderr)
            rows.append(asyncio.run(served(case, Path(folder))))
    print("\n".join(page(rows)))


if __name__ == "__main__":
    main()
