"""Files that run something when they are unpickled: refused by name before anything runs, or held by the walls."""

from __future__ import annotations

import functools
import importlib
import json
import posix
import socket
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from loaders.errors import CorruptArtifact, MissingLibrary, UnknownFormat, UntrustedType
from loaders.hosting.allowed import ALLOWED, untrusted
from tests.artifacts.hostile.entry import Call
from tests.integration.hosting.bench_of_hosted import FOREVER_S, hosted, numbers, saved, svc, version
from tests.integration.hosting.naming import all_names
from tests.integration.loading.bench_of_one import bring, left_behind, open_loader

ROWS = numbers()[0]
TRIED = Path(__file__).with_name("tried.py")


def with_attribute(value: Any) -> Any:
    """A real SVC that carries something else."""
    model = pickle_copy(svc())
    model.extra_ = value
    return model


def pickle_copy(model: Any) -> Any:
    import copy

    return copy.deepcopy(model)


def in_an_object_array(value: Any) -> Any:
    array = np.empty(2, dtype=object)
    array[:] = [1, value]
    return array


class Own:
    """A class that only this test has."""

    def __init__(self) -> None:
        self.weights = [1, 2]

    def predict(self, rows: Any) -> Any:
        return [0] * len(rows)


@pytest.mark.parametrize("way", ["pickle5", "joblib", "joblib_zlib"])
@pytest.mark.parametrize("inside", [lambda value: value, in_an_object_array], ids=["plain", "object_array"])
async def test_what_is_not_on_the_list_is_named_and_does_not_run(way: str, inside: Any, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    model = with_attribute(inside([Call(posix.system, f"touch {marker}"), Call(importlib.import_module, "this")]))
    async with open_loader(tmp_path) as loader:
        with pytest.raises(UntrustedType) as caught:
            await bring(loader, saved(model, tmp_path, way))
        assert caught.value.detail["classes"] == ["posix.system", "importlib.import_module"]
        assert 'trust = "any"' in caught.value.message and "[loading]" in caught.value.message
        assert not marker.exists() and left_behind(loader) == []


async def test_what_the_reading_did_not_see_is_refused_when_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defaultdict's factory is no data. The child asks for itself."""
    import collections

    marker = tmp_path / "ran"
    monkeypatch.setattr("loaders.loader.untrusted", lambda classes: [])
    forged: list[Any] = [collections.defaultdict(functools.partial), Call(posix.system, f"touch {marker}")]  # type: ignore[arg-type]
    for value in forged:
        async with open_loader(tmp_path) as loader:
            with pytest.raises(UntrustedType, match=r"functools\.partial|posix\.system"):
                await bring(loader, saved(with_attribute(in_an_object_array(value)), tmp_path, "joblib"))
    assert not marker.exists()


async def test_a_class_of_one_s_own_needs_any(tmp_path: Path) -> None:
    async with open_loader(tmp_path) as loader:
        with pytest.raises(UntrustedType, match=r"test_trust\.Own"):
            await bring(loader, saved(Own(), tmp_path))


async def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"\x80\x02cxgboost.sklearn\nXGBClassifier\n)\x81}X\x01\x00\x00\x00aK\x01sb.")
    async with open_loader(tmp_path, trust="any") as loader:
        with pytest.raises(MissingLibrary, match="pip install xgboost"):
            await bring(loader, path)
        path.write_bytes(b"\x80\x02csklearn.svm._classes\nSVX\n)\x81}X\x01\x00\x00\x00aK\x01sb.")
        with pytest.raises(MissingLibrary, match=r"scikit-learn has no sklearn\.svm\._classes\.SVX"):
            await bring(loader, path)


async def test_what_a_call_returned_is_no_model(tmp_path: Path) -> None:
    async with open_loader(tmp_path, trust="any") as loader:
        with pytest.raises(UnknownFormat):
            await bring(loader, saved(Call(posix.system, "true"), tmp_path))


# -- any: only the walls ------------------------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("of another model")
    return path


async def test_the_walls_hold_what_runs(tmp_path: Path, secret: Path) -> None:
    """`tried.attempts` is called by the pickle; what came of each deed comes back as a class label."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        deeds = [str(tmp_path), str(secret), str(listener.getsockname()[1])]
        model = with_attribute(None)
        code = f"exec(compile({TRIED.read_text()!r}, 'tried', 'exec'), globals()) or attempts(*{deeds!r})"
        model.classes_ = Call(np.array, Call(eval, code))
        async with open_loader(tmp_path, trust="any") as loader, version(loader, saved(model, tmp_path)) as loaded:
            walls = set(loaded.load["walls"])
            found = dict(json.loads(label) for label in loaded.details["classes"])
    assert {"rlimit", "no_new_privs"} <= walls
    if "landlock" in walls:
        assert {found[deed] for deed in ("read", "write", "list", "unlink")} == {"EACCES"}, found
    if "seccomp" in walls:
        assert {found[deed] for deed in ("fork", "exec", "socket", "connect")} == {"EPERM"}, found
    assert found["allocate"] == "MemoryError" and secret.exists() and not (tmp_path / "written").exists()


async def test_unpickling_that_raises_is_the_artifact_s_fault(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    async with open_loader(tmp_path, trust="any") as loader:
        with pytest.raises(CorruptArtifact, match="PermissionError"):
            await bring(loader, saved(with_attribute(Call(open, str(marker), "w")), tmp_path))
    assert not marker.exists()


# -- the list -----------------------------------------------------------------------------------------------------------


def test_the_list_has_what_scikit_learn_s_estimators_name() -> None:
    missing = all_names() - ALLOWED
    assert not missing, "python -m tests.integration.hosting.naming prints the table anew"


def test_every_name_on_the_list_exists_and_none_is_a_prefix() -> None:
    for module, name in ALLOWED - {pair for pair in ALLOWED if pair[0] in ("__builtin__", "copy_reg")}:
        if not module.startswith("numpy.core."):  # of numpy 1; numpy 2 warns of them
            assert hasattr(importlib.import_module(module), name), f"{module} {name}"
        assert name and "." not in name and "*" not in name


def test_nothing_that_runs_what_it_is_given_is_on_the_list() -> None:
    dangerous = ["builtins.getattr", "builtins.eval", "builtins.exec", "builtins.__import__", "builtins.open", "builtins.type"]
    dangerous += ["functools.partial", "operator.attrgetter", "operator.methodcaller", "posix.system", "os.system", "joblib.memory.Memory"]
    dangerous += ["scipy.stats._distn_infrastructure.rv_continuous_frozen", "numpy.load", "numpy.fromfile", "joblib.load", "pickle.loads"]
    assert untrusted(dangerous) == dangerous
    assert untrusted(["sklearn.svm._classes.SVC", "nobody.Else"]) == ["nobody.Else"]


async def test_joblib_reads_object_arrays_by_the_same_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array(["ja", "nein"], dtype=object)
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier().fit(ROWS, labels[(ROWS[:, 0] > 0).astype(int)])
    joblib.dump(model, tmp_path / "x")
    async with hosted(model, tmp_path, "joblib") as scorer:
        answer = await scorer.answer(ROWS[:9].tolist(), FOREVER_S)
        assert answer.predictions == model.predict(ROWS[:9]).tolist() and answer.classes == ["ja", "nein"]
