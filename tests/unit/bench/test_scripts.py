"""Each benchmark is run as a module or as a file, from wherever one stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "bench").glob("*.py") if "__main__" in path.read_text())
ARGUED = [name for name in SCRIPTS if "argparse" in (ROOT / "bench" / name).read_text()]


def test_they_are_found() -> None:
    assert {"quality.py", "planted.py", "training.py", "publishing.py"} <= set(ARGUED)


@pytest.mark.parametrize("name", ARGUED)
def test_it_runs_as_a_file_from_elsewhere(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / name), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_quality_is_measured_from_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.rating").write_text("".join(f"{user}\t{item}\t5\t0\n" for user in range(4) for item in range(3)))
    (folder / "test.rating").write_text("".join(f"{user}\t3\t5\t1\n" for user in range(4)))
    (folder / "test.negative").write_text("".join(f"({user},3)\t4\t5\n" for user in range(4)))
    command = [sys.executable, str(ROOT / "bench" / "quality.py"), "--data", "data", "--algorithms", "popular"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 users, 6 items, 12 interactions" in done.stdout
