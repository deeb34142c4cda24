"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.whole_files import whole_file


def test_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"old")
    with whole_file(path) as partial:
        partial.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_file(tmp_path / "model.pkl") as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / ".model.pkl.partial").write_bytes(b"half of an older one")
    with whole_file(tmp_path / "model.pkl") as partial:
        assert not partial.exists()
        partial.write_bytes(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]
