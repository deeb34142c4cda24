"""The walls hold from the inside: a process that has put them up tries what they forbid."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import ROOT, python_environment, wait_until_sync

PROGRAM = Path(__file__).with_name("walled_child.py")
DATA_BYTES = 256 << 20
FILE_BYTES = 8 << 20


PARENT = """
import os, signal, subprocess, sys
program, *numbers = sys.argv[1:]
child = subprocess.Popen([sys.executable, program, str(os.getpid()), *numbers], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
signal.pause()
"""


def start(folder: Path, data_bytes: int, *before: str) -> subprocess.Popen[str]:
    command = [*before, sys.executable, str(PROGRAM), str(os.getpid()), str(data_bytes), str(FILE_BYTES), str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=python_environment({"PYTHONPATH": str(ROOT)}), stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    process = start(tmp_path_factory.mktemp("walled"), DATA_BYTES)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_limits_of_memory(inside: dict[str, Any]) -> None:
    assert inside["allocate_much"] == "MemoryError"
    assert inside["map_much"] == "ENOMEM"
    assert inside["allocate_little"] == "done"
    assert 0 < inside["sample"] < DATA_BYTES


def test_the_cap_follows_up_to_the_hard_limit_and_never_down(inside: dict[str, Any]) -> None:
    assert inside["raised"] == [DATA_BYTES + (16 << 20), DATA_BYTES + (16 << 20), DATA_BYTES + (64 << 20)]


def test_limits_of_files(inside: dict[str, Any]) -> None:
    assert inside["grow_far"] == "EFBIG"
    assert inside["grow_within"] == "done"
    assert inside["core"] == [0, 0]


def test_nice(inside: dict[str, Any]) -> None:
    assert inside["nice"] == os.getpriority(os.PRIO_PROCESS, 0) + 10


def test_no_file_opens(inside: dict[str, Any]) -> None:
    if "landlock" not in inside["walls"]:
        pytest.skip("this kernel has no Landlock")
    for deed in ("open_to_read", "open_to_write", "list", "unlink"):
        assert inside[deed] == "EACCES", deed


def test_no_process_starts(inside: dict[str, Any]) -> None:
    if platform.machine() in ("x86_64", "aarch64"):
        assert "seccomp" in inside["walls"]
    if "seccomp" not in inside["walls"]:
        pytest.skip("the numbers of this machine's system calls are not known")
    for deed in ("fork", "exec", "spawn"):
        assert inside[deed] == "EPERM", deed
    assert inside["thread"] == "RuntimeError"


def test_nobody_is_reached(inside: dict[str, Any]) -> None:
    if "netns" not in inside["walls"]:
        pytest.skip("no network namespace is allowed here")
    assert inside["connect"] in ("ENETUNREACH", "EACCES")


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed -9 can clean up nothing."""
    arguments = [str(PROGRAM), "0", str(FILE_BYTES), str(tmp_path)]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        cwd=ROOT,
        env=python_environment({"PYTHONPATH": str(ROOT)}),
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        try:
            assert parent.stdout is not None
            pid, _, stand = parent.stdout.readline().partition(" ")
            assert "rlimit" in json.loads(stand)
            child = psutil.Process(int(pid))
            assert not has_ended(child)
        finally:
            parent.kill()
    wait_until_sync(lambda: has_ended(child), what="the child is gone")


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_it_does_not_begin_where_its_parent_is_gone(tmp_path: Path) -> None:
    other_parent = ["sh", "-c", '"$0" "$@"; exit $?']
    process = start(tmp_path, 0, *other_parent)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and not out
