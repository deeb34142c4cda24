"""server.json: how a server is found."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.presence import NAME, Presence, announce, find, withdraw


def mine() -> Presence:
    return Presence(os.getpid(), "http://127.0.0.1:8000", 1_700_000_000.0)


def test_announced_found_and_withdrawn(tmp_path: Path) -> None:
    store = tmp_path / "var"
    announce(store, mine())
    assert find(store) == mine()
    assert stat.S_IMODE((store / NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert os.listdir(store) == [NAME]
    withdraw(store)
    assert os.listdir(store) == []
    withdraw(store)


def test_a_server_that_died_is_not_found(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    announce(tmp_path, Presence(gone.pid, "http://127.0.0.1:1", 0.0))
    assert find(tmp_path) is None


def test_another_servers_presence_is_left_alone(tmp_path: Path) -> None:
    announce(tmp_path, Presence(os.getppid(), "http://127.0.0.1:1", 0.0))
    withdraw(tmp_path)
    assert (tmp_path / NAME).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}'])
def test_what_is_no_presence_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert find(tmp_path) is None
    assert find(tmp_path / "nowhere") is None


def test_a_failed_announcement_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        announce(tmp_path, mine())
    assert os.listdir(tmp_path) == [NAME]
