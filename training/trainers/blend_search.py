"""How much content counts in a hybrid: chosen on interactions held out of a run's own training data.

Covers: training the parts once more without those interactions (with the parameters they were published with), asking both, and
choosing the line along which the share of content falls with the length of a history. Does not cover: the trainer
(`training.trainers.hybrid`), the parts that serve, which stay as they were published: they have learned from everything here, and
the collaborative one would only seem to know it all.

Each validated user is asked for twice: as a known user, and as someone new who likes a few of their items, so that short histories
are tried also where everybody has a long one. A blend's score is linear in the share of content, so both parts are asked once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loaders.published import PublishedVersion
from models.base import Id
from models.bundle import Bundle
from models.hybrid.blending import COLLABORATIVE, CONTENT, Blending
from models.hybrid.bound import BoundHybrid
from models.hybrid.score import HybridScorer
from models.opening import open_scorer_of, warm_scorer
from models.recommender import Recommender, Subject
from training.dataset.base import Dataset
from training.judging.split import Split, validation
from training.trainers import open_trainer
from training.trainers.base import Ask, OnProgress
from training.trainers.bundles import Cells
from training.trainers.parameters import check

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
LENGTHS = (5, 10, 20, 50)
"""Lengths of history at which the share of content may have come down."""
_SHORT = (1, 2, 4, 8, 16)
_LEAST_DEPTH = 10
_MOST_USERS, _LEAST_USERS, _MOST_SCORES = 2_000, 100, 40_000_000
"""Users that are asked, fewer of a large catalogue: bounds the time."""
_SCORES_AT_ONCE = 1 << 18
"""Scores of each part that are computed at once: bounds their memory to some 10 MiB, and lets progress move."""


@dataclass(frozen=True, slots=True)
class Line:
    """The share of content of someone new, what it falls to, and the length of history at which it has come down; see Blending."""

    cold: float
    warm: float | None
    length: float

    def blending(self, default_lambda: float) -> Blending:
        """The numbers of a hybrid."""
        collaborative = round(1.0 - self.cold, 12)
        warm = None if self.warm is None else min(self.warm, self.cold + collaborative)
        return Blending(self.cold, collaborative, default_lambda, warm, self.length)


@dataclass(frozen=True)
class Cases:
    """Whom was asked for. history: (cases,) items they were asked with; gains: (cases, len(SHARES)) what each share is worth."""

    history: NDArray[np.int64]
    gains: NDArray[np.float64]

    def worth(self, line: Line) -> float:
        """Mean gain along a line; between two shares the gain is taken to be straight."""
        lengths, totals = self._by_length
        blending = line.blending(1.0)
        shares = np.array([blending.content_share(length) for length in lengths])
        at = np.clip(np.searchsorted(SHARES, shares, side="right") - 1, 0, len(SHARES) - 2)
        grid = np.array(SHARES)
        way = (shares - grid[at]) / (grid[at + 1] - grid[at])
        each = np.arange(len(at))
        return float(((1.0 - way) * totals[each, at] + way * totals[each, at + 1]).sum() / len(self.history))

    @cached_property
    def _by_length(self) -> tuple[list[int], NDArray[np.float64]]:
        """Lengths of history, and the sums of the gains of each: hundreds of lines are tried on thousands of cases."""
        lengths, which = np.unique(self.history, return_inverse=True)
        totals = np.zeros((len(lengths), len(SHARES)))
        np.add.at(totals, which, self.gains)
        return lengths.tolist(), totals


def best_line(cases: Cases, lines: Sequence[Line]) -> Line:
    """The line of the greatest worth; the first of several."""
    return max(lines, key=cases.worth)


def lines(warm: float | None, length: float | None) -> list[Line]:
    """Every line that falls or is level, through what the operator has given."""
    return [
        Line(cold, low, at)
        for cold in SHARES
        for low in ([warm] if warm is not None else [share for share in SHARES if share <= cold])
        for at in ([length] if length is not None else LENGTHS)
    ]


def measured_cases(ask: Ask, records: Mapping[str, PublishedVersion], on_progress: OnProgress) -> Cases | None:
    """Train the parts again and ask them; None where nobody can be asked. Raises training.errors.Untrainable, BadBundle."""
    items = len(ask.train.item_ids)
    users = int(np.clip(_MOST_SCORES // max(1, items), _LEAST_USERS, _MOST_USERS))
    parted = validation(ask.train, ask.seed, most_users=users)
    if not len(parted.held.users):
        return None
    parts = {role: _trained_again(role, record, ask, parted.train, on_progress) for role, record in records.items()}
    return _asked(parts, parted, ask.seed, on_progress)


def _trained_again(role: str, record: PublishedVersion, ask: Ask, train: Dataset, on_progress: OnProgress) -> Recommender:
    """As the part was, on other data; its scale is sampled as if it were loaded."""
    algorithm = record.algorithm
    parameters = check(algorithm, {name: value for name, value in record.parameters.items() if value is not None})
    seen = Cells.of(train.interactions, len(train.user_ids), len(train.item_ids))
    again = replace(ask, train=train, seen=seen, parameters=parameters, parts={}, part_models={})
    trained = open_trainer(algorithm).fit(again, lambda step, done, total: on_progress(f"{role} again: {step}", done, total))
    bundle = trained.bundle
    details = {**bundle.details, **warm_scorer(bundle.family, open_scorer_of(bundle))}
    scorer: Any = open_scorer_of(replace(bundle, details=details))
    found: Recommender = scorer
    return found


class _Case(NamedTuple):
    """subject: whom both parts, or the only one that can, are asked for. target: row of what was held out; had: rows, -1 for none."""

    subject: Subject
    target: int
    had: NDArray[np.int64]


def _asked(parts: Mapping[str, Recommender], parted: Split, seed: int, on_progress: OnProgress) -> Cases:
    hybrid = HybridScorer(Bundle("hybrid", {}, Blending().to_meta())).bind(parts, dict.fromkeys(parts, ""))
    held, seen = parted.held, parted.seen
    user_ids, item_ids = parted.train.user_ids, parted.train.item_ids
    rows = np.array([-1 if (row := hybrid.items.row(id)) is None else row for id in item_ids], np.int64)
    depth = max(_LEAST_DEPTH, len(item_ids) // 10)
    rng = np.random.default_rng(seed)
    history, gains = [], []
    count, step = len(held.users), max(1, _SCORES_AT_ONCE // max(1, hybrid.items.count))
    for begin in range(0, count, step):
        cases = []
        for at, user in enumerate(held.users[begin : begin + step].tolist(), begin):
            target = int(rows[held.items[held.indptr[at]]])
            had = rows[seen.indices[seen.indptr[user] : seen.indptr[user + 1]]]
            if target >= 0:
                cases += [_Case(subject, target, had) for subject in _subjects(hybrid, user_ids[user], had[had >= 0], rng)]
        for case, scores in zip(cases, of_both(hybrid, [case.subject for case in cases]), strict=True):
            history.append(len(case.subject.history))
            gains.append(gains_of(scores, case.target, case.had, depth))
        on_progress("searching content_weight", min(count, begin + step), count)
    return Cases(np.array(history, np.int64), np.array(gains).reshape(-1, len(SHARES)))


def _subjects(hybrid: BoundHybrid, user: Id, had: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Subject]:
    """A user, and someone new like them."""
    known = hybrid.user(user)
    if known is not None:
        yield known
    lengths = [length for length in _SHORT if length <= len(had)]
    if lengths:
        yield hybrid.liking(np.sort(rng.choice(had, rng.choice(lengths), replace=False)))


def of_both(hybrid: BoundHybrid, subjects: Sequence[Subject]) -> Iterator[list[NDArray[Any]]]:
    """Of each subject the scores of all items by content alone, and by the collaborative part alone.

    An item that only the other part knows scores 0 there, as it does in a blend; where one part cannot answer the other does alone.
    """
    lines = {role: hybrid.scores([_only(role, subject) for subject in subjects]) for role in (CONTENT, COLLABORATIVE)}
    for content, collaborative in zip(lines[CONTENT], lines[COLLABORATIVE], strict=True):
        is_known = np.isfinite(content) | np.isfinite(collaborative)
        yield [np.where(np.isfinite(line), line, np.where(is_known, 0.0, -np.inf)) for line in (content, collaborative)]


def _only(role: str, subject: Subject) -> Subject:
    terms = [term for term in subject.state if term.role == role] or subject.state
    return replace(subject, state=tuple(replace(term, weight=1.0) for term in terms))


def gains_of(scores: list[NDArray[Any]], target: int, had: NDArray[np.int64], depth: int) -> list[float]:
    """For each share NDCG@depth of the item `target` by content's and the collaborative scores, among all that are not in `had`."""
    content, collaborative = scores
    with np.errstate(invalid="ignore"):
        blended = [share * content + (1.0 - share) * collaborative for share in SHARES]
    found = []
    for line in blended:
        line[had[had >= 0]] = -np.inf
        wanted = line[target]
        better = int((line > wanted).sum()) if np.isfinite(wanted) else depth
        found.append(1.0 / np.log2(better + 2.0) if better < depth else 0.0)
    return found
