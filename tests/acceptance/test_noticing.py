"""Changes that the server notices by itself: a watched file, a polled source.

Does not cover: reloads on command (`test_reload`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.recommenders import als_dict, bare_als
from tests.artifacts.writing import write
from tests.doubles.files import FileServer, Served
from tests.support import wait_until_sync

POLL = "200ms"


def artifact_bytes(folder: Path, factors: int) -> bytes:
    return write(als_dict("int", model=bare_als(factors=factors)), folder / f"factors-{factors}", "pickle5").read_bytes()


def wait_factors(server: Server, factors: int) -> dict[str, Any]:
    """The model, once the artifact with that many factors serves."""
    found = server.wait_model("als", lambda model: (model["details"] or {}).get("factors") == factors, f"{factors} factors serve")
    assert server.predict("als", {"user_id": 1}).body["version"] == found["version"]
    return found


@pytest.mark.parametrize("setting", [{"watch": True}, {"poll": POLL}])
class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "artifact"
        path.write_bytes(artifact_bytes(tmp_path, 8))
        return path

    @pytest.fixture
    def server(self, path: Path, tmp_path: Path, setting: dict[str, Any]) -> Iterator[Server]:
        with serving(tmp_path, {"models": {"als": {"source": str(path), **setting}}}) as server:
            wait_factors(server, 8)
            yield server

    def test_a_replaced_file_and_then_a_rewritten_one(self, server: Server, path: Path, tmp_path: Path) -> None:
        versions = [server.model("als")["version"]]
        fresh = tmp_path / "fresh"
        fresh.write_bytes(artifact_bytes(tmp_path, 5))
        fresh.replace(path)
        versions.append(wait_factors(server, 5)["version"])
        path.write_bytes(artifact_bytes(tmp_path, 6))  # in place: the same inode
        versions.append(wait_factors(server, 6)["version"])
        assert len(set(versions)) == 3
        assert server.model("als")["failure"] is None

    def test_a_broken_file_disturbs_nobody_and_a_good_one_mends_it(self, server: Server, path: Path, tmp_path: Path) -> None:
        before = server.model("als")["version"]
        path.write_bytes(artifact_bytes(tmp_path, 5)[:-100])
        stale = server.wait_model("als", lambda model: model["stale"], "the broken file was tried")
        assert (stale["version"], stale["failure"]["type"]) == (before, "corrupt_artifact")
        path.write_bytes(artifact_bytes(tmp_path, 5))
        assert wait_factors(server, 5)["failure"] is None

    def test_a_removed_file_leaves_what_serves(self, server: Server, path: Path, tmp_path: Path) -> None:
        before = server.model("als")["version"]
        path.unlink()
        path.write_bytes(artifact_bytes(tmp_path, 5))
        assert wait_factors(server, 5)["version"] != before


def test_a_polled_address_is_downloaded_once_for_each_revision(beside: Beside, tmp_path: Path) -> None:
    files = beside.enter(FileServer({"/als": Served(first := artifact_bytes(tmp_path, 8))}))
    with serving(tmp_path, {"models": {"als": {"source": f"{files.url}/als", "poll": POLL}}}) as server:
        version = wait_factors(server, 8)["version"]
        asked = len(files.requests)
        wait_until_sync(lambda: len(files.requests) >= asked + 3, what="three polls")
        assert files.body_bytes == len(first)
        model = server.model("als")
        assert (model["version"], model["stale"], model["failure"]) == (version, False, None)

        second = artifact_bytes(tmp_path, 5)
        files.files["/als"] = Served(second)
        assert wait_factors(server, 5)["version"] != version
        asked = len(files.requests)
        wait_until_sync(lambda: len(files.requests) >= asked + 3, what="three polls")
        assert files.body_bytes == len(first) + len(second)

        files.change("/als", status=500)
        stale = server.wait_model("als", lambda model: model["stale"], "the source fails")
        assert (stale["status"], stale["failure"]["type"], stale["failure"]["retryable"]) == ("ready", "source_unavailable", True)
        files.change("/als", status=200)
        server.wait_model("als", lambda model: not model["stale"], "the source is well again")
        assert files.body_bytes == len(first) + len(second)
