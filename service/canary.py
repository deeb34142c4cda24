"""A new version answers what the one that serves was asked lately, before it is asked by anybody.

Covers: the last questions of distinct subjects, in memory; putting them to a version that is loaded and does not serve yet; what
counts as an answer. Does not cover: when that is done (`service.lifecycle.run`), how good the answers are (the gate measures that).
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from config.schema import Settings
from loaders.errors import CanaryFailed, LoadTimeout
from models.base import Query, Ranking, RequestError, UnknownEntity
from models.turn import Turn
from service.jobs import Answer, job_of
from service.lifecycle.errors import UnknownModel
from service.lifecycle.fallback import trainings_behind
from service.lifecycle.lease import Lease
from service.lifecycle.ports import Loaded
from service.lifecycle.view import NotReady
from service.questions import Asked, TopK

MOST_UNKNOWN = 0.5
"""Share of the questions whose users, items or categories a new version may not know any more.

A shorter window of data loses some of those who ask, and more of them the longer ago the last version was trained; what is no longer
sold is asked for on. Ids of another kind, or the wrong table, lose all. Half is far from both.
"""
FEWEST_UNKNOWN = 3
"""One or two who are gone are chance, however few were asked for."""
LONGEST = 1000
"""Ids of a question that is remembered; a longer one would hold memory for no better check."""
TIMEOUT_S = 30.0
"""Of all questions together: they are small, and a load slot is held meanwhile."""

Acquire = Callable[[str], Lease]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A question for one subject, and whether it was answered with any item."""

    asked: TopK
    had_items: bool


class Questions:
    """The last questions of each model that is trained here, one of each subject. Event loop only."""

    def __init__(self, settings: Settings) -> None:
        self._limits = {name: limit for name, model in settings.models.items() if (limit := _limit_of(settings, trainings_behind(model)))}
        self._asked: dict[str, OrderedDict[object, Remembered]] = {name: OrderedDict() for name in self._limits}

    def remember(self, model: str, asked: Asked, answer: Answer) -> None:
        """Called with what was answered. Of a question for several users the first is remembered."""
        limit = self._limits.get(model)
        if limit is None or not isinstance(asked, TopK) or not isinstance(answer, list) or not answer:
            return
        query = asked.query
        if len(query.liked) + len(query.exclude) + len(query.only or ()) > LONGEST or not isinstance(answer[0], Ranking):
            return
        if len(query.users) > 1:
            asked = replace(asked, query=replace(query, users=query.users[:1]))
        kept = self._asked[model]
        key = _subject(query)
        kept.pop(key, None)
        kept[key] = Remembered(asked, bool(answer[0].items))
        if len(kept) > limit:
            kept.popitem(last=False)

    def of(self, model: str) -> tuple[Remembered, ...]:
        """What is remembered, the oldest first."""
        return tuple(self._asked.get(model, {}).values())


def _limit_of(settings: Settings, trainings: Iterable[str]) -> int:
    return next((settings.training[name].canary for name in trainings if name in settings.training), 0)


def _subject(query: Query) -> object:
    if query.users:
        return (type(query.users[0]), query.users[0])
    return ("similar", query.similar_to) if query.similar_to is not None else ("liked", *query.liked)


class QuestionCanary:
    """See `service.lifecycle.ports.Canary`. `acquire` leases what serves of another model, for a hybrid's parts."""

    def __init__(self, questions: Questions, acquire: Acquire, *, timeout_s: float = TIMEOUT_S) -> None:
        self._questions = questions
        self._acquire = acquire
        self._timeout_s = timeout_s

    def questions(self, model: str) -> int:
        """How many there are to be put."""
        return len(self._questions.of(model))

    async def check(self, model: str, challenger: Loaded) -> None:
        """Put every question to the challenger, in a thread. Raises CanaryFailed, LoadTimeout."""
        remembered = self._questions.of(model)
        with ExitStack() as held:
            try:
                parts = {role: held.enter_context(self._acquire(name)) for role, name in challenger.parts.items()}
            except (NotReady, UnknownModel):
                return  # a hybrid answers nothing while a part is away: neither the version before nor this one
            scorer = _bound(challenger.scorer, parts)
            turn = Turn()
            work = asyncio.ensure_future(asyncio.to_thread(_put_all, scorer, remembered, turn))
            try:
                async with asyncio.timeout(self._timeout_s):
                    complaint = await asyncio.shield(work)
            except TimeoutError as error:
                # A host may be short of processor time for once: tried again, and nothing is withdrawn.
                raise LoadTimeout(f"{len(remembered)} questions to the new version took longer than {self._timeout_s:g} s") from error
            finally:
                turn.is_given_up = True
                await asyncio.wait([work])  # its thread reads the arrays of the version, and of its parts
        if complaint is not None:
            raise CanaryFailed(complaint)


def _bound(scorer: Any, parts: Mapping[str, Lease]) -> Any:
    """As `service.binding.bound`, of a version without a lease."""
    if not parts:
        return scorer
    return scorer.bind(
        {role: part.scorer for role, part in parts.items()}, {role: f"{part.model} {part.version}" for role, part in parts.items()}
    )


def _put_all(scorer: Any, remembered: tuple[Remembered, ...], turn: Turn) -> str | None:
    """What is wrong with the answers, in words; None for nothing. In a thread; ends at the next question where it is given up."""
    unknown: list[str] = []
    for each in remembered:
        if turn.is_given_up:
            return None
        try:
            complaint = _put(scorer, each, turn)
        except UnknownEntity as error:
            unknown.append(error.message)
            continue
        if complaint is not None:
            return complaint
    if len(unknown) >= FEWEST_UNKNOWN and len(unknown) > MOST_UNKNOWN * len(remembered):
        return f"it does not know {len(unknown)} of the {len(remembered)} subjects that were asked for lately, the last: {unknown[-1]}"
    return None


def _put(scorer: Any, each: Remembered, turn: Turn) -> str | None:
    """What is wrong with one answer. Raises UnknownEntity for what is gone: one word that is asked for daily must stop no version."""
    who, query = _words(each.asked), each.asked.query
    try:
        ranking = _answer(scorer, each.asked, turn)
        if each.had_items and query.users and isinstance(ranking, Ranking) and not ranking.items:
            # Who has seen the whole of a small catalogue meanwhile is rightly given nothing: then there is something to leave out.
            ranking = _answer(scorer, replace(each.asked, query=replace(query, exclude_seen=False)), turn)
    except UnknownEntity:
        raise
    except RequestError as error:
        if error.field.startswith("categories["):
            raise UnknownEntity(error.field, error.message) from error
        return f"a question {who} that was answered is refused: {error.field}: {error.message}"
    except Exception as error:  # whatever it is, a client would get a 500
        return f"a question {who} raised {type(error).__name__}: {error}"
    if isinstance(ranking, UnknownEntity):
        raise ranking
    if not all(map(math.isfinite, ranking.scores)):
        return f"a question {who} got a score that is no finite number"
    if each.had_items and not ranking.items:
        if query.only is not None or query.categories:
            raise UnknownEntity("only", f"a question {who} names items or categories of which none is left")
        return f"a question {who} got no item, where the version that serves has some"
    return None


def _answer(scorer: Any, asked: TopK, turn: Turn) -> Any:
    job = job_of(asked, scorer)
    answer: Any = job.run(turn)  # type: ignore[union-attr]  # a question for items is never put to a model elsewhere
    (ranking,) = answer
    return ranking


def _words(asked: TopK) -> str:
    query = asked.query
    if query.users:
        return f"for user {query.users[0]!r}"
    return f"for items like {query.similar_to!r}" if query.similar_to is not None else f"for {len(query.liked)} liked items"
