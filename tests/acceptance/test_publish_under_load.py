"""Real runs that publish, and going back, while 32 clients ask: nothing but 200, and as many versions kept as should be.

The bench that does it fifty times is tried here with a few. Does not cover: versions that do not load or do not answer
(`test_versions`).
"""

from __future__ import annotations

from pathlib import Path

from bench.publishing import KEPT, figures


def test_publishing_and_going_back_answers_nothing_but_200_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = figures(tmp_path, publishes=KEPT + 4, rollbacks=2, clients=32)
    assert found["other_than_200"] == {}
    assert found["kept_is_newest_and_pinned"], found
    assert (found["kept"], found["rollbacks"]) == (KEPT + 1, 2)
    before, after = found["server_before"], found["server_after"]
    for name in ("threads", "fds", "children"):
        assert after[name] <= before[name] + 2, f"{name} grow: {found}"  # another thread of a pool, and what it opened
    assert found["answers"] > 32 * KEPT
