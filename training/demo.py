"""The embedded default of `holdfast demo`: interactions in SQLite and two models trained on them, made on the first run.

Covers: what lies where, doing nothing when all of it is there, one run at a time, and the worker process. Every file is
written whole or not at all, so a file that exists is complete, and an interrupted run goes on where it stopped.
Does not cover: what the worker does (`training.demo_worker`); serving.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from config.schema import ModelSettings
from loaders.errors import MissingLibrary, failure

OnProgress = Callable[[str, int, int], None]
"""What is being done ("training als"), steps done, steps in all (0 where that is unknown)."""

_LIBRARIES = ("implicit", "joblib", "scipy", "threadpoolctl")


class DemoFailed(Exception):
    """The demo could not be made; the message is the worker's."""


@dataclass(frozen=True, slots=True)
class DemoModels:
    """Where the demo's data set and its artifacts are. `models` is artifact by model name: "als", "bpr"."""

    database: Path
    models: Mapping[str, Path]

    @classmethod
    def of(cls, folder: Path) -> DemoModels:
        """The places under `folder`; nothing need exist."""
        models = {"als": folder / "als.joblib", "bpr": folder / "bpr.pkl"}
        return cls(database=folder / "demo.db", models=MappingProxyType(models))

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to make."""
        return all(path.exists() for path in (self.database, *self.models.values()))

    def settings(self) -> tuple[ModelSettings, ...]:
        """The models as the server wants them: from their files, picked up again when replaced."""
        return tuple(ModelSettings(name=name, source=str(path.absolute()), watch=True) for name, path in self.models.items())


def prepare(folder: Path, *, on_progress: OnProgress) -> DemoModels:
    """Make what is missing of the demo under `folder`, in a process of its own; blocks for some seconds on the first run.

    Raises MissingLibrary without the training stack, DiskFull, DemoFailed, OSError. On any exception, KeyboardInterrupt
    included, the worker is gone before it is raised.
    """
    demo = DemoModels.of(folder)
    if demo.is_complete:
        return demo
    missing = [library for library in _LIBRARIES if find_spec(library) is None]
    if missing:
        raise MissingLibrary(f'the demo trains its models with {missing[0]}: pip install "holdfast[train]"', libraries=missing)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder, on_progress) as lock:
        if not demo.is_complete:
            _run_worker(folder, lock, on_progress)
    return demo


@contextmanager
def _locked(folder: Path, on_progress: OnProgress) -> Iterator[int]:
    """Hold the folder's lock, waiting for another run to end; gives its descriptor. It dies with its holders."""
    descriptor = os.open(folder / ".demo.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_progress("waiting for another run", 0, 0)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _run_worker(folder: Path, lock: int, on_progress: OnProgress) -> None:
    root = str(Path(__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": root if not inherited else f"{root}{os.pathsep}{inherited}",
    }
    # -P: a folder named `config` or `models` where the user stands must not shadow ours. The lock is inherited, so that
    # it holds until the worker is gone too, should this process be killed. A session of its own: Ctrl-C reaches the
    # worker through us, once.
    command = [sys.executable, "-P", "-m", "training.demo_worker", str(folder.absolute())]
    worker = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=(lock,), start_new_session=True, text=True
    )
    failed: tuple[str | None, str] | None = None
    with worker:
        try:
            for line in worker.stdout or ():
                match json.loads(line):
                    case ["progress", str(stage), int(done), int(total)]:
                        on_progress(stage, done, total)
                    case ["failed", (str() | None) as type, str(message)]:
                        failed = (type, message)
        except BaseException:
            worker.terminate()
            raise
    if failed is not None:
        type, message = failed
        raise DemoFailed(message) if type is None else failure(type, message)
    if worker.returncode != 0:
        raise DemoFailed(f"the training process ended with {worker.returncode}")
