"""A hybrid's answers are those of its parts on one scale, weighted; and the rules that every recommender keeps.

Does not cover: that its parts are ready (`tests/unit/lifecycle/test_parts.py`), the union of the items (`test_hybrid_items.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.base import Id, InvalidQuery, Query, Ranking, UnknownEntity
from models.bundle import BadBundle, Bundle
from models.hybrid.bound import Scale
from models.hybrid.pack import matches
from models.hybrid.score import open_scorer, warm
from models.packing import PackError, pack
from models.records import Array
from tests.unit.models.building import scorer_of
from tests.unit.models.hybrids import (
    COLLABORATIVE_IDS,
    CONTENT_IDS,
    NEWCOMER,
    USERS,
    Parts,
    factors_part,
    history_of,
    hybrid_of,
    ranked,
    seen_table,
)

EVERYTHING = {*CONTENT_IDS, *COLLABORATIVE_IDS}


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts.made()


def only(answers: Sequence[Ranking | UnknownEntity]) -> Ranking:
    (answer,) = answers
    assert isinstance(answer, Ranking)
    return answer


def assert_answers(answer: Ranking, wanted: tuple[list[Id], list[float]]) -> None:
    assert list(answer.items) == wanted[0]
    np.testing.assert_allclose(answer.scores, wanted[1], rtol=1e-9, atol=1e-12)


# -- for whom -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", range(2, NEWCOMER))
def test_a_known_user_is_answered_by_both_parts(parts: Parts, user: int) -> None:
    history = history_of(user)
    scores = parts.blended(Query(liked=history), Query([user]), 0.6)
    answer = only(parts.bind().recommend(Query([user], 20)))
    assert answer.notes == {"answered_by": ["content", "collaborative"], "content_weight": 0.6}
    assert_answers(answer, ranked(scores, 20, history))
    assert set(only(parts.bind().recommend(Query([user], 100))).items) == EVERYTHING - set(history)
    assert_answers(only(parts.bind().recommend(Query([user], 100, exclude_seen=False))), ranked(scores, 100))


@pytest.mark.parametrize("user", [NEWCOMER, 1])
def test_a_user_of_whom_content_knows_nothing_is_answered_by_the_collaborative_part_alone(parts: Parts, user: int) -> None:
    assert set(history_of(user)).isdisjoint(CONTENT_IDS)
    answer = only(parts.bind().recommend(Query([user], 100)))
    assert answer.notes == {"answered_by": ["collaborative"], "content_weight": 0.0}
    assert_answers(answer, ranked(parts.blended(None, Query([user]), 0.0), 100, history_of(user)))


def test_nobody_is_answered_who_is_unknown(parts: Parts) -> None:
    known, unknown = parts.bind().recommend(Query([3, 999]))
    assert isinstance(known, Ranking) and isinstance(unknown, UnknownEntity) and unknown.field == "users[1]"
    with pytest.raises(UnknownEntity) as caught:
        parts.bind().recommend(Query(liked=["nowhere", 3]))
    assert caught.value.field == "liked"


def test_what_is_liked_is_answered_by_the_parts_that_know_any_of_it(parts: Parts) -> None:
    both, content, collaborative = ["i7", "i12"], ["i25", "i30"], ["i0", "i3"]
    asked: dict[str, tuple[list[str], Query | None, Query | None, float]] = {
        "both": (both, Query(liked=both), Query(liked=both), 0.6),
        "each its own": (["i25", "i3"], Query(liked=["i25"]), Query(liked=["i3"]), 0.6),
        "content": (content, Query(liked=content), None, 1.0),
        "collaborative": (collaborative, None, Query(liked=collaborative), 0.0),
    }
    for liked, of_content, of_collaborative, share in asked.values():
        answer = only(parts.bind().recommend(Query(liked=[*liked, "nowhere"], k=100)))
        assert_answers(answer, ranked(parts.blended(of_content, of_collaborative, share), 100, liked))
        roles = [role for role, query in (("content", of_content), ("collaborative", of_collaborative)) if query is not None]
        assert answer.notes == {"answered_by": roles, "content_weight": share} and answer.user is None


def test_a_session_joins_a_user_s_history_and_stands_in_for_an_unknown_user(parts: Parts) -> None:
    history, session = history_of(4), ["i25", "i6", "nowhere"]
    joined = only(parts.bind().recommend(Query([4], 100, liked=session)))
    known = sorted({*history, "i25", "i6"})
    assert_answers(joined, ranked(parts.blended(Query(liked=known), Query([4]), 0.6), 100, known))
    cold = only(parts.bind().recommend(Query([999], 100, liked=session)))
    assert cold.user == 999
    assert_answers(cold, ranked(parts.blended(Query(liked=session), Query(liked=["i6"]), 0.6), 100, session))
    (nobody,) = parts.bind().recommend(Query([999], liked=["nowhere"]))
    assert isinstance(nobody, UnknownEntity) and nobody.field == "user_id"


def test_similar_items_are_those_of_the_parts_that_know_the_item(parts: Parts) -> None:
    asked = {"i10": (True, True, 0.6), "i28": (True, False, 1.0), "i1": (False, True, 0.0)}
    for item, (in_content, in_collaborative, share) in asked.items():
        query = Query(similar_to=item)
        wanted = parts.blended(query if in_content else None, query if in_collaborative else None, share, is_scaled=False)
        answer = only(parts.bind(default_lambda=0.3).recommend(Query(similar_to=item, k=100)))
        assert_answers(answer, ranked(wanted, 100))
        assert item not in answer.items
    with pytest.raises(UnknownEntity) as caught:
        parts.bind().recommend(Query(similar_to="nowhere"))
    assert caught.value.field == "item_id"


def test_a_part_that_knows_no_history_leaves_the_user_to_itself() -> None:
    made = Parts.made()
    made.collaborative = factors_part(COLLABORATIVE_IDS, 2)
    hybrid = made.bind()
    assert not hybrid.knows_seen
    assert only(hybrid.recommend(Query([5]))).notes["answered_by"] == ["collaborative"]
    with pytest.raises(InvalidQuery) as caught:
        hybrid.recommend(Query([5], exclude_seen=True))
    assert caught.value.field == "exclude_seen"


# -- weights --------------------------------------------------------------------------------------------------------------


def test_weights_are_shares_of_their_sum(parts: Parts) -> None:
    one, other = parts.bind(content_weight=3, collaborative_weight=1), parts.bind(content_weight=0.75, collaborative_weight=0.25)
    assert one.recommend(Query([6], 10)) == other.recommend(Query([6], 10))
    assert only(one.recommend(Query([6]))).notes["content_weight"] == 0.75


def test_the_content_weight_falls_with_the_history_where_the_artifact_says_so(parts: Parts) -> None:
    falling = parts.bind(content_weight_warm=0.1, warm_interactions=8)
    shares = {user: only(falling.recommend(Query([user]))).notes["content_weight"] for user in range(2, NEWCOMER)}
    assert shares[4] == pytest.approx(0.35) and shares[8] == shares[10] == pytest.approx(0.1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    history = history_of(4)
    assert_answers(only(falling.recommend(Query([4], 9))), ranked(parts.blended(Query(liked=history), Query([4]), 0.35), 9, history))
    at_once = parts.bind(content_weight_warm=0.1, warm_interactions=0)
    assert only(at_once.recommend(Query([2]))).notes["content_weight"] == pytest.approx(0.1)


def test_weights_of_nothing_leave_the_other_part(parts: Parts) -> None:
    history = history_of(6)
    answer = only(parts.bind(content_weight=0.0).recommend(Query([6], 15)))
    alone = only(parts.collaborative.recommend(Query([6], 15)))
    known = [item for item in answer.items if item in COLLABORATIVE_IDS]
    assert known == list(alone.items)[: len(known)] and set(known).isdisjoint(history)


def test_a_range_without_a_width_is_left_as_it_is() -> None:
    assert Scale.of({}) == Scale.of({"score_range": None}) == Scale.of({"score_range": {"min": "a", "max": 1}}) == Scale()
    assert Scale.of({"score_range": {"min": 2.0, "max": 2.0}}) == Scale(2.0, 1.0)
    assert Scale.of({"score_range": {"min": 1.0, "max": float("nan")}}) == Scale()
    assert Scale.of({"score_range": {"min": -1, "max": 3}}) == Scale(-1.0, 0.25)


# -- the rules of answers -------------------------------------------------------------------------------------------------

WAYS: list[dict[str, Any]] = [{"users": [5]}, {"liked": ["i7", "i25"]}, {"similar_to": "i9"}]


def test_a_batch_is_its_users_one_by_one(parts: Parts) -> None:
    users = [*range(USERS), 999]
    for exclude_seen in (None, False):
        batch = parts.bind().recommend(Query(users, 7, exclude_seen=exclude_seen))
        for user, answer in zip(users[:-1], batch[:-1], strict=True):
            assert [answer] == parts.bind().recommend(Query([user], 7, exclude_seen=exclude_seen))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: next(iter(way)))
def test_what_is_excluded_or_not_allowed_is_no_answer(parts: Parts, way: dict[str, Any]) -> None:
    hybrid = parts.bind()
    first = list(only(hybrid.recommend(Query(k=8, **way))).items)
    assert list(only(hybrid.recommend(Query(k=5, exclude=[*first[:3], "nowhere", 2**80], **way))).items) == first[3:]
    assert list(only(hybrid.recommend(Query(k=5, only=[*first[2:5][::-1], 7], **way))).items) == first[2:5]
    assert only(hybrid.recommend(Query(k=5, only=[], **way))).items == []
    everything = only(hybrid.recommend(Query(k=1000, exclude_seen=False, **way)))
    assert len(everything.items) == len(set(everything.items)) and set(everything.items) <= EVERYTHING
    assert list(everything.scores) == sorted(everything.scores, reverse=True)
    assert all(type(score) is float for score in everything.scores)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: next(iter(way)))
def test_lambda_one_is_plain_order_and_less_is_more_diverse(parts: Parts, way: dict[str, Any]) -> None:
    plain, mixed = (only(parts.bind().recommend(Query(k=8, diversity=trade_off, **way))) for trade_off in (1.0, 0.2))
    assert plain == only(parts.bind().recommend(Query(k=8, **way)))

    def sameness(answer: Ranking) -> float:
        hybrid = parts.bind()
        rows = np.array([hybrid.items.row(item) for item in answer.items])
        return float(hybrid.similarities(rows)[np.triu_indices(len(rows), 1)].mean())

    assert sameness(mixed) < sameness(plain) and mixed.items[0] == plain.items[0]


def test_a_saved_lambda_is_the_default_and_else_it_is_nearly_one(parts: Parts) -> None:
    saved = parts.bind(default_lambda=0.3)
    assert saved.recommend(Query([7], 8)) == parts.bind().recommend(Query([7], 8, diversity=0.3)) != parts.bind().recommend(Query([7], 8))
    unsaved = parts.bind(default_lambda=None)
    assert unsaved.default_diversity == 0.9
    assert unsaved.recommend(Query([7], 8)) == parts.bind().recommend(Query([7], 8, diversity=0.9))


def test_items_are_as_alike_as_content_says_or_else_the_collaborative_part(parts: Parts) -> None:
    hybrid = parts.bind()
    ids = ["i6", "i28", "i2", "i9"]
    alike = hybrid.similarities(np.array([hybrid.items.row(id) for id in ids]))

    def of(part: Any, one: int, other: int) -> float:
        rows = np.array([part.items.row(ids[one]), part.items.row(ids[other])])
        return float(part.similarities(rows)[0, 1])

    for one, other in ((0, 1), (0, 3), (1, 3)):
        assert alike[one, other] == alike[other, one] == pytest.approx(of(parts.content, one, other))
    for one, other in ((0, 2), (2, 3)):
        assert alike[one, other] == pytest.approx(of(parts.collaborative, one, other))
    assert alike[1, 2] == 0.0 and np.allclose(np.diag(alike), 1.0)


def test_explanations_add_up_what_both_parts_say(parts: Parts) -> None:
    liked = ["i3", "i7", "i25"]
    hybrid = parts.bind()
    answer = only(hybrid.recommend(Query(liked=liked, k=40, explain=True)))
    assert answer.because is not None and len(answer.because) == len(answer.items) and any(answer.because)
    for item, named in zip(answer.items, answer.because, strict=True):
        for id, contribution in named:
            wanted = 0.0
            for part, share, known in ((parts.content, 0.6, ["i25", "i7"]), (parts.collaborative, 0.4, ["i3", "i7"])):
                row = part.items.row(item)
                if row is None or id not in known:
                    continue
                rows = np.array(sorted(part.items.rows(known)))
                found = part.contributions(part.liking(rows), np.array([row]))[0]
                sampled = part.details["score_range"]
                wanted += share * found[list(rows).index(part.items.row(id))] / (sampled["max"] - sampled["min"])
            assert contribution == pytest.approx(wanted)
    explained = only(hybrid.recommend(Query([5], 5, explain=True)))
    assert explained.because is not None
    assert {id for named in explained.because for id, _ in named} <= set(history_of(5))


def test_scores_that_are_no_number_are_left_to_the_other_part(parts: Parts) -> None:
    rng = np.random.default_rng(3)
    items = rng.standard_normal((20, 6))
    items[4] = np.nan
    broken = Parts(parts.content, scorer_of(rng.standard_normal((USERS, 6)), items, seen_table()))
    broken.content = factors_part(list(range(1003, 1010)), 1)
    answer = only(broken.bind().recommend(Query([5], 100, exclude_seen=False)))
    assert 1004 in answer.items and all(np.isfinite(answer.scores))
    items[15] = np.nan
    assert 1015 not in only(broken.bind().recommend(Query([5], 100, exclude_seen=False))).items


def test_items_that_no_answering_part_knows_have_no_score(parts: Parts) -> None:
    hybrid = parts.bind()
    everything = np.arange(hybrid.items.count)
    for liked, known in (("i25", CONTENT_IDS), ("i2", COLLABORATIVE_IDS)):
        row = hybrid.items.row(liked)
        assert row is not None
        subject = hybrid.liking(np.array([row]))
        for found in (hybrid.scores([subject])[0], hybrid.exact(subject, everything)):
            assert {item for item, score in zip(hybrid.items.ids(everything), found, strict=True) if score > -np.inf} == set(known)


def test_cost_counts_the_matching_until_it_is_done(parts: Parts) -> None:
    hybrid = hybrid_of({"content_weight": 0.6})
    bound = [
        hybrid.bind({"content": parts.content, "collaborative": parts.collaborative}, {"content": version, "collaborative": "m1"})
        for version in ("c1", "c1", "c2", "c3")
    ]
    query = Query([5], 5, diversity=1.0)
    first = bound[0].cost(query)
    assert first == bound[1].cost(query) and not hybrid._alignments
    bound[0].recommend(query)
    assert 0 < bound[1].cost(query) != first
    for each in bound:
        each.recommend(query)
    assert list(hybrid._alignments) == [("c2", "m1"), ("c3", "m1")]
    assert bound[0].cost(query) == first


def test_a_hybrid_is_no_part_of_a_hybrid(parts: Parts) -> None:
    with pytest.raises(TypeError, match="hybrid"):
        hybrid_of({"content_weight": 1}).bind(
            {"content": parts.content, "collaborative": parts.bind()}, {"content": "1", "collaborative": "2"}
        )


# -- the artifact ---------------------------------------------------------------------------------------------------------

SAVED: dict[str, Any] = {
    "content_weight": 0.6,
    "collaborative_weight": 0.4,
    "default_lambda": 0.7,
    "similarity_matrix": None,
    "is_trained": True,
    "trained_at": "2026-01-01",
}


def test_the_metadata_dict_is_a_hybrid() -> None:
    bundle, reason = pack(SAVED)
    assert bundle.family == "hybrid" and reason == "a dict with content_weight and collaborative_weight" and bundle.arrays == {}
    assert bundle.details["default_lambda"] == 0.7 and bundle.details["trained_at"] == "2026-01-01" and "warnings" not in bundle.details
    scorer = open_scorer(bundle)
    assert (scorer.family, scorer.kind, scorer.parts, warm(scorer), scorer.ids_in_words()) == ("hybrid", "recommender", {}, {}, {})
    named, _ = pack({"content_weight": 0.6, "parts": {"content": "texts"}, "similarity_matrix": Array(np.eye(3))})
    assert open_scorer(named).parts == {"content": "texts"}
    assert "similarity_matrix is not used" in named.details["warnings"][0]
    assert matches({"default_lambda": 0.7}) is None and matches([SAVED]) is None
    with pytest.raises(PackError) as caught:
        pack({**SAVED, "is_trained": False})
    assert caught.value.type == "not_trained"


WRONG: dict[str, dict[str, Any]] = {
    "content_weight is -1": {"content_weight": -1.0},
    "content_weight is nan": {"content_weight": float("nan")},
    "content_weight is of type int": {"content_weight": 10**5000},
    "collaborative_weight is of type list": {"collaborative_weight": [0.4]},
    "collaborative_weight is much": {"collaborative_weight": "much"},
    "default_lambda is of type bool": {"default_lambda": True},
    "default_lambda is 1.5": {"default_lambda": 1.5},
    "add up to 0": {"content_weight": 0, "collaborative_weight": 0},
    "content_weight_warm is more": {"content_weight_warm": 1.5},
    "warm_interactions is of type int": {"warm_interactions": -2},
    "parts does not map": {"parts": ["content"]},
    "parts does not map roles": {"parts": {"content": 7}},
    "the role 'titles'": {"parts": {"titles": "a"}},
}


@pytest.mark.parametrize("message", WRONG)
def test_numbers_that_are_none_are_refused_in_the_child_and_in_the_server(message: str) -> None:
    with pytest.raises(PackError, match=message) as caught:
        pack({**SAVED, **WRONG[message]})
    assert caught.value.type == "corrupt_artifact"
    with pytest.raises(BadBundle, match=message):
        open_scorer(Bundle("hybrid", {}, {**SAVED, **WRONG[message]}, {}))


# -- parts that do not meet -----------------------------------------------------------------------------------------------


def test_parts_without_an_item_in_common_are_told_of_in_each_answer(parts: Parts) -> None:
    """The commonest cause: the ids are numbers in one artifact and text in the other."""
    apart = Parts(factors_part(range(20), 1), parts.collaborative).bind()
    (warning,) = only(apart.recommend(Query([3]))).notes["warnings"]
    assert "no item in common" in warning and "content has int: 0, 1, 2" in warning and "collaborative has str: 'i0', 'i1'" in warning
    for answer in (*apart.recommend(Query([3, NEWCOMER])), *apart.recommend(Query(liked=[1])), *apart.recommend(Query(similar_to="i1"))):
        assert isinstance(answer, Ranking) and answer.notes["warnings"] == [warning]
    assert "warnings" not in only(parts.bind().recommend(Query([3]))).notes
