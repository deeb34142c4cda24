"""What is remembered of the questions, and what a new version must answer of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from config.schema import ModelSettings, Settings, StoreSettings, TrainingSettings
from loaders.errors import CanaryFailed, LoadTimeout
from models.base import InvalidQuery, Predictions, Query, Ranking, UnknownEntity
from service.app import build_app
from service.canary import FEWEST_UNKNOWN, LONGEST, QuestionCanary, Questions
from service.keys import QUESTIONS
from service.lifecycle.lease import Held, Lease
from service.lifecycle.view import NotReady
from service.questions import Rows, TopK
from tests.unit.service.fakes import FakeLoaded, FakeRegistry, FakeScorer, live, settings_for

ANSWERED: list[Ranking | UnknownEntity] = [Ranking(1, [101], [0.5])]


def settings(limit: int = 20, source: str = "training:als", fallback: str = "") -> Settings:
    model = ModelSettings("als", source=source, fallback=fallback)
    return Settings(store=StoreSettings(Path("/nowhere")), models={"als": model}, training={"als": TrainingSettings("als", canary=limit)})


def user(id: int | str, **members: Any) -> TopK:
    return TopK(Query(users=[id], **members), "user_id")


def no_part(name: str) -> Lease:
    raise AssertionError(f"{name} is asked for, though nothing has parts")


def canary_of(*asked: TopK, acquire: Callable[[str], Lease] = no_part, had_items: bool = True, **members: Any) -> QuestionCanary:
    questions = Questions(settings(1000))
    for each in asked:
        questions.remember("als", each, [Ranking(1, [101] if had_items else [], [0.5] if had_items else [])])
    return QuestionCanary(questions, acquire, **members)


# -- remembering ----------------------------------------------------------------------------------------------------------


def test_the_last_questions_of_distinct_subjects() -> None:
    questions = Questions(settings(3))
    similar = TopK(Query(similar_to=101), "item_id", is_text=True)
    for asked in (user(1), user(2), user(1, k=5), user("1"), similar):
        questions.remember("als", asked, ANSWERED)
    assert [each.asked for each in questions.of("als")] == [user(1, k=5), user("1"), similar]
    assert all(each.had_items for each in questions.of("als"))


def test_of_several_users_the_first_and_of_liked_items_each_set() -> None:
    questions = Questions(settings())
    questions.remember("als", TopK(Query(users=[7, 8, 9]), "users"), [Ranking(7, [], []), UnknownEntity("users[1]", "no"), *ANSWERED])
    for liked in ([1, 2], [2, 1], [1, 2]):
        questions.remember("als", TopK(Query(liked=liked), "liked"), ANSWERED)
    kept = questions.of("als")
    assert [(list(each.asked.query.users), list(each.asked.query.liked)) for each in kept] == [([7], []), ([], [2, 1]), ([], [1, 2])]
    assert not kept[0].had_items


def test_nothing_is_remembered_that_is_long_unanswered_or_of_a_model_from_elsewhere() -> None:
    questions = Questions(settings())
    questions.remember("als", user(1, exclude=range(LONGEST + 1)), ANSWERED)
    questions.remember("als", user(1), [UnknownEntity("users[0]", "no user 1")])
    questions.remember("als", Rows([[1, 2]]), Predictions([1]))
    questions.remember("other", user(1), ANSWERED)
    assert questions.of("als") == questions.of("other") == ()
    for elsewhere in (settings(0), settings(source="s3://b/als.pkl")):
        questions = Questions(elsewhere)
        questions.remember("als", user(1), ANSWERED)
        assert questions.of("als") == ()
    questions = Questions(settings(source="s3://b/als.pkl", fallback="training:als"))
    questions.remember("als", user(1), ANSWERED)
    assert len(questions.of("als")) == 1


async def test_what_a_client_asked_is_remembered(tmp_path: Path) -> None:
    registry = FakeRegistry(live(), fallback="training:als")
    told = replace(settings_for(registry, tmp_path), training=settings().training)
    app = build_app(told, supervisor=registry, environ={})
    async with TestClient(TestServer(app)) as client:
        for body in ({"user_id": 3}, {"user_id": 99}, {"users": [4, 99], "k": 2}):
            async with client.post("/models/als/predict", json=body) as response:
                await response.read()
        assert [each.asked.query.users for each in app[QUESTIONS].of("als")] == [[3], [4]]


# -- checking -------------------------------------------------------------------------------------------------------------


@dataclass
class Challenger(FakeScorer):
    """Answers what `score` says for a user, and knows only those below 100."""

    score: Callable[[Any], float] = lambda user: 0.5

    def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
        self.threads.append(threading.current_thread().name)
        if query.similar_to is not None:
            raise UnknownEntity("item_id", f"no item {query.similar_to}")
        (asked,) = query.users
        if isinstance(asked, int) and asked >= 100:
            return [UnknownEntity("users[0]", f"no user {asked}")]
        score = self.score(asked)
        return [Ranking(asked, [] if score == 0 else [101], [] if score == 0 else [score])]


async def complaint(canary: QuestionCanary, scorer: Any, **members: Any) -> str | None:
    try:
        await canary.check("als", FakeLoaded(scorer, **members))
    except CanaryFailed as error:
        return error.message
    return None


async def test_a_version_that_answers_passes_and_is_asked_in_a_thread() -> None:
    scorer = Challenger()
    canary = canary_of(user(1), user(2))
    assert canary.questions("als") == 2 and canary.questions("other") == 0
    assert await complaint(canary, scorer) is None
    assert len(scorer.threads) == 2 and threading.main_thread().name not in scorer.threads


def refuse(user: Any) -> float:
    raise InvalidQuery("fields[0]", "there is no column 'title'")


@pytest.mark.parametrize(
    ("score", "told"),
    [
        (lambda user: 1 / 0, "a question for user 2 raised ZeroDivisionError: division by zero"),
        (lambda user: float("nan"), "a question for user 2 got a score that is no finite number"),
        (lambda user: float("inf"), "a question for user 2 got a score that is no finite number"),
        (lambda user: 0, "a question for user 2 got no item, where the version that serves has some"),
        (refuse, "a question for user 2 that was answered is refused: fields[0]: there is no column 'title'"),
    ],
    ids=["raises", "nan", "inf", "empty", "refuses"],
)
async def test_what_is_no_answer(score: Callable[[Any], float], told: str) -> None:
    assert await complaint(canary_of(user(2)), Challenger(score=score)) == told


async def test_where_the_version_that_serves_had_nothing_nothing_is_expected() -> None:
    assert await complaint(canary_of(user(2), had_items=False), Challenger(score=lambda user: 0)) is None


async def test_who_has_seen_everything_meanwhile_stops_no_version() -> None:
    class Seen(Challenger):
        def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
            return super().recommend(query) if query.exclude_seen is False else [Ranking(query.users[0], [], [])]

    assert await complaint(canary_of(user(2), user(3, exclude_seen=True)), Seen()) is None


@pytest.mark.parametrize(
    ("unknown", "known", "fails"),
    [(FEWEST_UNKNOWN - 1, 0, False), (FEWEST_UNKNOWN, 0, True), (4, 4, False), (5, 4, True)],
)
async def test_some_may_be_gone_but_not_most(unknown: int, known: int, fails: bool) -> None:
    asked = [*(user(100 + at) for at in range(unknown - 1)), *(user(at) for at in range(known)), TopK(Query(similar_to=7), "item_id")]
    told = await complaint(canary_of(*asked), Challenger())
    assert (told is not None) == fails
    if told is not None:
        assert told == f"it does not know {unknown} of the {unknown + known} subjects that were asked for lately, the last: no item 7"


def retired(category: str) -> Any:
    raise InvalidQuery("categories[1]", f"no item is in a category {category!r}")


@pytest.mark.parametrize(
    "narrowed",
    [user(7, categories=("beach", "winter")), user(7, only=(55,))],
    ids=["categories", "only"],
)
@pytest.mark.parametrize(
    "score", [lambda user: 0 if user == 7 else 0.5, lambda user: retired("winter") if user == 7 else 0.5], ids=["nothing", "refused"]
)
async def test_a_category_or_an_item_that_is_no_longer_there_stops_no_version(narrowed: TopK, score: Callable[[Any], float]) -> None:
    assert await complaint(canary_of(narrowed, user(1)), Challenger(score=score)) is None


async def test_where_most_categories_are_gone_it_is_the_wrong_table() -> None:
    asked = [user(at, categories=("a", "b")) for at in range(FEWEST_UNKNOWN)]
    told = await complaint(canary_of(*asked), Challenger(score=lambda user: retired("b")))
    assert told == "it does not know 3 of the 3 subjects that were asked for lately, the last: no item is in a category 'b'"


async def test_a_hybrid_is_asked_over_the_parts_that_serve() -> None:
    class Hybrid:
        def bind(self, parts: Any, versions: Any) -> Any:
            assert versions == {"content": "texts v1"}
            return parts["content"]

    scorer = Challenger()
    held = Held("texts", FakeLoaded(scorer, version="v1"))
    canary = canary_of(user(1), acquire=lambda name: held.lease())
    assert await complaint(canary, Hybrid(), parts={"content": "texts"}) is None
    assert (len(scorer.threads), held.leases) == (1, 0)


async def test_a_hybrid_whose_part_is_away_is_not_asked() -> None:
    def away(name: str) -> Lease:
        raise NotReady(FakeRegistry(replace(live("texts"), live=None)).view("texts"))

    assert await complaint(canary_of(user(1), acquire=away), object(), parts={"content": "texts"}) is None


async def test_a_version_that_takes_too_long_is_tried_again_and_let_finish_its_question() -> None:
    goes_on = threading.Event()
    scorer = Challenger(score=lambda user: 0.5 if goes_on.wait(10) else 1 / 0)
    canary = canary_of(user(1), user(2), timeout_s=0.01)
    asyncio.get_running_loop().call_later(0.1, goes_on.set)
    with pytest.raises(LoadTimeout, match=r"2 questions to the new version took longer than 0\.01 s"):
        await canary.check("als", FakeLoaded(scorer))
    assert len(scorer.threads) == 1, "the second question is not asked any more"


async def test_a_check_that_is_cancelled_lets_its_thread_come_to_an_end() -> None:
    began, goes_on = threading.Event(), threading.Event()

    def score(user: Any) -> float:
        began.set()
        return 0.5 if goes_on.wait(10) else 1 / 0

    scorer = Challenger(score=score)
    checking = asyncio.ensure_future(complaint(canary_of(user(1), user(2)), scorer))
    await asyncio.to_thread(began.wait, 10)
    checking.cancel()
    await asyncio.sleep(0)
    assert not checking.done(), "its thread reads the arrays"
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert len(scorer.threads) == 1
