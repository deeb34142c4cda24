"""What it costs that users did something lately: `python -m bench.recent [--items 20000] [--factors 128] [--runs 300]`.

Prints, for each way of folding in, an answer (k=10) for a user with 10 recent items beside the answer for the same user without any, as
a ratio of medians of calls by turns, and both in microseconds; and the same for a user whom the model does not know, beside a known
one. Users have 100 items; weights are 1. Does not cover: HTTP, posting (`bench` has no database).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

from bench.scoring import by_turns
from models.base import Query
from models.bundle import Bundle
from models.factors.score import open_scorer as open_factors
from models.neighbours.score import open_scorer as open_neighbours
from models.recent import Recent
from models.recommender import Recommender
from training.dataset.base import Dataset, Fingerprint, Interactions
from training.trainers.bundles import Cells, factors_bundle, neighbours_bundle

USERS, HISTORY, LATELY = 200, 100, 10


def data_of(items: int, seed: int = 0) -> tuple[Dataset, Cells]:
    """Everybody has some items, the latest ones of which nobody has."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.choice(items - LATELY, HISTORY, replace=False) for _ in range(USERS)]).astype(np.int32)
    users = np.repeat(np.arange(USERS, dtype=np.int32), HISTORY)
    interactions = Interactions(users, rows, np.ones(len(rows), np.float32))
    dataset = Dataset(list(range(USERS)), list(range(items)), interactions, Fingerprint(len(rows), None, ""))
    return dataset, Cells.of(interactions, USERS, items)


def factors(fold_in: dict[str, Any], items: int, width: int) -> Bundle:
    """A model of random factors that folds in like that."""
    rng = np.random.default_rng(1)
    dataset, seen = data_of(items)
    users, matrix = (rng.normal(scale=0.1, size=(rows, width)).astype(np.float32) for rows in (USERS, items))
    if fold_in["method"] == "nnls":
        users, matrix = np.abs(users), np.abs(matrix)
    return factors_bundle(dataset, users, matrix, seen=seen, algorithm=fold_in["method"], fold_in=fold_in)


def neighbours(items: int) -> Bundle:
    """Sparse features of 30 words an item."""
    rng = np.random.default_rng(2)
    dataset, seen = data_of(items)
    words, each = 5_000, 30
    arrays: dict[str, NDArray[Any]] = {
        "features.indptr": np.arange(items + 1, dtype=np.int64) * each,
        "features.indices": np.concatenate([np.sort(rng.choice(words, each, replace=False)) for _ in range(items)]).astype(np.int32),
        "features.data": np.ones(items * each, np.float32),
        "features.scale": np.full(items, each**-0.5, np.float32),
    }
    return neighbours_bundle(dataset, "sparse features", arrays, liked="mean", seen=seen, algorithm="content", features=words)


def scorers(items: int, width: int) -> dict[str, Callable[[], Recommender]]:
    """By how they fold in."""
    return {
        "als": lambda: open_factors(factors({"method": "als", "regularization": 10.0, "alpha": 8.0}, items, width)),
        "mean (bpr)": lambda: open_factors(factors({"method": "mean", "tail": []}, items, width)),
        "nnls (nmf), 32 factors": lambda: open_factors(factors({"method": "nnls", "l1": 0.0, "l2": 0.0}, items, 32)),
        "neighbours (content)": lambda: open_neighbours(neighbours(items)),
    }


def figures(scorer: Recommender, items: int, runs: int) -> dict[str, float]:
    """Of one model."""
    lately = [Recent(items - 1 - at, 1.0, 0.0) for at in range(LATELY)]
    plain, known = Query([7]), Query([7], recent={7: lately})
    stranger = Query(["stranger"], recent={"stranger": lately})
    without, folded = by_turns(lambda: scorer.recommend(plain), lambda: scorer.recommend(known), runs)
    again, unknown = by_turns(lambda: scorer.recommend(plain), lambda: scorer.recommend(stranger), runs)
    return {
        "without_us": round(without.median * 1e6, 1),
        "folded_us": round(folded.median * 1e6, 1),
        "folded_x": round(folded.median / without.median, 2),
        "folded_quiet_x": round(folded.quiet / without.quiet, 2),
        "stranger_x": round(unknown.median / again.median, 2),
        "cost_x": round(scorer.cost(known) / scorer.cost(plain), 2),
    }


def main(words: list[str] | None = None) -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--runs", type=int, default=300)
    asked = parser.parse_args(words)
    found = {name: figures(make(), asked.items, asked.runs) for name, make in scorers(asked.items, asked.factors).items()}
    json.dump({"items": asked.items, "factors": asked.factors, "history": HISTORY, "recent": LATELY, "models": found}, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
