"""How good a candidate is on what was held out, beside the most popular items and beside the version that serves.

Covers: rankings of the whole catalogue by the scorer that serves, metrics a user, the paired comparison. Does not cover: what is
held out (`training.judging.split`), opening versions (`training.judging.opened`), formulas (`training.judging.metrics`), the
decision (`training.judging.gate`). numpy only; capped child.

Every item that the user did not have before the cut is ranked, in the order and with the diversity of an answer. The same users
count for all three: a comparison of means over different users would be mostly noise between users. Sampled metrics, which rank
the held-out item among some others, are not used: they can put models in another order (Krichene and Rendle, KDD 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import Id, InvalidQuery
from models.recommender import Recommender, Subject
from training.judging.metrics import FORMULAS, Hits, PerUser, hits_of, parse
from training.judging.opened import Opened
from training.judging.split import Ground
from training.judging.verdict import Duel

OnProgress = Callable[[int, int], None]
"""Users done, users in all."""

MOST_USERS = 20_000
"""Users that are asked at most, drawn by the seed: the standard error of their mean NDCG is about 0.002."""
_SCORES_AT_ONCE = 2 << 20
"""Scores computed at once: bounds their memory to 16 MiB of float64."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the users of a ground were answered. hits: (users, k). is_known: (users,) whether the version knows them.

    distinct: different items among all answers. items: what could have been answered with.
    """

    hits: Hits
    is_known: NDArray[np.bool_]
    distinct: int
    items: int


def sampled(ground: Ground, seed: int, most_users: int = MOST_USERS) -> Ground:
    """The ground with at most so many of its users, the same ones for a seed."""
    users = len(ground.held.users)
    if users <= most_users:
        return ground
    some = np.sort(np.random.default_rng(seed).choice(users, most_users, replace=False))
    return Ground(ground.held.take(some), ground.seen)


def ask(opened: Opened, user_ids: Sequence[Id], ground: Ground, k: int, on_progress: OnProgress) -> Answers:
    """Rank for every user of the ground. `user_ids`: the data set's, by row. Who is not known is answered with nothing."""
    held, seen = ground
    scorer, users = opened.scorer, len(held.users)
    ranked = np.full((users, k), -1, np.int64)
    is_known = np.zeros(users, np.bool_)
    diversity = scorer.default_diversity
    if diversity is not None and diversity >= 1.0:
        diversity = None
    step = max(1, _SCORES_AT_ONCE // max(1, scorer.items.count))
    with np.errstate(all="ignore"):  # as when it serves: a score that is no number is left out
        for begin in range(0, users, step):
            asked: list[tuple[int, Subject, NDArray[np.int64]]] = []
            for at in range(begin, min(users, begin + step)):
                user = int(held.users[at])
                had = opened.rows[seen.indices[seen.indptr[user] : seen.indptr[user + 1]]]
                had = np.sort(had[had >= 0])
                subject = _subject(scorer, user_ids[user], had)
                if subject is not None:
                    asked.append((at, subject, had))
            if asked:
                lines = scorer.scores([subject for _, subject, _ in asked])
                for (at, subject, had), line in zip(asked, lines, strict=True):
                    line[had] = -np.inf
                    rows, _ = scorer.best(subject, line, k, diversity)
                    ranked[at, : min(k, len(rows))] = opened.items[rows[:k]]
                    is_known[at] = True
            on_progress(min(users, begin + step), users)
    found = hits_of(ranked, held.items, held.indptr, len(opened.rows))
    return Answers(found, is_known, len(np.unique(ranked[ranked >= 0])), scorer.items.count)


def _subject(scorer: Recommender, user: Id, had: NDArray[np.int64]) -> Subject | None:
    """Whom a model has no users for likes what they had."""
    try:
        return scorer.user(user)
    except InvalidQuery:
        return scorer.liking(had) if len(had) else None


def ask_popular(ground: Ground, items: int, k: int) -> Answers:
    """Answer everybody with what most users had before, but for what they have themselves; equal ones in the order of rows."""
    held, seen = ground
    order = np.argsort(-np.bincount(seen.indices, minlength=items), kind="stable")
    ranked = np.full((len(held.users), k), -1, np.int64)
    for at, user in enumerate(held.users.tolist()):
        had = seen.indices[seen.indptr[user] : seen.indptr[user + 1]]
        some = order[: k + len(had)]
        left = some[~np.isin(some, had)][:k]
        ranked[at, : len(left)] = left
    hits = hits_of(ranked, held.items, held.indptr, items)
    return Answers(hits, np.ones(len(ranked), np.bool_), len(np.unique(ranked[ranked >= 0])), items)


def per_user(answers: Answers, ground: Ground, metric: str) -> PerUser:
    """(users,) the metric ("ndcg@10") of each user. Its k is at most that of the answers. Raises ValueError."""
    name, k = parse(metric)
    return FORMULAS[name](answers.hits[:, :k], np.diff(ground.held.indptr))


def all_metrics(answers: Answers, ground: Ground, k: int) -> dict[str, float]:
    """Means over the users of the ground, by name; {} where it has none."""
    if not len(ground.held.users):
        return {}
    found = {f"{name}@{k}": float(per_user(answers, ground, f"{name}@{k}").mean()) for name in FORMULAS}
    return {**found, f"coverage@{k}": answers.distinct / max(1, answers.items)}


def paired(one: PerUser, other: PerUser) -> tuple[float, float]:
    """Mean difference of two figures of the same users, and its standard error (0 for a single user)."""
    differences = one - other
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0
    return float(differences.mean()), error


def duel(version: str, candidate: Answers, champion: Answers, ground: Ground, metric: str) -> Duel | None:
    """Candidate against champion on the users that the champion knows; None where it knows nobody."""
    met = champion.is_known
    if not met.any():
        return None
    mine, theirs = (per_user(answers, ground, metric)[met] for answers in (candidate, champion))
    difference, error = paired(mine, theirs)
    return Duel(version, float(mine.mean()), float(theirs.mean()), difference, error, len(mine))
