"""What the gate says: a value, recorded and shown, never an exception.

Covers: types and their JSON. Does not cover: deciding (`training.judging.gate`), measuring (`training.judging.evaluate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Duel:
    """Candidate and champion on the same users of the holdout, on interactions later than the training cut of both.

    difference: mean over users of candidate - champion; standard_error: of that mean, paired. users: how many met.
    """

    version: str
    candidate: float
    champion: float
    difference: float
    standard_error: float
    users: int

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "candidate": self.candidate,
            "champion": self.champion,
            "difference": self.difference,
            "standard_error": self.standard_error,
            "users": self.users,
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing the gate asks: "minimum", "popular" or "champion". message: in words, with the figures. passed None: not asked."""

    rule: str
    passed: bool | None
    message: str

    def to_json(self) -> dict[str, Any]:
        return {"rule": self.rule, "passed": self.passed, "message": self.message}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate may serve, and why. forced_by: who published it although a rule said no; None where nobody had to.

    value, popular: of `metric`, over `users` users of the holdout. split: "time" or "random". cut_at: Unix seconds, for "time".
    """

    accepted: bool
    metric: str
    value: float
    popular: float
    users: int
    split: str
    cut_at: float | None
    rules: Sequence[Rule]
    duel: Duel | None = None
    forced_by: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Everything that was measured of the candidate: precision@k, recall@k, ndcg@k, map@k, coverage@k."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in runs, versions and the API; times are Unix seconds here, as in version.json."""
        return {
            "accepted": self.accepted,
            "forced_by": self.forced_by,
            "metric": self.metric,
            "value": self.value,
            "popular": self.popular,
            "users": self.users,
            "split": self.split,
            "cut_at": self.cut_at,
            "rules": [rule.to_json() for rule in self.rules],
            "champion": None if self.duel is None else self.duel.to_json(),
        }
