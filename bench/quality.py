"""How good are the models that are trained here? `python -m bench.quality [--data DIR] [--algorithms als,ease,...]`.

Prints HR@10 and NDCG@10 of every trainer by the leave-one-out protocol (`bench.leave_one_out`), beside what others published on
the same data, the seconds that training took, its search of parameters included, and the most memory of its process. Every
trainer is the one that `holdfast train` runs, with its defaults, in a process of its own; what it makes is written to a file,
and the scorer that would serve that file is asked. Nothing but the training rows is seen by trainers, and by searches.

--data names a folder in the format of that page; without it a made-up set is drawn, whose figures compare with each other only.
What is told of the items is taken from items.csv in the folder (item_id, category or genres, and texts) where there is one;
trainers that need more than the folder has say so and are left out. Ranking 99 sampled items is known to differ from ranking the
catalogue (Krichene and Rendle, KDD 2020): it is here because the published figures are of that kind; the gate ranks everything.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

from bench.leave_one_out import LeaveOneOut, evaluate, made_up, read_folder
from loaders.bundle_file import write_bundle_file
from loaders.published import MODEL_FILE, PublishedVersion
from training.errors import TrainingError
from training.judging.opened import Known, open_version
from training.judging.split import Ground, Held, SeenItems
from training.trainers import TRAINERS, open_trainer
from training.trainers.base import Ask, Trained
from training.trainers.bundles import Cells
from training.trainers.parameters import check
from training.versions.publish import write_record

ROOT = Path(__file__).resolve().parents[1]
VERSION = "20260101T000000-000000"
PARTS = {"content": "content", "collaborative": "als"}
"""Role -> algorithm of the parts of the hybrid."""


class Published(NamedTuple):
    """A figure of somebody else, and where it stands."""

    method: str
    hit_rate: float
    ndcg: float
    source: str


_COMPARED = "Dacrema et al., RecSys 2019: FULL_RESULTS.md of RecSys2019_DeepLearning_Evaluation"
PUBLISHED = {
    (6_040, 3_706): (
        Published("TopPop", 0.4531, 0.2542, _COMPARED),
        Published("ItemKNN", 0.6596, 0.3900, _COMPARED),
        Published("UserKNN", 0.6705, 0.3908, _COMPARED),
        Published("RP3beta", 0.6715, 0.3991, _COMPARED),
        Published("NeuMF, 8 factors", 0.6725, 0.4011, _COMPARED),
        Published("PureSVD, 60 factors", 0.6896, 0.4294, _COMPARED),
        Published("iALS, 192 factors, other negatives", 0.7310, 0.4521, "irspack: examples/1-vs-100-negative.ipynb"),
        Published("iALS, 192 factors", 0.7316, 0.4543, "irspack with the flags of google-research/ials, run by us"),
    ),
    (55_187, 9_916): (
        Published("TopPop", 0.2744, 0.1412, _COMPARED),
        Published("PureSVD, 48 factors", 0.8216, 0.5188, _COMPARED),
        Published("UserKNN", 0.8610, 0.5557, _COMPARED),
        Published("NeuMF, 8 factors", 0.8657, 0.5447, _COMPARED),
        Published("RP3beta", 0.8740, 0.5650, _COMPARED),
        Published("ItemKNN", 0.8744, 0.5629, _COMPARED),
    ),
}
"""By users and items of the data: ml-1m and pinterest-20."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; 0 where everything that could be trained was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with train.rating, test.rating and test.negative")
    parser.add_argument("--algorithms", default=",".join(TRAINERS), help="which, separated by commas (default: %(default)s)")
    parser.add_argument("--users", type=int, default=6_040, help="of the made-up data")
    parser.add_argument("--items", type=int, default=3_706, help="of the made-up data")
    parser.add_argument("--memory", type=float, default=4.0, help="GiB that a trainer may plan with (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, too")
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    names = asked.algorithms.split(",")
    unknown = [name for name in names if name not in TRAINERS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(TRAINERS)}")
    if asked.store is not None:
        print(json.dumps(measured(names[0], _data(asked), asked)))
        return 0
    try:
        data = _data(asked)
    except (OSError, ValueError) as error:
        parser.error(f"--data: {error}")
    train = data.train
    print(
        f"{data.name}: {len(train.user_ids):,} users, {len(train.item_ids):,} items, {len(train.interactions):,} interactions to learn"
        f" from, {len(data.tests):,} users tested"
    )
    print(f"{'':38} {'HR@10':>7} {'NDCG@10':>8} {'seconds':>8} {'MiB':>6}", flush=True)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as store:
        for name in names:
            found[name] = _apart(name, asked, Path(store))
            _print(name, found[name])
    for row in PUBLISHED.get((len(train.user_ids), len(train.item_ids)), ()) if asked.data is not None else ():
        print(f"{row.method:38} {row.hit_rate:7.4f} {row.ndcg:8.4f} {'':15} {row.source}")
    if asked.json:
        print(json.dumps(found, indent=1))
    return 1 if any("failed" in figures for figures in found.values()) else 0


def _data(asked: argparse.Namespace) -> LeaveOneOut:
    return made_up(asked.users, asked.items, seed=asked.seed) if asked.data is None else read_folder(asked.data)


def _apart(name: str, asked: argparse.Namespace, store: Path) -> dict[str, Any]:
    """The figures of one trainer, from a process of its own: its memory is that of nothing else."""
    command = [sys.executable, "-m", "bench.quality", "--algorithms", name, "--store", str(store), "--memory", str(asked.memory)]
    command += ["--users", str(asked.users), "--items", str(asked.items), "--seed", str(asked.seed)]
    command += [] if asked.data is None else ["--data", str(asked.data.resolve())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    if done.returncode:
        return {"failed": f"its process ended with {done.returncode}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _print(name: str, figures: dict[str, Any]) -> None:
    why = figures.get("left_out") or figures.get("failed")
    if why is not None:
        print(f"{name:38} {'left out' if 'left_out' in figures else 'FAILED'}: {why}", flush=True)
        return
    chosen = ", ".join(f"{key} {value:g}" for key, value in figures["chosen"].items())
    title = f"{name} ({chosen})" if chosen else name
    print(
        f"{title[:38]:38} {figures['hit_rate']:7.4f} {figures['ndcg']:8.4f} {figures['seconds']:8.1f} {figures['peak_mib']:6.0f}",
        flush=True,
    )


def measured(name: str, data: LeaveOneOut, asked: argparse.Namespace) -> dict[str, Any]:
    """Train one and ask it; {"left_out": why} where the data cannot give such a model."""
    train = data.train
    seen = Cells.of(train.interactions, len(train.user_ids), len(train.item_ids))
    parts = {}
    if name == "hybrid":
        parts = {role: asked.store / part / VERSION for role, part in PARTS.items() if (asked.store / part / VERSION / MODEL_FILE).exists()}
    given = check(name, {})
    ask = Ask(train, seen, given, asked.seed, int(asked.memory * (1 << 30)), len(os.sched_getaffinity(0)), parts, PARTS if parts else {})
    began = time.monotonic()
    try:
        trained = open_trainer(name).fit(ask, lambda step, done, total: None)
    except TrainingError as error:
        return {"left_out": error.message}
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    file = _keep(name, trained, seconds, asked.store)
    tested = np.array(sorted({user for user, _, _ in data.tests}), np.int64)
    ground = Ground(Held(tested, np.zeros(len(tested) + 1, np.int64), np.empty(0, np.int32)), SeenItems(seen.indptr, seen.indices))
    opened = open_version(file, Known(train), ground, {role: folder / MODEL_FILE for role, folder in parts.items()})

    def scores(user: int, items: NDArray[np.int64]) -> NDArray[Any]:
        subject = opened.scorer.user(train.user_ids[user])
        rows = opened.rows[items]
        found = np.full(len(items), -np.inf)
        if subject is not None:
            found[rows >= 0] = opened.scorer.scores([subject])[0][rows[rows >= 0]]
        return found

    with np.errstate(all="ignore"):  # as when it serves: an item without a score ranks last
        hit_rate, ndcg = evaluate(data, scores)
    chosen = {key: value for key, value in trained.parameters.items() if given.get(key) is None and isinstance(value, int | float)}
    return {
        "hit_rate": hit_rate,
        "ndcg": ndcg,
        "seconds": round(seconds, 1),
        "peak_mib": round(peak),
        "chosen": chosen,
        "parameters": dict(trained.parameters),
        "notes": dict(trained.notes),
    }


def _keep(name: str, trained: Trained, seconds: float, store: Path) -> Path:
    """The file of a version as a run leaves it, for hybrids to find."""
    folder = store / name / VERSION
    folder.mkdir(parents=True)
    size, digest = write_bundle_file(folder / MODEL_FILE, trained.bundle)
    record = PublishedVersion(
        version=VERSION,
        training=name,
        algorithm=name,
        family=trained.bundle.family,
        trained_at=time.time(),
        published_at=time.time(),
        bytes=size,
        sha256=digest,
        code_version="bench",
        seconds=seconds,
        peak_bytes=None,
        split="random",
        cut_at=None,
        parameters=dict(trained.parameters),
    )
    write_record(folder, record)
    return folder / MODEL_FILE


if __name__ == "__main__":
    sys.exit(main())
