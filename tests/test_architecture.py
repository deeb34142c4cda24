"""The import law: which room may know which, what the server process must not hold, and that every module stands alone.

Each rule is shown a small tree that breaks it, because a rule that cannot fail guards nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import (
    ROOMS,
    TRAINING_STACK,
    against_the_direction,
    heavy_at_the_top,
    impure,
    lifecycle_beyond_its_walls,
    modules_of,
    pack_outside_the_child,
    unpickling_in_the_server,
    web_outside_service,
)
from tests.support import ROOT, run_python

PURE = ("service.lifecycle.machine", "service.lifecycle.policy", "service.lifecycle.state")


def purity(root: Path) -> list[str]:
    return impure(root, *PURE)


Rule = Callable[[Path], list[str]]
RULES: dict[Rule, list[dict[str, str]]] = {
    against_the_direction: [
        {"config/a.py": "import models"},
        {"models/a.py": "def f():\n    from loaders.x import y"},
        {"loaders/a/b.py": "from training import x"},
        {"training/a.py": "import service.app"},
    ],
    lifecycle_beyond_its_walls: [
        {"service/lifecycle/a.py": "import aiohttp"},
        {"service/lifecycle/a.py": "def f():\n    import numpy.linalg"},
        {"service/lifecycle/a.py": "from service.routes import x"},
        {"service/lifecycle/a.py": "from ..status import x"},
        {"service/lifecycle/a.py": "from .. import status"},
    ],
    purity: [
        {"service/lifecycle/machine.py": "import time"},
        {"service/lifecycle/policy.py": "from os import environ"},
        {"service/lifecycle/machine.py": "from .moves import x", "service/lifecycle/moves.py": "from asyncio import sleep"},
        {"service/lifecycle/machine.py": "from . import moves", "service/lifecycle/moves.py": "import random"},
    ],
    pack_outside_the_child: [
        {"models/factors/pack.py": "", "service/a.py": "from models.factors import pack"},
        {"models/factors/pack.py": "", "loaders/loader.py": "import models.factors.pack"},
        {"models/factors/pack.py": "", "models/factors/score.py": "from .pack import x"},
        {"models/packing.py": "", "loaders/loader.py": "from models.packing import x"},
        {"models/frames.py": "from .packing import x", "models/trees/score.py": "from models.frames import x"},
        {"models/frames.py": "from .packing import x", "models/a.py": "from . import frames", "service/a.py": "from models.a import x"},
    ],
    heavy_at_the_top: [{"training/a.py": "import scipy.sparse"}, {"loaders/a.py": "from joblib import load"}],
    web_outside_service: [
        {"loaders/a.py": "from aiohttp import web"},
        {"loaders/a.py": "import aiohttp.web_response\nimport aiohttp\naiohttp.web.Response"},
        {"training/a.py": "from aiohttp.web import Response"},
    ],
    unpickling_in_the_server: [
        {"service/a.py": "import pickle"},
        {"loaders/loader.py": "def f():\n    from joblib import load"},
        {"models/a.py": "import shelve"},
    ],
}
rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@rules
def test_the_rule_is_kept(rule: Rule) -> None:
    assert rule(ROOT) == []


@pytest.mark.parametrize(("rule", "files"), [(rule, files) for rule, trees in RULES.items() for files in trees])
def test_the_rule_can_be_broken(rule: Rule, files: dict[str, str], tmp_path: Path) -> None:
    whole = {"service/lifecycle/__init__.py": "", **{f"{module.replace('.', '/')}.py": "" for module in PURE}, **files}
    plant(tmp_path, dict.fromkeys(whole, ""))
    assert rule(tmp_path) == []
    plant(tmp_path, whole)
    assert len(rule(tmp_path)) >= 1


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_rooms_are_all_there() -> None:
    assert {name.partition(".")[0] for name in modules_of(ROOT)} == set(ROOMS)


IMPORT_AND_LIST = (
    "import importlib, json, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(json.dumps(list(sys.modules)))"
)


def loaded_after(*modules: str) -> set[str]:
    done = run_python(IMPORT_AND_LIST, *modules, flags=("-W", "error"))
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_server_holds_neither_the_training_stack_nor_what_unpickles() -> None:
    loaded = loaded_after("service.app", "service.cli", "service.server")
    assert "service.app" in loaded
    assert sorted(name for name in loaded if name.partition(".")[0] in TRAINING_STACK) == []
    childs = {"loaders.child", "loaders.reading", "loaders.formats.pickle", "loaders.formats.joblib", "models.packing"}
    childs |= {"loaders.hosting.child", "loaders.hosting.unpickling", "loaders.hosting.rules", "loaders.hosting.estimator"}
    assert sorted(name for name in loaded if name in childs or (name.startswith("models.") and name.endswith(".pack"))) == []


def test_the_lifecycle_runs_without_http_and_arrays() -> None:
    lifecycle = [name for name in modules_of(ROOT) if f"{name}.".startswith("service.lifecycle.")]
    loaded = loaded_after(*lifecycle)
    assert {"aiohttp", "numpy", "service.routes"} & loaded == set()


# A fork a module: each starts as clean of our modules as a new interpreter, without paying for one.
EACH_ALONE = """
import importlib, os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork beside other threads is a warning
import aiohttp, numpy
failed = []
for name in sys.argv[1:]:
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        failed.append(name)
print(" ".join(failed))
"""


def cannot_stand_alone(python: str, names: list[str]) -> str:
    done = run_python(EACH_ALONE, *names, flags=("-W", "error", "-B"), python=python, deadline_s=280)
    assert done.returncode == 0, done.stderr
    return f"{done.stdout}{done.stderr}".strip()


def standing() -> list[str]:
    return [name for name in modules_of(ROOT) if not name.endswith("__main__")]


def test_every_module_imports_alone() -> None:
    assert cannot_stand_alone(sys.executable, standing()) == ""


def test_every_module_imports_alone_without_the_extras(base_python: Path) -> None:
    absent = run_python(
        "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])",
        *TRAINING_STACK,
        python=str(base_python),
    )
    assert absent.stdout.strip() == "[]", "the base install must not have the training stack"
    assert cannot_stand_alone(str(base_python), standing()) == ""


def test_a_module_that_cannot_stand_alone_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leans.py").write_text("import warnings\nwarnings.warn('old', DeprecationWarning)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert cannot_stand_alone(sys.executable, ["config.schema", "leans"]).startswith("leans\n")
