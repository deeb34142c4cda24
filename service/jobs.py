"""A question put to a scorer: whether they suit each other, the bounds of one answer, what is to run and what it costs.

Covers: kinds of scorer, k and the catalogue, ids from an address, rows in slices. Does not cover: where a job runs and how
long it may take (`service.scoring`), the arithmetic (a family's `score.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from models.base import (
    EstimatorScorer,
    HostedScorer,
    Id,
    InvalidQuery,
    Predictions,
    Query,
    Ranking,
    RecommenderScorer,
    RequestError,
    Scorer,
    UnknownEntity,
)
from models.catalogue import Items
from models.turn import Turn
from service.questions import Asked, Rows, TopK, moved

MAX_ITEMS = 2_000_000
"""Items of one answer, each field of an item counted as one more: about 300 MB while it is made. One user may always have
the whole catalogue."""
MAX_EXPLAINED = 10_000
"""Items of a ranking with explanations: each costs a pass over the whole history."""
CELLS_AT_ONCE = 20_000
"""Values of one call of an estimator in a thread: making a matrix of them lets no other thread run for about a millisecond."""

_PER_CELL = 100
"""Multiply-adds that take as long as bringing one value from JSON into a matrix and one prediction back."""
_ROWS_COUNTED = 256
"""More rows than that are not looked through on the event loop: they go to a thread."""

Answer = list[Ranking | UnknownEntity] | Predictions


COST_AT_ONCE = 100_000_000
"""Multiply-adds of one step for many users, some hundredths of a second: a thread cannot be stopped but between steps."""


class GivenUp(Exception):
    """The work was left because nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Job:
    """`run` does the work, wherever it is called, at about `cost` multiply-adds. It raises GivenUp where its turn is given up."""

    cost: int
    run: Callable[[Turn], Answer]


@dataclass(frozen=True, slots=True)
class Remote:
    """The work is done elsewhere: `send` awaits it, for at most as many seconds as it is told, and notes when its turn was."""

    rows: int
    send: Callable[[float, Turn], Awaitable[Answer]]


def job_of(asked: Asked, scorer: Scorer) -> Job | Remote:
    """What is to be done so that `scorer` answers. Raises InvalidQuery where it answers no such question."""
    if isinstance(asked, TopK):
        if scorer.kind != "recommender":
            told = "has no items" if asked.subject == "item_id" else f"does not know {asked.subject}"
            raise InvalidQuery(asked.subject, f"this model predicts rows and {told}: ask it with instances")
        if len(asked.query.users) and len(asked.query.liked) and scorer.family != "hybrid":
            raise InvalidQuery("liked", "give user_id or liked, not both: only a hybrid takes them together")
        recommender = cast(RecommenderScorer, scorer)
        cost = recommender.cost(asked.query)
        step = max(1, COST_AT_ONCE * asked.query.subjects // max(1, cost))
        return Job(cost, partial(_ranked, asked, recommender, step))
    if scorer.kind == "recommender":
        raise InvalidQuery("instances", "this model recommends items: ask it with user_id, users or liked")
    if scorer.kind == "hosted":
        return Remote(len(asked.instances), partial(cast(HostedScorer, scorer).answer, asked.instances))
    estimator = cast(EstimatorScorer, scorer)
    return Job(_cost_of(asked, estimator), partial(_predicted, asked.instances, estimator))


def _ranked(asked: TopK, scorer: RecommenderScorer, step: int, turn: Turn) -> Answer:
    query = fitted(asked, scorer)
    if len(query.users) > step:
        starts = range(0, len(query.users), step)
        return [answer for begin in starts for answer in _ranked_slice(query, begin, step, scorer, turn)]
    answers = scorer.recommend(query)
    if query.similar_to is None:
        return answers
    # Whom it is for, as the model names it: an address has only text.
    return [replace(answer, user=query.similar_to) if isinstance(answer, Ranking) else answer for answer in answers]


def _ranked_slice(query: Query, begin: int, step: int, scorer: RecommenderScorer, turn: Turn) -> list[Ranking | UnknownEntity]:
    if turn.is_given_up:
        raise GivenUp
    answers = scorer.recommend(replace(query, users=query.users[begin : begin + step]))
    # A user that is not known is named by where it stands among all, and not as the only one where the slice has no other.
    return [
        UnknownEntity(f"users[{begin + at}]", answer.message) if isinstance(answer, UnknownEntity) else answer
        for at, answer in enumerate(answers)
    ]


def fitted(asked: TopK, scorer: RecommenderScorer) -> Query:
    """The query as this model can be asked. Raises InvalidQuery for more than one answer should hold."""
    query, count = asked.query, scorer.items.count
    if asked.names_k and query.k > count:
        raise InvalidQuery("k", f"the model has {count} items")
    named = min(query.k, count)
    wide = 1 + len(query.fields)
    if (query.subjects > 1 or wide > 1) and query.subjects * named * wide > MAX_ITEMS:
        told = f"{query.subjects} users with {named} items each" + (f" and {wide - 1} fields an item" if wide > 1 else "")
        raise InvalidQuery("k", f"{told} are more than the {MAX_ITEMS} of one answer: ask for fewer at a time")
    if query.explain and named > MAX_EXPLAINED:
        raise InvalidQuery("k", f"explain names reasons for at most {MAX_EXPLAINED} items")
    return _read(query, scorer) if asked.is_text else query


def _read(query: Query, scorer: RecommenderScorer) -> Query:
    """The query with its ids, which are text of an address, in the kinds of this model."""
    items = scorer.items
    return replace(
        query,
        users=[_user(str(user), query, scorer) for user in query.users],
        liked=_known(query.liked, items),
        similar_to=None if query.similar_to is None else _id(str(query.similar_to), _has(items)),
        exclude=_known(query.exclude, items),
        only=None if query.only is None else _known(query.only, items),
    )


def _user(text: str, query: Query, scorer: RecommenderScorer) -> Id:
    """The id that `text` means to the model; of a user whom it does not know, what something is known to be done by."""
    meant = _id(text, scorer.knows_user)
    return meant if scorer.knows_user(meant) else _id(text, lambda user: user in query.recent)


def _id(text: str, is_known: Callable[[Id], bool]) -> Id:
    """The id that `text` means, or `text` itself if it means none; where "1" and 1 are both ids, the number."""
    try:
        number = int(text)
    except ValueError:
        return text
    return number if str(number) == text and is_known(number) else text


def _has(items: Items) -> Callable[[Id], bool]:
    return lambda each: items.row(each) is not None


def _known(texts: Sequence[Id], items: Items) -> list[Id]:
    """The ids of texts that may be several ids each, separated by commas. An id that has a comma in it is one all the same."""
    found: list[Id] = []
    has = _has(items)
    for text in map(str, texts):
        whole = _id(text, has)
        found += [whole] if has(whole) else [_id(part, has) for part in text.split(",")]
    return found


def _cost_of(asked: Rows, scorer: EstimatorScorer) -> int:
    rows = asked.instances
    cells = sum(len(row) for row in rows if isinstance(row, list | dict)) if len(rows) <= _ROWS_COUNTED else CELLS_AT_ONCE
    return scorer.cost_of(rows) + _PER_CELL * cells


def _predicted(rows: Sequence[Any], scorer: EstimatorScorer, turn: Turn) -> Predictions:
    """The predictions of all rows, some of them at a time. Raises InvalidQuery, its field counted from the first of all."""
    width = max(1, max((len(row) for row in rows[:1] if isinstance(row, list | dict)), default=1))
    step = max(1, CELLS_AT_ONCE // width)
    answers = [_slice(rows, begin, step, scorer, turn) for begin in range(0, len(rows), step)]
    first = answers[0]
    if len(answers) == 1:
        return first
    predictions = [each for answer in answers for each in answer.predictions]
    probabilities = None
    if first.probabilities is not None:
        probabilities = [each for answer in answers for each in answer.probabilities or ()]
    return Predictions(predictions, probabilities, first.classes)


def _slice(rows: Sequence[Any], begin: int, step: int, scorer: EstimatorScorer, turn: Turn) -> Predictions:
    if turn.is_given_up:
        raise GivenUp
    try:
        return scorer.predict(rows[begin : begin + step])
    except RequestError as error:
        raise type(error)(moved(error.field, by=begin), error.message) from error
