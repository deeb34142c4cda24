"""A cgroup around a child, on a tree of plain files that looks like v1 or v2. The kernel's own: `tests/integration/loading`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.cgroup import CgroupWall

Make = Callable[[], CgroupWall | None]


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "membership"


def v2(tmp_path: Path, membership: Path, controllers: str = "cpu memory pids", mount: str = "") -> Path:
    own = tmp_path / "fs" / mount / "app.slice"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text(controllers)
    membership.write_text("0::/app.slice\n")
    return own


def v1(tmp_path: Path, membership: Path) -> Path:
    own = tmp_path / "fs" / "memory" / "app"
    own.mkdir(parents=True)
    membership.write_text("9:name=systemd:/x\n4:cpu,memory:/app\n0::/\n")
    return own


def make(tmp_path: Path, membership: Path) -> CgroupWall | None:
    return CgroupWall.make(1000, root=tmp_path / "fs", membership=membership)


def only_child(own: Path) -> Path:
    (found,) = (path for path in own.iterdir() if path.is_dir())
    return found


@pytest.mark.parametrize("mount", ["", "unified"])
def test_v2(mount: str, tmp_path: Path, membership: Path) -> None:
    own = v2(tmp_path, membership, mount=mount)
    wall = make(tmp_path, membership)
    assert wall is not None
    folder = only_child(own)
    assert folder.name.startswith(f"holdfast-{os.getpid()}-") and (folder / "memory.max").read_text() == "1000"
    assert wall.add(77) and wall.members() == [77]
    assert wall.oom_kills() == 0
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert wall.oom_kills() == 2


def test_v1(tmp_path: Path, membership: Path) -> None:
    own = v1(tmp_path, membership)
    wall = make(tmp_path, membership)
    assert wall is not None
    folder = only_child(own)
    assert (folder / "memory.limit_in_bytes").read_text() == "1000"
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert wall.oom_kills() == 1
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    assert wall.oom_kills() == 0


def test_where_memory_is_not_handed_on_there_is_none(tmp_path: Path, membership: Path) -> None:
    own = v2(tmp_path, membership, "cpu pids")
    assert make(tmp_path, membership) is None
    assert not any(path.is_dir() for path in own.iterdir())
    assert CgroupWall.make(1, root=tmp_path, membership=tmp_path / "absent") is None


def test_a_limit_that_may_not_be_set_leaves_nothing(tmp_path: Path, membership: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = v1(tmp_path, membership)

    def refused(self: Path, text: str) -> int:
        raise PermissionError(13, "no")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", refused)
        assert make(tmp_path, membership) is None
    assert not list(own.iterdir())


def test_two_at_once_have_folders_of_their_own(tmp_path: Path, membership: Path) -> None:
    own = v2(tmp_path, membership)
    assert make(tmp_path, membership) is not None and make(tmp_path, membership) is not None
    assert sum(path.is_dir() for path in own.iterdir()) == 2


def test_removing(tmp_path: Path, membership: Path) -> None:
    own = v2(tmp_path, membership)
    wall = make(tmp_path, membership)
    assert wall is not None
    folder = only_child(own)
    assert wall.remove() is False, "not empty here: as one with a process in it"
    (folder / "memory.max").unlink()
    assert wall.remove() is True and not folder.exists()
    assert wall.remove() is True
    assert wall.members() == [] and wall.oom_kills() == 0 and wall.add(7) is False
