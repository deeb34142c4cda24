"""What failed and is tried again does not cost the download again."""

from __future__ import annotations

from pathlib import Path

import pytest

import loaders.process
from config.schema import ModelSettings
from loaders.errors import ChildCrashed, CorruptArtifact
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.files import FileServer, Served

from .bench_of_one import left_behind, open_loader

KILLED = ("-I", str(Path(__file__).with_name("hostile_child.py")), "killed")


async def test_an_artifact_whose_child_died_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(als_dict("int"), tmp_path / "model", "pickle5").read_bytes()
    async with open_loader(tmp_path) as loader, FileServer({"/m": Served(content)}) as server:
        model = ModelSettings(name="m", source=f"{server.url}/m")
        with monkeypatch.context() as patched:
            patched.setattr(loaders.process, "CHILD", KILLED)
            for _ in range(2):
                artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
                assert artifact is not None
                with pytest.raises(ChildCrashed):
                    await loader.load(model, artifact, on_phase=lambda phase, reason: None)
        artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
        assert artifact is not None
        version = await loader.load(model, artifact, on_phase=lambda phase, reason: None)
        await version.close()
        assert server.body_bytes == len(content)


async def test_what_changed_meanwhile_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(als_dict("int"), tmp_path / "model", "pickle5").read_bytes()
    async with open_loader(tmp_path) as loader, FileServer({"/m": Served(content)}) as server:
        model = ModelSettings(name="m", source=f"{server.url}/m")
        with monkeypatch.context() as patched:
            patched.setattr(loaders.process, "CHILD", KILLED)
            artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
            assert artifact is not None
            with pytest.raises(ChildCrashed):
                await loader.load(model, artifact, on_phase=lambda phase, reason: None)
        server.files["/m"] = Served(content[:-100])
        artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
        assert artifact is not None
        with pytest.raises(CorruptArtifact):
            await loader.load(model, artifact, on_phase=lambda phase, reason: None)
        assert left_behind(loader) == []


async def test_clear_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders.process, "CHILD", KILLED)
    content = write(als_dict("int"), tmp_path / "model", "pickle5").read_bytes()
    async with open_loader(tmp_path) as loader, FileServer({"/m": Served(content)}) as server:
        model = ModelSettings(name="m", source=f"{server.url}/m")
        artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
        assert artifact is not None
        with pytest.raises(ChildCrashed):
            await loader.load(model, artifact, on_phase=lambda phase, reason: None)
        assert len(left_behind(loader)) == 1
        await loader.clear("other")
        assert len(left_behind(loader)) == 1
        await loader.clear("m")
        assert left_behind(loader) == []


@pytest.mark.parametrize("way", ["pickle5", "joblib"])
async def test_clear_leaves_what_serves_its_warm_restart(way: str, tmp_path: Path) -> None:
    content = write(als_dict("int"), tmp_path / "model", way).read_bytes()
    async with open_loader(tmp_path) as loader, FileServer({"/m": Served(content)}) as server:
        model = ModelSettings(name="m", source=f"{server.url}/m")
        artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
        assert artifact is not None
        version = await loader.load(model, artifact, on_phase=lambda phase, reason: None)
        freed = await loader.clear(None)
        assert (freed > 0) == (way == "pickle5")  # joblib's arrays are mapped in the artifact itself
        again = await loader.restore(model)
        assert again is not None and again.version == version.version
        await again.close()
        await version.close()
        await loader.clear(None)
        assert left_behind(loader) == [] and await loader.restore(model) is None
