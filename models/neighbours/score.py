"""Recommending what is like what someone likes. numpy only; runs in the server.

Covers: profiles of liked items and of users with a history, similar items, explanations. Does not cover: how alike two items
are (`models.neighbours.relations`), ranking (`models.recommender`), how the arrays came to be (`models.neighbours.pack`).

Someone who likes the items L: the score of item i is the mean over L of s(l, i) for content, weighted by a user's own weights; the
sum for implicit's item-item models, where they multiply it (`ItemItemRecommender.recommend` of implicit: user_items @ similarity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import sampling
from models.base import Id, InvalidQuery, Query
from models.bundle import BadBundle, Bundle
from models.catalogue import Catalogue
from models.confidence import weighting_of
from models.ids import IdTable
from models.recent import Additions
from models.recommender import Rows, Subject
from models.sparse import Sparse
from models.tabled import TabledRecommender

from .relations import Weights, open_relation
from .similarity import DenseSimilarity, DenseWeights, SparseSimilarity


class Profile(NamedTuple):
    """A subject's state: item rows (distinct), what each of them counts, and what that was divided by (by their sum, for a mean)."""

    rows: Rows
    weights: Weights
    total: float = 1.0


class NeighbourScorer(TabledRecommender):
    """Answers from one relation of items; `seen.*` is what users have, with `seen.weights`, where the model knows users."""

    family = "neighbours"
    answers_from_history = True

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle where the arrays contradict each other."""
        self.details: Mapping[str, Any] = bundle.details
        count, self._combines = bundle.meta.get("items"), bundle.meta.get("liked")
        if type(count) is not int or count < 1 or self._combines not in ("mean", "sum"):
            raise BadBundle("the number of items, or what liking several means, is not said")
        self.items: Catalogue = Catalogue(bundle, count)
        self._relation = open_relation(bundle, count)
        self._weighting = weighting_of(bundle)
        self._user_ids: IdTable | None = None
        if (table := bundle.meta.get("user_ids")) is not None:
            users = table.get("count") if isinstance(table, dict) else None
            if type(users) is not int or users < 0:
                raise BadBundle("user_ids is no table")
            self._user_ids = IdTable("user_ids", bundle, users)
            self._seen = Sparse.open(bundle, "seen", rows=users, columns=count, data="weights", kinds="biuf")

    @property
    def knows_seen(self) -> bool:
        return self._user_ids is not None

    def work(self) -> int:
        return self._relation.work()

    def cost(self, query: Query) -> int:
        """Similarities are read once for each liked item; features once for all of them."""
        by_row = isinstance(self._relation, (DenseSimilarity, SparseSimilarity))
        named = len(query.liked) + sum(map(len, query.recent.values()))
        return super().cost(query) + (named * self._relation.work() if by_row else 0)

    def user(self, user: Id) -> Subject | None:
        if self._user_ids is None:
            raise InvalidQuery("user_id", "this model knows no users: give the items that they like as `liked`")
        row = self._user_ids.row(user)
        if row is None:
            return None
        items, weights = self._seen.row(row)
        rows = items.astype(np.int64)
        return Subject(self._profile(rows, weights.astype(np.float64)), rows)

    def liking(self, rows: Rows) -> Subject:
        return Subject(self._profile(rows, np.ones(len(rows))), rows)

    def _profile(self, rows: Rows, weights: Weights) -> Profile:
        total = float(weights.sum()) if self._combines == "mean" else 1.0
        return Profile(rows, weights / total, total) if total > 0 else Profile(rows, weights)

    def joined(self, subject: Subject | None, new: Additions) -> Subject:
        """What is new joins the profile with its weights."""
        new = new.counted(self._weighting)
        if subject is None:
            return Subject(self._profile(new.rows, new.weights), new.rows)
        known: Profile = subject.state
        rows, weights = np.concatenate((subject.history, new.rows)), np.concatenate((known.weights * known.total, new.weights))
        order = np.argsort(rows, kind="stable")
        return Subject(self._profile(rows[order], weights[order]), rows[order])

    def item(self, row: int) -> Subject:
        rows = np.array([row], np.int64)
        return Subject(Profile(rows, np.ones(1)), rows)

    def scores(self, subjects: Sequence[Subject]) -> NDArray[Any]:
        profiles: list[Profile] = [subject.state for subject in subjects]
        return np.stack([self._relation.sums(profile.rows, profile.weights) for profile in profiles])

    def exact(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        profile: Profile = subject.state
        return self._relation.exact(profile.rows, profile.weights, rows)

    def slack(self, subject: Subject, rows: Rows) -> float | None:
        profile: Profile = subject.state
        return self._relation.slack(profile.rows, profile.weights)

    def similarities(self, rows: Rows) -> NDArray[np.float64]:
        return self._relation.alike(rows)

    def contributions(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        profile: Profile = subject.state
        return (self._relation.pairs(profile.rows, rows) * profile.weights[:, np.newaxis]).T


def open_scorer(bundle: Bundle) -> NeighbourScorer:
    """The scorer of a bundle of this family. Raises models.bundle.BadBundle."""
    return NeighbourScorer(bundle)


def warm(scorer: NeighbourScorer) -> dict[str, Any]:
    """Score a sample of users, or of items as if each were all that is liked: {"score_range": {"min","p50","p99","max"}}.

    What someone has already is left out. None where nobody has a neighbour that is left. Raises BadBundle where similarities
    or features give no finite score.
    """
    relation, are_listed = scorer._relation, isinstance(scorer._relation, (SparseSimilarity, DenseWeights))
    found = []
    for subject in _sampled_subjects(scorer):
        rows, weights, _ = subject.state
        if are_listed:  # few items have a score: they are looked for, not met by chance
            line = relation.sums(rows, weights)
            line[rows] = np.nan
        else:
            some = sampling.spread(relation.count, sampling.ITEMS)
            line = relation.exact(rows, weights, some)
            is_own = np.zeros(relation.count, np.bool_)
            is_own[rows] = True
            line[is_own[some]] = np.nan
        line = line[np.isfinite(line)]
        found.append(line[sampling.spread(len(line), sampling.ITEMS)])
    scores = sampling.score_range(np.concatenate([np.zeros(0), *found]))
    if scores is None and relation.count > 1 and not are_listed:
        raise BadBundle("the items give no finite score")
    return {"score_range": scores}


def _sampled_subjects(scorer: NeighbourScorer) -> list[Subject]:
    if scorer._user_ids is None:
        return [scorer.liking(np.array([row])) for row in sampling.spread(scorer.items.count, sampling.SUBJECTS).tolist()]
    users = scorer._user_ids.ids(sampling.spread(scorer._user_ids.count, sampling.SUBJECTS))
    return [subject for user in users if (subject := scorer.user(user)) is not None]
