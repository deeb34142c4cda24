"""The process in which the demo's data and models are made: `python -m training.demo_worker FOLDER`.

A process of its own, so that the server that starts it never holds the training stack and BLAS is told to use one thread
before numpy is imported. Covers: the steps still missing, and what is told to the parent, one JSON list a line:
["progress", stage, done, total] or ["failed", type or null, message]. Ends with 0 or 1.
Does not cover: locking the folder and starting this process (`training.demo`).
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import signal
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.whole_files import whole_file

Tell = Callable[..., None]


def make(database: Path, als: Path, bpr: Path, tell: Tell) -> None:
    """Make what is missing. Raises OSError, sqlite3.Error, ImportError."""
    # The heavy imports stand here, so that the module imports alone without them.
    from training.interactions import read_interactions, write_database
    from training.planted import plant
    from training.recommenders import fit_als, fit_bpr, model_dict

    if not database.exists():
        tell("progress", "making interactions", 0, 1)
        with whole_file(database) as partial:
            write_database(partial, plant())
        tell("progress", "making interactions", 1, 1)
    if als.exists() and bpr.exists():
        return
    interactions = read_interactions(database)
    trained_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not als.exists():
        model = fit_als(interactions.user_items, lambda done, total: tell("progress", "training als", done, total))
        save_joblib(als, model_dict(model, interactions, trained_at))
    if not bpr.exists():
        model = fit_bpr(interactions.user_items, lambda done, total: tell("progress", "training bpr", done, total))
        save_pickle(bpr, model_dict(model, interactions, trained_at))


def save_joblib(path: Path, artifact: dict[str, Any]) -> None:
    """Write an uncompressed joblib file, whole or not at all."""
    import joblib

    with whole_file(path) as partial:
        joblib.dump(artifact, partial)


def save_pickle(path: Path, artifact: dict[str, Any]) -> None:
    """Write a pickle of protocol 5, whole or not at all."""
    with whole_file(path) as partial, partial.open("wb") as file:
        pickle.dump(artifact, file, protocol=5)


def _tell(*words: object) -> None:
    print(json.dumps(words), flush=True)  # noqa: T201 - the pipe to the parent


def main(folder: str) -> int:
    """Make what is missing in `folder`; the exit code."""
    from training.demo import DemoModels

    target = DemoModels.of(Path(folder))
    try:
        make(target.database, target.models["als"], target.models["bpr"], _tell)
    except ImportError as error:
        _tell("failed", "missing_library", f'the demo trains its models with {error.name}: pip install "holdfast[train]"')
    except BrokenPipeError:
        # The parent was killed. Nobody listens, and the interpreter must not complain that it cannot flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _tell("failed", "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None, str(error))
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
        _tell("failed", "disk_full" if full else None, f"{target.database}: {error}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # An exception, so that the file being written is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1]))
