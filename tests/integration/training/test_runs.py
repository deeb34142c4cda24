"""Real runs in their capped process: published, skipped, refused, forced, failed, killed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import GIB, MIB, DataSettings, TrainingSettings
from loaders.errors import ChildCrashed, MemoryCapExceeded
from loaders.published import RECORD_FILE, STAGING, PublishedFolder
from tests.integration.training.drawing import planted_data, shuffled, without_times, write_sqlite
from training.dataset.base import Dataset
from training.errors import BadParameter, DataUnavailable, PartUnpublished, TrainingTimeout, Untrainable
from training.running.plan import Plan
from training.running.process import Progress, TrainingChild, train
from training.running.runs import PHASES
from training.versions.publish import clean, publish

ALS = {"factors": 16, "regularization": 30.0, "sweeps": 5}
FIRST, SECOND, THIRD = (f"20261121T00000{number}-00000{number}" for number in (1, 2, 3))


@dataclass
class Bench:
    """A store, a database, and the runs over them. `told`: the phases of the last run."""

    store: Path
    database: Path
    lock_fd: int
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(name="als", algorithm="als", parameters=ALS, memory_bytes=GIB, timeout_s=120.0)
    )
    progress: Progress = field(default_factory=Progress)
    frames: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def published(self) -> PublishedFolder:
        return PublishedFolder(self.store, self.training.name)

    def staging(self, run_id: str) -> Path:
        return self.published.path / f"{STAGING}{run_id}"

    def plan(self, run_id: str, **changes: Any) -> Plan:
        data = DataSettings(url=f"sqlite:///{self.database}", attempts=1)
        plan = Plan(run_id, self.store, data, self.training, champion=self.published.current(), code_version="test")
        return replace(plan, **changes)

    async def run(self, run_id: str, **changes: Any) -> Mapping[str, Any]:
        """The "ok" frame of a run; nothing is published yet."""
        self.frames = []
        self.progress = Progress()
        await train(self.plan(run_id, **changes), self.lock_fd, self.progress, self.frames.append)
        return self.progress.outcome

    async def publish(self, run_id: str, **changes: Any) -> Mapping[str, Any]:
        """As `run`, and what it staged becomes current."""
        outcome = await self.run(run_id, **changes)
        assert outcome["outcome"] == "accepted", outcome
        publish(self.store, self.training.name, self.staging(run_id), 5)
        return outcome

    def write(self, dataset: Dataset) -> None:
        write_sqlite(self.database, dataset)

    @property
    def warnings(self) -> list[str]:
        return [frame["message"] for frame in self.frames if frame["kind"] == "warning"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = tmp_path / "store"
    store.mkdir()
    fd = os.open(store / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    found = Bench(store, tmp_path / "data.db", fd)
    found.write(planted_data(share=0.8))
    yield found
    os.close(fd)


def rule(outcome: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    (found,) = [each for each in outcome["verdict"]["rules"] if each["rule"] == name]
    assert isinstance(found, dict)
    return found


# -- how runs end ------------------------------------------------------------------------------------------------------


async def test_from_a_database_to_a_version_with_its_record(bench: Bench) -> None:
    outcome = await bench.publish(FIRST)
    assert [frame["phase"] for frame in bench.frames if frame["kind"] == "phase"] == list(PHASES)
    assert any(frame["kind"] == "progress" and frame["step"] == "fitting" for frame in bench.frames)
    assert {"rlimit", "no_new_privs"} <= set(outcome["walls"])
    assert "netns" not in outcome["walls"]  # a database may be anywhere
    record = bench.published.record(FIRST)
    assert bench.published.current() == FIRST
    assert (record.algorithm, record.family, record.split, record.code_version) == ("als", "factors", "time", "test")
    assert record.bytes == outcome["bytes"] == bench.published.model_of(FIRST).stat().st_size
    assert record.sha256 == outcome["sha256"]
    assert record.metrics == outcome["metrics"]
    assert set(record.metrics) == {"precision@10", "recall@10", "ndcg@10", "map@10", "hit_rate@10", "coverage@10"}
    assert record.parameters["factors"] == 16
    assert record.fingerprint == outcome["fingerprint"]
    assert record.verdict == outcome["verdict"]
    assert record.cut_at == outcome["verdict"]["cut_at"]
    assert record.notes["holdout"] == 0.1
    assert record.peak_bytes
    assert outcome["peak_bytes"] >= record.peak_bytes > 10 * MIB
    assert outcome["verdict"]["value"] > 5 * outcome["verdict"]["popular"] > 0
    assert any("interactions held out by time" in line for line in bench.progress.log)


async def test_the_same_data_and_parameters_are_skipped_and_nothing_else_is(bench: Bench) -> None:
    first = await bench.run(FIRST)
    last = first["fingerprint"]
    again = await bench.run(SECOND, last_fingerprint=last)
    assert (again["outcome"], again["fingerprint"]) == ("skipped", last)
    assert "last run" in again["reason"]
    assert not bench.staging(SECOND).exists()
    forced = await bench.run(SECOND, last_fingerprint=last, forced_by="ada")
    assert forced["outcome"] == "accepted"
    assert forced["verdict"]["forced_by"] is None  # nobody had to
    bench.training = replace(bench.training, gate={"minimum": 0.01})
    assert (await bench.run(SECOND, last_fingerprint=last))["outcome"] == "accepted"
    bench.write(planted_data(share=0.81))
    bench.training = replace(bench.training, gate={})
    assert (await bench.run(SECOND, last_fingerprint=last))["outcome"] == "accepted"


async def test_shuffled_labels_are_refused_with_figures_and_change_nothing(bench: Bench) -> None:
    await bench.publish(FIRST)
    before = sorted(bench.published.path.rglob("*"))
    bench.write(shuffled(planted_data()))
    outcome = await bench.run(SECOND)
    assert outcome["outcome"] == "refused"
    assert outcome["verdict"]["accepted"] is False
    assert rule(outcome, "popular")["passed"] is False
    assert "times as much" in rule(outcome, "popular")["message"]
    assert not (bench.staging(SECOND) / RECORD_FILE).exists()
    clean(bench.store, "als")
    assert sorted(bench.published.path.rglob("*")) == before
    forced = await bench.run(THIRD, forced_by="ada")
    assert (forced["outcome"], forced["verdict"]["forced_by"]) == ("accepted", "ada")
    assert bench.published.current() == FIRST


async def test_a_challenger_that_is_equal_within_noise_is_accepted(bench: Bench) -> None:
    await bench.publish(FIRST)
    bench.training = replace(bench.training, seed=1)  # other random numbers, the same data
    outcome = await bench.run(SECOND)
    met = outcome["verdict"]["champion"]
    assert outcome["outcome"] == "accepted"
    assert met["version"] == FIRST
    assert met["users"] == outcome["verdict"]["users"]
    assert 0 < met["standard_error"] < 0.05
    assert abs(met["difference"]) < 0.05


async def test_a_worse_challenger_on_honest_data_is_refused_by_what_serves(bench: Bench) -> None:
    await bench.publish(FIRST)
    bench.training = replace(bench.training, parameters={**ALS, "factors": 1})
    outcome = await bench.run(SECOND)
    assert outcome["outcome"] == "refused"
    assert rule(outcome, "champion")["passed"] is False
    assert "worse by" in rule(outcome, "champion")["message"]


async def test_versions_meet_on_what_is_later_than_both_cuts(bench: Bench) -> None:
    bench.training = replace(bench.training, holdout=0.05)
    await bench.publish(FIRST)
    bench.training = replace(bench.training, holdout=0.3)
    outcome = await bench.run(SECOND)
    assert outcome["verdict"]["cut_at"] < bench.published.record(FIRST).cut_at
    assert 0 < outcome["verdict"]["champion"]["users"] < outcome["verdict"]["users"]


async def test_without_times_the_same_pairs_are_held_out_and_versions_meet(bench: Bench) -> None:
    bench.write(without_times(planted_data(share=0.8)))
    await bench.publish(FIRST)
    assert bench.published.record(FIRST).split == "random"
    assert any("at random, since the interactions have no times" in line for line in bench.progress.log)
    bench.write(without_times(planted_data()))
    outcome = await bench.publish(SECOND)
    assert outcome["verdict"]["split"] == "random"
    assert outcome["verdict"]["champion"]["users"] > 100
    bench.write(planted_data())
    timed = await bench.run(THIRD)
    assert timed["verdict"]["champion"] is None
    assert "split in another way (random, this one time)" in rule(timed, "champion")["message"]


async def test_what_serves_but_cannot_be_opened_is_told_of_and_stops_nobody(bench: Bench) -> None:
    await bench.publish(FIRST)
    bench.published.model_of(FIRST).write_bytes(b"nothing")
    outcome = await bench.run(SECOND)
    assert outcome["outcome"] == "accepted"
    assert rule(outcome, "champion")["passed"] is None
    (warning,) = bench.warnings
    assert FIRST in warning
    assert "cannot be asked" in warning


async def test_a_first_data_set_too_small_to_measure_can_start(bench: Bench) -> None:
    small = planted_data()
    bench.write(replace(small, interactions=small.interactions.take(np.arange(2))))
    bench.training = replace(bench.training, algorithm="popular", parameters={})
    outcome = await bench.publish(FIRST)
    assert "nothing can be measured" in rule(outcome, "minimum")["message"]
    assert outcome["metrics"] == {}
    assert (await bench.run(SECOND))["outcome"] == "refused"  # but what serves is not replaced unmeasured


async def test_the_floor_is_not_asked_to_beat_itself(bench: Bench) -> None:
    bench.training = replace(bench.training, algorithm="popular", parameters={})
    outcome = await bench.run(FIRST)
    assert outcome["outcome"] == "accepted"
    assert outcome["verdict"]["value"] == pytest.approx(outcome["verdict"]["popular"])
    assert rule(outcome, "popular")["passed"] is None


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_parameter_that_is_none_is_named_before_anything_is_read(bench: Bench) -> None:
    bench.training = replace(bench.training, parameters={"factor": 8})
    with pytest.raises(BadParameter, match="no parameter 'factor'"):
        await bench.run(FIRST)
    assert not bench.frames


async def test_no_interactions_are_untrainable(bench: Bench) -> None:
    nothing = planted_data()
    bench.write(replace(nothing, interactions=nothing.interactions.take(np.arange(0))))
    with pytest.raises(Untrainable, match="no interactions"):
        await bench.run(FIRST)


async def test_a_part_that_has_published_nothing_is_named(bench: Bench) -> None:
    bench.training = replace(bench.training, name="both", algorithm="hybrid", parameters={})
    with pytest.raises(PartUnpublished, match="texts, the content part"):
        await bench.run(FIRST, parts={"content": "texts", "collaborative": "als"})


async def test_more_than_the_cap_is_a_cap_hit(bench: Bench) -> None:
    bench.training = replace(bench.training, parameters={**ALS, "factors": 2048}, memory_bytes=48 * MIB)
    with pytest.raises(MemoryCapExceeded, match="training"):
        await bench.run(FIRST)
    assert bench.published.current() is None


async def test_a_run_over_its_time_is_ended(bench: Bench) -> None:
    bench.training = replace(bench.training, timeout_s=0.05)
    with pytest.raises(TrainingTimeout, match="time limit"):
        await bench.run(FIRST)


async def test_a_database_that_is_not_there_is_named_without_its_password(bench: Bench) -> None:
    data = DataSettings(url="postgresql://ada:s3cretword@127.0.0.1:1/shop", attempts=1)
    with pytest.raises(DataUnavailable) as caught:
        await bench.run(FIRST, data=data)
    assert "s3cretword" not in f"{caught.value} {caught.value.detail} {bench.progress.log} {bench.frames}"


# -- killed ------------------------------------------------------------------------------------------------------------


async def kill_at(bench: Bench, phase: str) -> None:
    """A run whose process is killed when it tells of a phase."""
    async with TrainingChild(bench.plan(SECOND), bench.lock_fd) as child:

        def hear(frame: dict[str, Any]) -> None:
            if frame.get("phase") == phase:
                child.kill()

        with pytest.raises(ChildCrashed, match="SIGKILL"):
            await child.run(bench.plan(SECOND).to_frame(), 120.0, hear)


@pytest.mark.parametrize("phase", PHASES)
async def test_killed_in_any_phase_it_leaves_nothing_but_what_the_next_run_removes(bench: Bench, phase: str) -> None:
    await bench.publish(FIRST)
    before = sorted(bench.published.path.rglob("*"))
    bench.training = replace(bench.training, seed=1)
    await kill_at(bench, phase)
    left = [path for path in sorted(bench.published.path.rglob("*")) if path not in before]
    assert all(bench.staging(SECOND) in (path, path.parent) for path in left)
    assert bench.published.names() == [FIRST]
    assert bench.published.current() == FIRST
    await bench.publish(SECOND)  # the same name: what is left is in nobody's way
    assert bench.published.current() == SECOND
    assert not bench.staging(SECOND).exists()
