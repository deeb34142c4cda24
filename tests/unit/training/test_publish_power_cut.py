"""A crash between any two changes to the disk: `current` names a whole version, every listed one opens, and the next run publishes."""

from __future__ import annotations

import pytest

from tests.support import run_python
from tests.unit.training.cutting import COMMANDS

CUT = "import sys; from tests.unit.training.cutting import cut_everywhere; print(cut_everywhere(sys.argv[1]))"
FEWEST = {"unpin": 2}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_crash_between_any_two_changes(command: str) -> None:
    done = run_python(CUT, command, flags=("-W", "error"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= FEWEST.get(command, 6)
