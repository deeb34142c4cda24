"""The plan of a run survives its wire, and the password of the data is in no message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.schema import GIB, DataSettings, TrainingSettings
from training.addresses import without_password
from training.running.plan import Plan, limits, threads_of
from training.running.runs import PHASES
from training.running.telling import PROGRESS_S, Secrets, Telling

PLAN = Plan(
    run_id="20261121T000000-000001",
    store=Path("/srv/store"),
    data=DataSettings(url="postgresql://ada:s%40cret@db/shop", ingest_token="tok"),
    training=TrainingSettings(name="als", algorithm="als", parameters={"factors": 8}, gate={"minimum": 0.1}),
    champion="20261120T000000-000001",
    last_fingerprint={"digest": "ab"},
    parts={"content": "texts"},
    part_models={"content": "texts"},
    forced_by="ada",
    code_version="1",
)


def test_a_plan_comes_through_as_it_is_but_for_secrets_that_nobody_needs() -> None:
    frame = json.loads(json.dumps(PLAN.to_frame()))
    found = Plan.of(frame)
    assert found.data.ingest_token == ""
    assert found.data.url == PLAN.data.url
    assert (found.training, found.store, found.run_id, found.champion) == (PLAN.training, PLAN.store, PLAN.run_id, PLAN.champion)
    assert (found.parts, found.part_models, found.forced_by, found.code_version) == (PLAN.parts, PLAN.part_models, "ada", "1")
    assert found.last_fingerprint == {"digest": "ab"}


def test_a_plan_of_defaults_comes_through() -> None:
    plain = Plan("20261121T000000-000001", Path("/s"), DataSettings(url="csv:///d"), TrainingSettings(name="a", algorithm="als"))
    assert Plan.of(json.loads(json.dumps(plain.to_frame()))) == plain


def test_a_plan_does_not_show_the_address_of_the_data() -> None:
    assert "cret" not in repr(PLAN)


def test_limits_follow_the_settings() -> None:
    found = limits(TrainingSettings(name="a", memory_bytes=3 * GIB, timeout_s=100.0))
    assert found["data_bytes"] == found["data_hard_bytes"] == 3 * GIB
    assert found["file_bytes"] >= 6 * GIB
    assert found["cpu_s"] >= 200
    assert limits(TrainingSettings(name="a", timeout_s=1.0))["cpu_s"] >= 60


@pytest.mark.parametrize(("gib", "cpus", "threads"), [(0.25, 8, 1), (1, 8, 3), (4, 2, 2), (4, 64, 12), (64, 64, 64)])
def test_threads_take_a_quarter_of_the_memory_at_most(monkeypatch: pytest.MonkeyPatch, gib: float, cpus: int, threads: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cpus)))
    assert threads_of(TrainingSettings(name="a", memory_bytes=int(gib * GIB))) == threads


@pytest.mark.parametrize(
    ("url", "text", "shown"),
    [
        ("postgresql://ada:secret@db/shop", "no route to postgresql://ada:secret@db/shop", "no route to ***"),
        ("postgresql://ada:secret@db/shop", "password 'secret' was refused", "password '***' was refused"),
        ("postgresql://ada:s%40cret@db/shop", "s@cret or s%40cret", "*** or ***"),
        ("sqlite:////srv/data.db", "no such table in sqlite:////srv/data.db", "no such table in sqlite:////srv/data.db"),
        ("postgresql://[", "bad address", "bad address"),
        ("postgresql://ada@db/shop?password=s%40cret+x&a=b", "s%40cret+x, s@cret+x or s@cret x", "***, *** or ***"),
        ("postgresql:///shop?user=ada&PassWord=secret", "of secret", "of ***"),
        ("postgresql://ada@db/shop?sslpassword=secret", "of secret", "of ***"),
        ("postgresql://ada:secret@db/shop?host=/run/a@b", "password secret, host /run/a@b", "password ***, host /run/a@b"),
        ("postgresql://ada:se/cr?et@db/shop", "of se/cr?et", "of ***"),
        ("postgresql://ada:se@cret@db/shop", "of se@cret", "of ***"),
        ("postgresql://ada@db/shop?application_name=secret", "of secret", "of secret"),
    ],
)
def test_what_is_secret_in_an_address_is_hidden(url: str, text: str, shown: str) -> None:
    assert Secrets(url).hide(text) == shown
    if url not in text:  # an address itself is told without its password
        assert without_password(text, url) == shown


class Wire:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, dict[str, Any]]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.frames.append((kind, fields))


def test_progress_is_thinned_but_begins_and_ends_are_told() -> None:
    wire, now = Wire(), [0.0]
    telling = Telling(wire, lambda: now[0])
    for done in range(101):
        now[0] = done * PROGRESS_S / 50
        telling.progress("fitting", done, 100)
    telling.progress("measuring", 0, 0)
    told = [(fields["step"], fields["done"]) for _, fields in wire.frames]
    assert told == [("fitting", 0), ("fitting", 50), ("fitting", 100), ("measuring", 0)]


def test_the_same_step_of_another_phase_is_told_again() -> None:
    wire = Wire()
    telling = Telling(wire, lambda: 0.0)
    for phase in PHASES:
        telling.phase(phase)
        telling.progress("step", 0, 9)
    assert [kind for kind, _ in wire.frames] == ["phase", "progress"] * len(PHASES)
    with pytest.raises(ValueError, match="'resting' is none of"):
        telling.phase("resting")
