"""The share of content in a hybrid: lines along the length of a history, and the choice among them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle
from models.hybrid.score import HybridScorer
from tests.contracts.learning import KINDS, ask_for, data, fit, grouped, learn, publish
from tests.unit.models.hybrids import USERS, Parts
from training.errors import PartUnpublished, Untrainable
from training.trainers.blend_search import LENGTHS, SHARES, Cases, Line, best_line, gains_of, lines, of_both
from training.trainers.hybrid import FALLBACK


def cases(*of: tuple[int, float]) -> Cases:
    """Users of a length of history for whom one share is best, and others the worse the farther."""
    history, best = np.array([length for length, _ in of]), np.array([share for _, share in of])
    return Cases(history, 1.0 - np.abs(np.array(SHARES) - best[:, np.newaxis]))


def test_worth_is_read_between_two_shares() -> None:
    found = cases((0, 0.2), (10, 1.0))
    assert found.worth(Line(0.3, None, 5)) == pytest.approx((0.9 + 0.3) / 2)
    assert found.worth(Line(0.25, 0.0, 20)) == pytest.approx((0.95 + 0.125) / 2)
    assert found.worth(Line(1.0, None, 5)) == pytest.approx((0.2 + 1.0) / 2)


def test_the_line_that_suits_newcomers_and_others_is_found() -> None:
    found = best_line(cases(*((length, 0.8 if length < 5 else 0.1) for length in (0, 0, 0, 0, 0, 10, 40, 40, 90))), lines(None, None))
    assert (found.cold, found.warm, found.length) == (0.8, 0.1, 5)
    assert best_line(cases(*((length, 0.4) for length in (0, 5, 50))), lines(None, None)).blending(1.0).content_share(7) == pytest.approx(
        0.4
    )


def test_what_the_operator_gave_stays() -> None:
    assert {line.warm for line in lines(0.3, None)} == {0.3} and {line.length for line in lines(0.3, None)} == set(LENGTHS)
    assert {line.length for line in lines(None, 7)} == {7}
    assert all(line.warm is not None and line.warm <= line.cold for line in lines(None, None))


@pytest.mark.parametrize("cold", [*SHARES, 0.123456789, 1 / 3])
def test_every_line_makes_a_hybrid(cold: float) -> None:
    scorer = HybridScorer(Bundle("hybrid", {}, Line(cold, 1.0, 20.0).blending(0.9).to_meta()))
    assert scorer.blending.content_share(0) == pytest.approx(cold)


def test_a_blend_is_worth_where_it_ranks_what_was_held_out_among_what_is_new() -> None:
    content, collaborative = np.array([9.0, 3.0, 2.0, 1.0, -np.inf]), np.array([9.0, 0.0, 2.0, 3.0, -np.inf])
    found = gains_of([content, collaborative], 1, np.array([0, -1]), 3)
    places = {0.0: 2, 0.1: 2, 0.8: 0, 1.0: 0}  # item 0 is had; 2 and 3 stand before item 1 until content counts more
    for share, place in places.items():
        assert found[SHARES.index(share)] == pytest.approx(1.0 / np.log2(place + 2.0))
    assert gains_of([content, collaborative], 1, np.array([0]), 2)[0] == 0.0
    assert gains_of([content, collaborative], 4, np.array([0]), 5) == [0.0] * len(SHARES)


def test_what_is_blended_is_what_a_hybrid_of_that_share_answers() -> None:
    """Items of one part alone, and a user of whom content knows nothing, among them."""
    parts = Parts.made()
    every = parts.bind()
    liked = [np.array([4]), np.array([7, 12]), np.array([25])]  # 25 is an item of content alone
    subjects = [*(every.user(user) for user in range(USERS)), *(every.liking(rows) for rows in liked)]
    found = list(of_both(every, [subject for subject in subjects if subject is not None]))
    assert len(found) == len(subjects)
    for share in (0.0, 0.3, 1.0):
        hybrid = parts.bind(content_weight=share, collaborative_weight=1.0 - share)
        asked = [*(hybrid.user(user) for user in range(USERS)), *(hybrid.liking(rows) for rows in liked)]
        for subject, (content, collaborative) in zip(asked, found, strict=True):
            assert subject is not None
            with np.errstate(invalid="ignore"):
                blended = share * content + (1.0 - share) * collaborative
            np.testing.assert_allclose(np.where(np.isfinite(blended), blended, -np.inf), hybrid.scores([subject])[0], atol=1e-12)


# -- the trainer --------------------------------------------------------------------------------------------------------


def test_weights_that_are_given_are_not_searched(tmp_path: Path) -> None:
    learned = learn("hybrid", KINDS["int-ids-and-times"](), tmp_path, content_weight=0.6, default_lambda=0.7)
    assert learned.trained.notes == {} and learned.progress == [("opening parts", 0, 1), ("opening parts", 1, 1)]
    assert dict(learned.trained.parameters) == {
        "content_weight": 0.6, "content_weight_warm": None, "warm_interactions": 20, "default_lambda": 0.7}  # fmt: skip
    meta = learned.trained.bundle.meta
    assert (meta["content_weight"], meta["collaborative_weight"], meta["default_lambda"]) == (0.6, 0.4, 0.7)
    assert meta["parts"] == {"content": "content_based", "collaborative": "collaborative"}


def test_a_search_is_recorded_with_what_each_part_alone_is_worth(tmp_path: Path) -> None:
    learned = learn("hybrid", KINDS["int-ids-and-times"](), tmp_path)
    searched = learned.trained.notes["search"]
    assert searched["cases"] > 20 and searched["chosen"] >= max(searched["content 0"], searched["content 1"])
    steps = {step for step, _, _ in learned.progress}
    assert "searching content_weight" in steps and any(step.startswith("collaborative again: ") for step in steps)


def test_content_counts_where_the_others_know_nothing(tmp_path: Path) -> None:
    """Interactions of everybody with anything: who likes what is told by the items alone, one category a user."""
    rng = np.random.default_rng(3)
    cells = [(user, int(item)) for user in range(60) for item in rng.choice(40, 4, replace=False) * 3 + user % 3]
    learned = learn("hybrid", data(cells, 60, 120), tmp_path)
    assert learned.trained.notes["search"]["content 1"] > learned.trained.notes["search"]["content 0"]
    assert learned.trained.parameters["content_weight"] > 0.0


def test_where_nothing_can_be_held_out_there_is_a_fixed_line(tmp_path: Path) -> None:
    learned = learn("hybrid", KINDS["one-pair"](), tmp_path)
    assert learned.trained.notes == {"not_searched": "nothing could be held out"}
    assert learned.trained.parameters["content_weight"] == FALLBACK.cold
    assert learned.trained.parameters["content_weight_warm"] == FALLBACK.warm


def broken(tmp_path: Path, **changed: Any) -> Any:
    """An ask whose content part has another record."""
    ask = ask_for("hybrid", KINDS["int-ids-and-times"](), tmp_path)
    record = ask.parts["content"] / "version.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), **changed}))
    return ask


def test_parts_of_another_program_serve_on_with_a_fixed_line(tmp_path: Path) -> None:
    notes = fit("hybrid", broken(tmp_path, parameters={"gone": 1})).notes
    assert "cannot be trained again" in notes["not_searched"] and "gone" in notes["not_searched"]


def test_parts_that_are_none_are_named(tmp_path: Path) -> None:
    dataset = KINDS["int-ids-and-times"]()
    ask = ask_for("hybrid", dataset, tmp_path)
    parts = dict(ask.parts)
    with pytest.raises(PartUnpublished, match="collaborative"):
        fit("hybrid", replace(ask, parts={"content": parts["content"]}))
    with pytest.raises(PartUnpublished, match="record"):
        fit("hybrid", broken(tmp_path, version="20260101T000000-000000"))
    others = data(grouped(), 24, 18, item_id=lambda row: f"other-{row}")
    elsewhere = publish("content", others, tmp_path / "elsewhere", (), {})
    with pytest.raises(Untrainable, match="no item in common"):
        fit("hybrid", replace(ask, parts={**parts, "content": elsewhere}))
    (tmp_path / "two").mkdir()
    again = ask_for("hybrid", dataset, tmp_path / "two")
    nested = publish("hybrid", dataset, tmp_path / "two", (), {"content_weight": 0.5})
    with pytest.raises(Untrainable, match="content part is a hybrid"):
        fit("hybrid", replace(again, parts={**again.parts, "content": nested}))
