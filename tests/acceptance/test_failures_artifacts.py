"""Hostile, damaged and wrong artifacts, all in one server: each ends in its failure, none runs anything, a healthy model answers.

Does not cover: every entry of the table of hostile files (`tests/integration/loading`), sources that fail (`test_failures_sources`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.failures.endings import ASK, check_failed
from tests.acceptance.failures.leftovers import check_nothing_left, records
from tests.acceptance.failures.steady import HEALTHY, Steady, healthy_model, honest_bytes
from tests.acceptance.running import Server, serving
from tests.artifacts.hostile import HOSTILE, names

SETTLED_WITHIN_S = 240.0
FORMATS = ("pickle2", "pickle4", "pickle5", "joblib", "joblib_zlib", "joblib_lz4")


def _of_format(kind: str, how: str) -> list[str]:
    return [name for name in names(f"{kind}_{how}_") if name.removeprefix(f"{kind}_{how}_")[0].isdecimal()]


def _middle(how: str) -> str:
    """The file cut nearest its middle."""
    cuts = _of_format("cut", how)
    return sorted(cuts, key=lambda name: int(name.rpartition("_")[2]))[len(cuts) // 2]


BOMBS = ("bomb_lists", "bomb_records", "bomb_filled_dicts", "bomb_zlib_array", "bomb_xz_array", "bomb_lz4_array", "code_bytearray_huge")
CODE = (
    "code_os_system", "code_os_system_joblib", "code_eval", "code_eval_joblib", "code_object_array_joblib",
    "code_os_system_as_user_factors",
)  # fmt: skip
FORGED = (
    "length_binbytes8_tb", "length_bytearray8_all_ones", "length_frame_huge", "dtype_object", "dtype_itemsize_huge",
    "dtype_field_out_of_bounds", "dtype_shape_overflow", "wrapper_shape_overflow", "wrapper_dtype_object", "opcode_underflow_build",
    "opcode_persid", "opcode_next_buffer", "safetensors_offsets_overlap", "npz_header_code", "content_not_trained", "content_one_matrix",
    "stranger_html",
)  # fmt: skip
DAMAGED = tuple(name for how in FORMATS for name in (_middle(how), *_of_format("flip", how)[:2]))
CHOSEN = (*BOMBS, *CODE, *FORGED, *DAMAGED)
WRONG_DIGEST, TOO_LARGE, MISSING, DIRECTORY = "wrong-digest", "too-large", "missing", "directory"


def model_name(entry: str) -> str:
    """The model that loads the hostile file of that name."""
    return entry.replace("_", "-")[:63]


@dataclass(frozen=True)
class World:
    """The server with all of them, settled."""

    server: Server
    steady: Steady
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("artifacts")
    honest = folder / "honest.pkl"
    honest.write_bytes(honest_bytes())
    models: dict[str, dict[str, Any]] = {HEALTHY: healthy_model(folder)}
    for name in CHOSEN:
        models[model_name(name)] = {"source": str(HOSTILE[name].write(folder)), "memory": "200MiB", "required": False}
    models[WRONG_DIGEST] = {"source": str(honest), "sha256": hashlib.sha256(b"another").hexdigest()}
    models[TOO_LARGE] = {"source": str(honest), "max_artifact_bytes": "4KiB"}
    models[MISSING] = {"source": str(folder / "nowhere.pkl")}
    models[DIRECTORY] = {"source": str(folder)}
    with serving(folder, {"server": {"default_model": HEALTHY}, "models": models}) as server, Steady(server) as steady:
        for name in models:
            server.wait_model(name, lambda model: model["status"] != "loading", f"{name} is settled", SETTLED_WITHIN_S)
        yield World(server, steady, folder)


@pytest.mark.parametrize("name", CHOSEN)
def test_hostile_or_damaged_file(name: str, world: World) -> None:
    entry = HOSTILE[name]
    if entry.may_load and world.server.model(model_name(name))["status"] == "ready":
        # A turned bit within a number makes another number: a whole model, which then must answer.
        assert world.server.predict(model_name(name), ASK).status in (200, 404)
        return
    failure = check_failed(world.server, model_name(name), entry.expected)
    assert (failure["retryable"], failure["attempts"]) == (False, 1)


@pytest.mark.parametrize("how", FORMATS)
def test_a_truncated_file_is_never_a_model(how: str, world: World) -> None:
    failure = check_failed(world.server, model_name(_middle(how)), "corrupt_artifact")
    assert failure["retryable"] is False


def test_the_bombs_hit_their_cap_and_nothing_else(world: World) -> None:
    endings = {name: check_failed(world.server, model_name(name), HOSTILE[name].expected)["type"] for name in BOMBS}
    assert endings["bomb_lists"] == endings["bomb_records"] == "memory_cap_exceeded"
    assert endings["bomb_zlib_array"] == "too_large"


@pytest.mark.parametrize(
    ("name", "type"),
    [(WRONG_DIGEST, "digest_mismatch"), (TOO_LARGE, "too_large"), (MISSING, "source_not_found"), (DIRECTORY, "not_a_model")],
)
def test_what_is_not_the_artifact_that_was_meant(name: str, type: str, world: World) -> None:
    check_failed(world.server, name, type)


def test_nothing_ran(world: World) -> None:
    assert not (world.folder / "ran").exists()


def test_nothing_is_left_of_them(world: World) -> None:
    ready = {model["name"] for model in world.server.get("/models").body["models"] if model["status"] == "ready"}
    assert records(world.server.store) == ready
    check_nothing_left(world.server)


def test_the_server_says_so_and_goes_on(world: World) -> None:
    health = world.server.get("/health")
    assert (health.status, health.body["status"], health.body["models"][HEALTHY]) == (200, "degraded", "ready")
    ready = world.server.get("/health/ready")
    assert (ready.status, set(ready.body["waiting_for"])) == (503, {WRONG_DIGEST, TOO_LARGE, MISSING, DIRECTORY})
    world.steady.check()
