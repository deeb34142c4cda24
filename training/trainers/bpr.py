"""Bayesian personalised ranking (Rendle, Freudenthaler, Gantner and Schmidt-Thieme, UAI 2009), by implicit.

Covers: fitting. It learns from pairs of an item that a user has and one that they have not; how much somebody liked an item does
not matter to it. One thread: several would update factors without locks, and no two runs would be alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.errors import Untrainable
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import factors_bundle
from training.trainers.matrix import learned, mark_cold


class Bpr:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "factors": Parameter(100, "Numbers a user and an item are described by, without the item's bias.", minimum=1, maximum=2048),
        "learning_rate": Parameter(0.01, "Length of a step.", minimum=0.0, maximum=10.0),
        "regularization": Parameter(0.01, "Penalty of long vectors.", minimum=0.0),
        "epochs": Parameter(100, "Times that as many pairs are drawn as there are interactions.", minimum=1, maximum=100_000),
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        from implicit.cpu.bpr import BayesianPersonalizedRanking
        from implicit.recommender_base import ModelFitError
        from threadpoolctl import threadpool_limits

        chosen, epochs = ask.parameters, ask.parameters["epochs"]
        matrix = learned(ask.train, "equal")
        on_progress("fitting", 0, epochs)
        with threadpool_limits(1, "blas"):
            model = BayesianPersonalizedRanking(
                factors=chosen["factors"],
                learning_rate=chosen["learning_rate"],
                regularization=chosen["regularization"],
                iterations=epochs,
                num_threads=1,
                random_state=ask.seed,
            )
            try:
                model.fit(matrix, show_progress=False, callback=lambda epoch, *_: on_progress("fitting", int(epoch) + 1, epochs))
            except ModelFitError as error:
                raise Untrainable(f"the factors grow without bound: learning_rate {chosen['learning_rate']:g} is too great") from error
        mark_cold(matrix, ask.seen, model.user_factors, model.item_factors)
        bundle = factors_bundle(
            ask.train,
            model.user_factors,  # its last column is 1, the item's the bias
            model.item_factors,
            seen=ask.seen,
            algorithm="bpr",
            fold_in={"method": "mean", "tail": [1.0]},
            embedding=chosen["factors"],
            compared=chosen["factors"] + 1,
            details={"model": "implicit.cpu.bpr.BayesianPersonalizedRanking"},
        )
        return Trained(bundle, chosen)


TRAINER = Bpr()
