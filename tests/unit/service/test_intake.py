"""Posted interactions go into the table first, then they count; and after a start they are known again, whatever the database does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.schema import DataSettings, ModelSettings, Settings, StoreSettings
from loaders.published import RECORD_FILE
from service import intake
from service.intake import Intake, TooManyWaiting, learned_by_all
from service.recent import RecentInteractions
from tests.support import wait_until
from training.errors import DataUnavailable
from training.ingest.base import Appended, Interaction, Key, NotTaken, WrongValue

NOW = 1_772_600_000.0
ROWS = [Interaction(1, 7, 1.0, NOW - 10), Interaction(2, 8, 1.0, NOW - 20)]


@dataclass
class FakeIngest:
    """A table in memory. `failures` are raised first, one a call; `gate` closed keeps appends waiting."""

    rows: list[Interaction] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    async def append(self, rows: Sequence[Interaction], key: Key | None = None) -> Appended:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if key is not None and key.name == "again":
            return Appended(len(rows), is_duplicate=True)
        self.rows += rows
        return Appended(len(rows))

    async def recent(self, limit: int) -> AsyncGenerator[list[Interaction], None]:
        if self.failures:
            raise self.failures.pop(0)
        for row in self.rows[:limit]:
            yield [row]

    async def aclose(self) -> None:
        self.is_closed = True


class Bench:
    def __init__(self, tmp_path: Path, **models: str) -> None:
        self.ingest = FakeIngest()
        self.ingest.gate.set()
        self.recent = RecentInteractions()
        self.arrived: list[int] = []
        settings = Settings(
            store=StoreSettings(path=tmp_path),
            data=DataSettings(url="sqlite:///x"),
            models={name: ModelSettings(name, source=source) for name, source in models.items()},
        )
        self.intake = Intake(settings, self.recent, self.arrived.append, open=lambda data: self.ingest, clock=lambda: NOW)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_what_is_in_the_table_counts(bench: Bench) -> None:
    assert await bench.intake.take(ROWS) == Appended(2)
    assert bench.ingest.rows == ROWS and bench.arrived == [2] and bench.intake.taken == 2
    assert [each.item for each in bench.recent.of([1])[1]] == [7]


async def test_what_was_there_already_does_not_count_again(bench: Bench) -> None:
    assert await bench.intake.take(ROWS, Key("again", "d")) == Appended(2, is_duplicate=True)
    assert (len(bench.recent), bench.arrived, bench.intake.taken) == (0, [], 0)


async def test_what_the_table_does_not_take_does_not_count(bench: Bench) -> None:
    bench.ingest.failures.append(WrongValue(0, "user_id", "no"))
    with pytest.raises(WrongValue):
        await bench.intake.take(ROWS)
    assert (len(bench.recent), bench.arrived, bench.intake.taken) == (0, [], 0)


async def test_who_goes_away_meanwhile_has_posted_all_the_same(bench: Bench) -> None:
    bench.ingest.gate.clear()
    caller = asyncio.create_task(bench.intake.take(ROWS))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    bench.ingest.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert bench.ingest.rows == ROWS and bench.arrived == [2] and len(bench.recent) == 2


async def test_only_so_many_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_WAITING", 2)
    bench.ingest.gate.clear()
    waiting = [asyncio.create_task(bench.intake.take(ROWS)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaiting):
        await bench.intake.take(ROWS)
    bench.ingest.gate.set()
    await asyncio.gather(*waiting)
    assert await bench.intake.take(ROWS) == Appended(2)


async def test_after_a_start_what_is_in_the_table_is_known(bench: Bench) -> None:
    bench.ingest.rows = ROWS
    await bench.intake.fill()
    assert len(bench.recent) == 2 and bench.arrived == []
    await bench.intake.aclose()
    assert bench.ingest.is_closed


async def test_it_is_tried_until_the_database_is_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "FIRST_PAUSE_S", 0.001)
    bench.ingest.rows = ROWS
    bench.ingest.failures = [DataUnavailable("away"), DataUnavailable("away")]
    await bench.intake.fill()
    assert len(bench.recent) == 2 and not bench.ingest.failures


async def test_it_is_not_tried_where_it_cannot_be_had(bench: Bench) -> None:
    bench.ingest.rows = ROWS
    bench.ingest.failures = [NotTaken("no table")]
    await bench.intake.fill()
    assert len(bench.recent) == 0


async def test_nothing_is_filled_without_a_database(tmp_path: Path) -> None:
    plain = Intake(Settings(store=StoreSettings(path=tmp_path)), RecentInteractions(), lambda count: None)
    await plain.fill()
    with pytest.raises(NotTaken, match="data"):
        await plain.take(ROWS)
    await plain.aclose()


async def test_filling_ends_with_the_server(bench: Bench) -> None:
    bench.ingest.failures = [DataUnavailable("away")]
    filling = asyncio.create_task(bench.intake.fill())
    await wait_until(lambda: not bench.ingest.failures)
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling


def published(store: Path, training: str, version: str, cut_at: float | None) -> None:
    folder = store / training / version
    folder.mkdir(parents=True)
    told = {"version": version, "training": training, "algorithm": "als", "family": "factors", "trained_at": 0, "published_at": 0}
    rest = {"bytes": 0, "sha256": "", "code_version": "", "seconds": 0, "peak_bytes": None, "split": "time", "cut_at": cut_at}
    (folder / RECORD_FILE).write_text(json.dumps({**told, **rest}))


@pytest.mark.parametrize("cut_at", [1_772_600_500.0, None])
async def test_what_every_kept_version_has_learned_is_left_where_it_is(tmp_path: Path, cut_at: float | None) -> None:
    published(tmp_path, "als", "20260304T050607-aaaaaa", cut_at)
    published(tmp_path, "als", "20260305T050607-bbbbbb", cut_at and cut_at + 1000)
    published(tmp_path, "bpr", "20260306T050607-cccccc", None)
    bench = Bench(tmp_path, als="training:als", other="training:bpr")
    since = cut_at or 1_772_600_767.0  # a random split: when the run was created, 2026-03-04T05:06:07Z
    bench.ingest.rows = [Interaction(1, 1, 1.0, since + 2), Interaction(2, 2, 1.0, since + 1), Interaction(3, 3, 1.0, since - 1)]
    await bench.intake.fill()
    assert bench.recent.of([1, 2, 3]).keys() == {1, 2}


async def test_of_a_version_without_a_record_nobody_knows_what_it_has_learned(tmp_path: Path) -> None:
    published(tmp_path, "als", "20260304T050607-aaaaaa", 1.0)
    (tmp_path / "als" / "20260304T050607-aaaaaa" / RECORD_FILE).write_text("{}")
    bench = Bench(tmp_path, als="training:als")
    bench.ingest.rows = ROWS
    await bench.intake.fill()
    assert len(bench.recent) == 2


@pytest.mark.parametrize("models", [{"als": "als.pkl"}, {"als": "training:als", "x": "s3://b/x.pkl"}, {"als": "training:other"}, {}])
def test_of_models_from_elsewhere_nobody_knows_what_they_have_learned(tmp_path: Path, models: dict[str, str]) -> None:
    published(tmp_path, "als", "20260304T050607-aaaaaa", 1.0)
    settings = Settings(
        store=StoreSettings(path=tmp_path), models={name: ModelSettings(name, source=source) for name, source in models.items()}
    )
    assert learned_by_all(settings) is None
