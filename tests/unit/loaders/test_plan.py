"""The numbers a child is told: caps, limits, what it is to look for."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from config.schema import LoadingSettings, ModelSettings
from loaders.plan import BASE_BYTES, MIB, PER_PLAIN_BYTE, load_plan, need_bytes
from tests.unit.loaders.formats.reading import file_of

HOST = 16 << 30


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=HOST))


@pytest.fixture
def raw() -> Iterator[int]:
    with file_of(b"\x80\x04 and so on") as fd:
        yield fd


def plan(fd: int, size: int, loading: dict[str, Any] | None = None, **model: Any) -> dict[str, Any]:
    return load_plan(ModelSettings(name="m", source="/x", **model), LoadingSettings(**(loading or {})), fd, 9, size, None)


def test_without_configured_memory_the_cap_follows_what_is_read(raw: int) -> None:
    found = plan(raw, 10 * MIB)
    assert found["data_bytes"] == BASE_BYTES
    assert found["data_per_plain_byte"] == PER_PLAIN_BYTE
    assert found["data_hard_bytes"] == BASE_BYTES + PER_PLAIN_BYTE * 10 * MIB
    assert plan(raw, 10 << 30)["data_hard_bytes"] == HOST


@pytest.mark.parametrize("memory", [100 * MIB, 2 << 30])
def test_configured_memory_is_the_cap(memory: int, raw: int) -> None:
    found = plan(raw, 10 * MIB, memory_bytes=memory)
    assert (found["data_bytes"], found["data_hard_bytes"], found["data_per_plain_byte"]) == (memory, memory, 0)


def test_the_segment_may_grow_with_the_artifact(raw: int) -> None:
    assert plan(raw, 100)["segment_limit"] == 64 * MIB
    assert plan(raw, 100 * MIB)["segment_limit"] == 400 * MIB
    assert plan(raw, 100 * MIB, {"segment_limit_bytes": 5 * MIB})["segment_limit"] == 5 * MIB


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"BZh9", b"\xfd7zXZ", b"\x5d\x00\x00", b"\x04\x22\x4d\x18", b"\x78\x9c"])
def test_a_compressed_artifact_may_become_much_more(head: bytes) -> None:
    with file_of(head + bytes(10)) as fd:
        found = plan(fd, 10 * MIB)
    assert found["segment_limit"] == 640 * MIB
    assert found["data_hard_bytes"] == BASE_BYTES + 8 * PER_PLAIN_BYTE * 10 * MIB


def test_the_cgroup_holds_the_cap_and_what_the_kernel_keeps(raw: int) -> None:
    on_disk, in_memory = plan(raw, 10 * MIB, memory_bytes=1 << 30), plan(raw, 10 * MIB, memory_bytes=1 << 30, segment="memory")
    assert on_disk["cgroup_bytes"] > (1 << 30) + 10 * MIB
    assert in_memory["cgroup_bytes"] == (1 << 30) + in_memory["segment_limit"]


def test_what_the_child_is_to_look_for(raw: int) -> None:
    found = plan(raw, 100, sha256="AB" * 32, family="factors", id_column="dest_id", load_timeout_s=100.0)
    assert found["verify_sha256"] == "ab" * 32 and plan(raw, 100)["verify_sha256"] is None
    assert (found["family"], found["options"]) == ("factors", {"id_column": "dest_id"})
    assert (found["artifact_fd"], found["segment_fd"]) == (raw, 9)
    assert found["cpu_s"] == 200 and plan(raw, 100, load_timeout_s=1.0)["cpu_s"] == 10


def test_what_a_load_needs() -> None:
    model = ModelSettings(name="m", source="/x")
    assert need_bytes(model, 400 * MIB, None) == 196 * MIB
    assert need_bytes(model, 400 * MIB, 55 * MIB) == 55 * MIB
    assert need_bytes(ModelSettings(name="m", source="/x", memory_bytes=50 * MIB), 400 * MIB, None) == 50 * MIB
    assert need_bytes(ModelSettings(name="m", source="/x", segment="memory"), 400 * MIB, 55 * MIB) == 455 * MIB
