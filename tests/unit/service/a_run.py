"""A training run with a value in every field: what a run can tell."""

from __future__ import annotations

from training.judging.verdict import Duel, Rule, Verdict
from training.running.runs import Run, RunCause, RunStatus

AT = 1_700_000_000.0


def a_published_run(id: str, training: str = "als") -> Run:
    """One that has published a version in place of another."""
    duel = Duel("20261120T101500-0a1b2c", 0.31, 0.3, 0.01, 0.004, 420)
    rules = (
        Rule("minimum", True, "ndcg@10 is 0.31, at least 0.05 is asked"),
        Rule("popular", None, "not asked of the most popular items themselves"),
        Rule("champion", True, "better by 0.01"),
    )
    verdict = Verdict(True, "ndcg@10", 0.31, 0.1, 420, "time", AT - 86400, rules, duel, metrics={"ndcg@10": 0.31})
    return Run(
        id=id,
        training=training,
        algorithm="als",
        status=RunStatus.PUBLISHED,
        cause=RunCause.SCHEDULE,
        created_at=AT,
        requested_by="schedule 0 3 * * *",
        started_at=AT + 1,
        ended_at=AT + 21.5,
        phase="publishing",
        parameters={"factors": 64, "regularization": 0.1, "weights": "log"},
        fingerprint={"interactions": 100_000, "latest_at": AT - 60, "digest": "ab12", "recipe": "cd34"},
        metrics={"ndcg@10": 0.31, "coverage@10": 0.9},
        verdict=verdict.to_json(),
        version=id,
        peak_bytes=90_000_000,
        cap_bytes=4 << 30,
        log=("12:19:26 reading interactions", "12:19:27 fitting"),
    )
