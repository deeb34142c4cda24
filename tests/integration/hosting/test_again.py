"""A hosted model comes back without its source: after a restart, and after the death of its process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

import pytest

from config.schema import LoadingSettings, ModelSettings, Settings, StoreSettings
from loaders.errors import UntrustedType
from loaders.loader import Loader
from service.lifecycle import ports
from service.lifecycle.supervisor import Supervisor
from tests.doubles.files import FileServer, Served
from tests.integration.hosting.bench_of_hosted import FOREVER_S, numbers, saved, svc
from tests.integration.hosting.test_trust import Own
from tests.integration.loading.bench_of_one import bring, left_behind, open_loader
from tests.support import wait_until

ROWS = numbers()[0][:3].tolist()
WANTED = svc().predict(ROWS).tolist()


class Room:
    """Admission without bounds."""

    def reserve(self, need_bytes: int) -> str | None:
        return None

    def release(self, need_bytes: int) -> None:
        pass


async def test_a_restart_starts_the_child_from_what_is_kept(tmp_path: Path) -> None:
    path = saved(svc(), tmp_path, "joblib")
    async with open_loader(tmp_path) as loader:
        first = await bring(loader, path)
        await first.close()
    path.unlink()
    async with open_loader(tmp_path) as loader:
        again = await loader.restore(ModelSettings(name="m", source=str(path)))
        assert again is not None and (again.version, again.family) == (first.version, "hosted")
        assert (await again.scorer.answer(ROWS, FOREVER_S)).predictions == WANTED
        assert again.load["peak_bytes"] > 0 and again.load["walls"]
        await again.close()
        assert await loader.restore(ModelSettings(name="m", source="/elsewhere")) is None


async def test_what_is_kept_is_trusted_no_more_than_what_comes(tmp_path: Path) -> None:
    """The operator went back to `known`: the record of the load under `any` opens no door."""
    async with open_loader(tmp_path) as loader:
        loaded = await bring(loader, saved(svc(), tmp_path))
        await loaded.close()
        kept = loader.store.kept("m")
        assert kept is not None and kept.artifact is not None
        import pickle

        (loader.store.artifacts / kept.artifact.name).write_bytes(pickle.dumps(Own()))
        from dataclasses import replace

        from loaders.cache import FileIdentity

        loader.store.keep(replace(kept, artifact=FileIdentity.of(loader.store.artifacts / kept.artifact.name)))
        with pytest.raises(UntrustedType, match="Own"):
            await loader.restore(ModelSettings(name="m", source=str(tmp_path / "model.pickle5")))


async def test_clear_leaves_what_serves_its_artifact(tmp_path: Path) -> None:
    async with open_loader(tmp_path) as loader:
        loaded = await bring(loader, saved(svc(), tmp_path))
        assert await loader.clear(None) == 0 and len(left_behind(loader)) == 2
        await loaded.close()
        assert await loader.clear(None) > 0 and left_behind(loader) == []


async def test_a_death_is_mended_without_a_download_and_even_without_the_source(tmp_path: Path) -> None:
    content = saved(svc(), tmp_path).read_bytes()
    async with FileServer({"/m": Served(content)}) as server:
        model = ModelSettings(name="m", source=f"{server.url}/m")
        loader = Loader(Settings(store=StoreSettings(path=tmp_path / "store"), loading=LoadingSettings()))
        await loader.open()
        supervisor = Supervisor({"m": model}, cast(ports.Loader, loader), Room(), drain_s=5.0)
        try:
            await supervisor.start()
            assert await supervisor.registry.wait_ready("m", FOREVER_S)
            for source in ("there", "gone"):
                if source == "gone":
                    del server.files["/m"]
                with supervisor.registry.acquire("m") as lease:
                    pid = lease.scorer.pid
                os.kill(pid, signal.SIGKILL)
                await wait_until(lambda: shown(supervisor)["status"] == "error")
                failure = shown(supervisor)["failure"]
                assert (failure["type"], failure["retryable"]) == ("child_crashed", True) and failure["next_attempt_at"]
                await wait_until(lambda: shown(supervisor)["status"] == "ready", FOREVER_S)
                with supervisor.registry.acquire("m") as lease:
                    assert lease.scorer.pid != pid
                    assert (await lease.scorer.answer(ROWS, FOREVER_S)).predictions == WANTED
                await wait_until(lambda: supervisor.registry.view("m").entry.attempt is None, FOREVER_S)
            assert server.body_bytes == len(content)
            assert [line["event"] for line in shown(supervisor)["story"]].count("died") == 2
        finally:
            await supervisor.aclose()
            await loader.aclose()


def shown(supervisor: Supervisor) -> dict[str, Any]:
    return supervisor.registry.view("m").to_json(0.0)
