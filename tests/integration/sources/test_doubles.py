"""The doubles as programs: each says where it is and ends when nobody needs it.

Does not cover: what they serve (every other test here does).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support import ROOT, python_environment


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.doubles.{module}", *arguments],
        cwd=ROOT,
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("module", ["files", "drive", "s3_server", "faults"])
@pytest.mark.parametrize("is_signalled", [True, False])
def test_program(module: str, is_signalled: bool, tmp_path: Path) -> None:
    path = tmp_path / "als.pkl"
    path.write_bytes(b"\x80\x04N.")
    arguments = {"files": [str(path)], "drive": ["--file", f"ID={path}:small"], "s3_server": ["--file", f"als.pkl={path}"]}
    with start(module, *arguments.get(module, ["127.0.0.1:1"])) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        told = json.loads(program.stdout.readline())
        assert isinstance(told["env"], dict)
        if module == "files":
            with urllib.request.urlopen(told["files"]["/als.pkl"]) as response:
                assert response.read() == path.read_bytes()
        if is_signalled:
            program.send_signal(signal.SIGTERM)
        else:
            program.stdin.close()
        assert program.wait(60) == 0
