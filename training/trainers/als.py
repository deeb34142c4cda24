"""Alternating least squares for implicit feedback (Hu, Koren and Volinsky, ICDM 2008), by implicit's solver.

Covers: fitting, and choosing the regularization. The penalty competes with sums over all items and over a user's interactions, so
its best value grows with both; implicit's own default of 0.01 is thousands of times too small, and no rule of thumb was as good
as measuring (Rendle, Krichene, Zhang and Koren, Revisiting the performance of iALS, RecSys 2022). Does not cover: user and item
features (`training.trainers.features`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.judging.metrics import from_factors
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import factors_bundle
from training.trainers.matrix import WEIGHTS, learned, mark_cold, scaled
from training.trainers.search import Found, Trial, search

GRID = (1.0, 3.0, 10.0, 30.0, 60.0, 100.0)
FALLBACK = 30.0
"""Regularization where nothing can be held out to search it on."""
_SEARCH_FACTORS, _SEARCH_SWEEPS = 64, 10
_CLASS = "implicit.cpu.als.AlternatingLeastSquares"


class Als:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "factors": Parameter(128, "Numbers a user and an item are described by.", minimum=1, maximum=2048),
        "alpha": Parameter(8.0, "Confidence of a pair of weight 1; that of a pair nobody has is 1.", minimum=0.001),
        "regularization": Parameter(
            None,
            f"Penalty of long vectors. Unless it is given, {', '.join(f'{each:g}' for each in GRID)}, and beyond if it is at an end of"
            " them, are tried on one interaction held out of each of up to 5,000 users.",
            minimum=0.0,
        ),
        "sweeps": Parameter(15, "Times that all users and then all items are solved for.", minimum=1, maximum=1000),
        "weights": WEIGHTS,
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        chosen = dict(ask.parameters)
        notes: dict[str, Any] = {}
        matrix = learned(ask.train, chosen["weights"])
        if chosen["regularization"] is None:
            chosen["regularization"] = FALLBACK
            trial = Trial(ask.train, ask.seed)
            if not trial.is_empty:
                found = _search(trial, ask, on_progress)
                chosen["regularization"] = found.value
                notes = found.notes("regularization", trial.depth)
        model = _fit(matrix, chosen, ask, lambda sweep, sweeps: on_progress("fitting", sweep, sweeps))
        mark_cold(matrix, ask.seen, model.user_factors, model.item_factors)
        bundle = factors_bundle(
            ask.train,
            model.user_factors,
            model.item_factors,
            seen=scaled(ask.seen, chosen["weights"]),
            weighting=chosen["weights"],
            algorithm="als",
            fold_in={"method": "als", "regularization": chosen["regularization"], "alpha": chosen["alpha"]},
            details={"model": _CLASS, "regularization": chosen["regularization"]},
        )
        return Trained(bundle, chosen, notes)


def _search(trial: Trial, ask: Ask, on_progress: OnProgress) -> Found:
    """At fewer factors and sweeps: which regularization is best hardly depends on either."""
    cheap = {
        **ask.parameters,
        "factors": min(ask.parameters["factors"], _SEARCH_FACTORS),
        "sweeps": min(ask.parameters["sweeps"], _SEARCH_SWEEPS),
    }
    matrix = learned(trial.train, cheap["weights"])

    def measure(regularization: float) -> float:
        model = _fit(matrix, {**cheap, "regularization": regularization}, ask, lambda sweep, sweeps: None)
        return trial.measure(from_factors(model.user_factors, model.item_factors))

    return search("regularization", GRID, measure, on_progress)


def _fit(matrix: Any, parameters: Mapping[str, Any], ask: Ask, on_sweep: Any) -> Any:
    """A fitted model of implicit."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    # implicit has threads of its own, and warns, already when a model is made, that BLAS' slow them down.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=parameters["factors"],
            regularization=parameters["regularization"],
            alpha=parameters["alpha"],
            iterations=parameters["sweeps"],
            num_threads=ask.threads,
            random_state=ask.seed,
        )
        on_sweep(0, parameters["sweeps"])
        model.fit(matrix, show_progress=False, callback=lambda sweep, *_: on_sweep(int(sweep) + 1, parameters["sweeps"]))
    return model


TRAINER = Als()
