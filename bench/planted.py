"""Do the trainers find what was planted? `python -m bench.planted`: made-up data of which the truth is known, some minutes.

Covers: ALS beside the factors that made the interactions, `features` on items and users that nobody has an interaction of, `content`
on the categories behind the texts. Every figure comes from answers of the model that would serve. Does not cover: data of the
world (`bench.quality`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: implicit has threads of its own
if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

from models.base import Query, Ranking
from models.bundle import Bundle
from models.opening import open_scorer_of
from training.dataset.base import Dataset, Interactions
from training.judging.metrics import hits_of, ndcg
from training.judging.split import Held, pairs
from training.made_up.planted_factors import PlantedFactors, plant_factors, without_categories
from training.trainers import open_trainer
from training.trainers.base import Ask
from training.trainers.bundles import Cells, factors_bundle
from training.trainers.parameters import check

K = 10
_AT_ONCE = 500
_MEMORY = 4 << 30


def trained(algorithm: str, dataset: Dataset, **parameters: Any) -> Any:
    """What serves, after training on all of a data set."""
    ask = Ask(dataset, seen_in(dataset), check(algorithm, parameters), 0, _MEMORY, len(os.sched_getaffinity(0)))
    return open_scorer_of(open_trainer(algorithm).fit(ask, _say_nothing).bundle)


def of_truth(planted: PlantedFactors) -> Any:
    """A model whose factors are those that made the interactions: no other ranks better but by luck."""
    dataset = planted.dataset
    bundle: Bundle = factors_bundle(dataset, planted.user_factors, planted.item_factors, seen=seen_in(dataset), algorithm="truth")
    return open_scorer_of(bundle)


def seen_in(dataset: Dataset) -> Cells:
    """What users have."""
    return Cells.of(dataset.interactions, len(dataset.user_ids), len(dataset.item_ids))


def quality(scorer: Any, planted: PlantedFactors, wanted: Interactions, *, only: NDArray[np.int64] | None = None) -> float:
    """Mean NDCG@10 of answers to the users of `wanted`, who are to get those items; `only`: rows of the items to choose from."""
    held = _held(planted, wanted)
    chosen = None if only is None else (only + 1).tolist()
    ranked = np.full((len(held.users), K), -1, np.int64)
    for begin in range(0, len(held.users), _AT_ONCE):
        users = (held.users[begin : begin + _AT_ONCE] + 1).tolist()
        for at, answer in enumerate(scorer.recommend(Query(users=users, k=K, only=chosen)), begin):
            if isinstance(answer, Ranking):
                ranked[at, : len(answer.items)] = np.array(answer.items, np.int64) - 1
    return _mean_ndcg(ranked, held, planted)


def by_chance(planted: PlantedFactors, wanted: Interactions, among: NDArray[np.int64], seed: int = 0) -> float:
    """As `quality`, of items drawn at random from the rows `among`."""
    held = _held(planted, wanted)
    rng = np.random.default_rng(seed)
    ranked = np.stack([rng.choice(among, min(K, len(among)), replace=False) for _ in held.users])
    return _mean_ndcg(np.pad(ranked, ((0, 0), (0, K - ranked.shape[1])), constant_values=-1), held, planted)


def same_category(scorer: Any, planted: PlantedFactors) -> float:
    """Share of each item's ten most similar ones that are of its category."""
    found = []
    for row, category in enumerate(planted.categories.tolist()):
        (answer,) = scorer.recommend(Query(similar_to=row + 1, k=K))
        found.append((planted.categories[np.array(answer.items, np.int64) - 1] == category).mean())
    return float(np.mean(found))


def _held(planted: PlantedFactors, wanted: Interactions) -> Held:
    count = len(planted.dataset.item_ids)
    return Held.of(pairs(wanted, count), count)


def _mean_ndcg(ranked: NDArray[np.int64], held: Held, planted: PlantedFactors) -> float:
    hits = hits_of(ranked, held.items, held.indptr, len(planted.dataset.item_ids))
    return float(ndcg(hits, np.diff(held.indptr)).mean())


def _say_nothing(step: str, done: int, total: int) -> None:
    pass


# -- what is printed ----------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.planted", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many data sets (default 3)")
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--items", type=int, default=2_000)
    asked = parser.parse_args(argv)
    sizes = {"users": asked.users, "items": asked.items}
    seeds = range(7, 7 + asked.seeds)
    _table(
        ["seed", "popular", "als", "generating factors", "als / generating", "regularization", "seconds"], [_als(sizes, s) for s in seeds]
    )
    _table(
        [
            "seed",
            "cold items: random",
            "popular",
            "features",
            "generating factors",
            "features / random",
            "whole catalogue: random",
            "features",
        ],
        [_cold_items(sizes, s) for s in seeds],
    )
    _table(["seed", "cold users: popular", "features", "generating factors", "features / popular"], [_cold_users(sizes, s) for s in seeds])
    _table(["seed", "same category: chance", "text alone", "text and categories"], [_content(sizes, s) for s in seeds])
    return 0


def _als(sizes: dict[str, int], seed: int) -> list[Any]:
    planted = plant_factors(**sizes, seed=seed)
    began = time.monotonic()
    als = trained("als", planted.dataset)
    seconds = time.monotonic() - began
    found, best = (quality(each, planted, planted.held) for each in (als, of_truth(planted)))
    popular = quality(trained("popular", planted.dataset), planted, planted.held)
    return [seed, popular, found, best, found / best, round(als.details["regularization"]), round(seconds)]


def _cold_items(sizes: dict[str, int], seed: int) -> list[Any]:
    planted = plant_factors(**sizes, seed=seed, cold_share=0.1)
    wanted, cold = planted.of_cold_items, planted.cold_items
    features, popular = (trained(name, planted.dataset) for name in ("features", "popular"))
    chance, known, found, best = (
        by_chance(planted, wanted, cold),
        *(quality(each, planted, wanted, only=cold) for each in (popular, features, of_truth(planted))),
    )
    everything = np.arange(len(planted.dataset.item_ids))
    return [
        seed,
        chance,
        known,
        found,
        best,
        found / chance,
        by_chance(planted, wanted, everything),
        quality(features, planted, wanted),
    ]


def _cold_users(sizes: dict[str, int], seed: int) -> list[Any]:
    planted = plant_factors(**sizes, seed=seed, cold_share=0.1)
    scorers = (trained("popular", planted.dataset), trained("features", planted.dataset), of_truth(planted))
    warm = np.setdiff1d(np.arange(len(planted.dataset.item_ids)), planted.cold_items)
    popular, found, best = (quality(each, planted, planted.of_cold_users, only=warm) for each in scorers)
    return [seed, popular, found, best, found / popular]


def _content(sizes: dict[str, int], seed: int) -> list[Any]:
    planted = plant_factors(**sizes, seed=seed)
    shares = np.bincount(planted.categories) / len(planted.categories)
    texts, all_told = (trained("content", each) for each in (without_categories(planted.dataset), planted.dataset))
    return [seed, float((shares**2).sum()), same_category(texts, planted), same_category(all_told, planted)]


def _table(names: list[str], rows: list[list[Any]]) -> None:
    lines = [names, ["---"] * len(names), *([f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows)]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), end="\n\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
