"""The bench of quality counts as the protocol says, reads its folders, and asks what the trainers made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.leave_one_out import LeaveOneOut, evaluate, made_up, read_folder
from bench.quality import main

TRAIN = "1\t10\t5\t978300760\n1\t11\t3\t978300761\n2\t10\t4\t978300762\n2\t12\t4\t978300763\n7\t12\t1\t978300764\n7\t13\t1\t978300765\n"
TEST = "1\t12\t5\t978300770\n2\t13\t4\t978300771\n7\t10\t2\t978300772\n"
NEGATIVE = "(1,12)\t14\t13\t12\t14\n(2,13)\t11\t14\n(7,10)\t11\t14\n"
ITEMS = "item_id,title,genres\n10,A night at sea,Drama|Sea\n12,The sea,Sea\n13,A drama,Drama\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("train.rating", TRAIN), ("test.rating", TEST), ("test.negative", NEGATIVE)):
        (tmp_path / f"tiny.{name}").write_text(text)
    return tmp_path


def test_a_folder_is_read(folder: Path) -> None:
    data = read_folder(folder)
    assert data.name == "tiny" and data.train.items is None
    assert data.train.user_ids == [1, 2, 7] and data.train.item_ids == [10, 11, 12, 13, 14]
    assert data.train.interactions.users.tolist() == [0, 0, 1, 1, 2, 2] and data.train.interactions.items.tolist() == [0, 1, 0, 2, 2, 3]
    assert set(data.train.interactions.weights.tolist()) == {1.0} and data.train.interactions.times is None
    assert [(user, item, rows.tolist()) for user, item, rows in data.tests] == [(0, 2, [3, 4]), (1, 3, [1, 4]), (2, 0, [1, 4])]
    (folder / "items.csv").write_text(ITEMS)
    items = read_folder(folder).train.items
    assert items is not None and items.text[0] == "A night at sea" and items.text[1] == "" and items.categories[0] == ("Drama", "Sea")


def test_a_folder_that_is_not_whole_is_named(folder: Path) -> None:
    (folder / "tiny.test.negative").write_text("(1,12)\t14\n")
    with pytest.raises(ValueError, match=r"no line \(2,13\)"):
        read_folder(folder)
    (folder / "other.train.rating").write_text(TRAIN)
    with pytest.raises(ValueError, match=r"2 files \*train\.rating"):
        read_folder(folder)


def test_lines_may_end_as_on_other_systems_and_a_last_one_may_be_empty(folder: Path) -> None:
    wanted = read_folder(folder)
    for name, text in (("train.rating", TRAIN), ("test.rating", TEST), ("test.negative", NEGATIVE)):
        (folder / f"tiny.{name}").write_text((text + "\n").replace("\n", "\r\n"), newline="")
        (folder / f"._tiny.{name}").write_bytes(b"\0\5\x16")  # what macOS leaves beside a file it has copied
    found = read_folder(folder)
    assert found.train.interactions.items.tolist() == wanted.train.interactions.items.tolist()
    assert [(user, item, rows.tolist()) for user, item, rows in found.tests] == [(u, i, rows.tolist()) for u, i, rows in wanted.tests]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("test.negative", "(1,12)\t14\n1,x\t3\n", r"tiny\.test\.negative, line 2: '1,x"),
        ("test.negative", "(1,12)\t14\tx\n", r"line 1: '\(1,12\)"),
        ("train.rating", "user\titem\n", r"tiny\.train\.rating: could not convert"),
        ("train.rating", "", r"tiny\.train\.rating is empty"),
    ],
)
def test_a_file_of_another_format_is_named(folder: Path, name: str, text: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / f"tiny.{name}").write_text(text)
    with pytest.raises(ValueError, match=told):
        read_folder(folder)
    with pytest.raises(SystemExit):
        main(["--data", str(folder)])
    assert f"--data: {folder / f'tiny.{name}'}" in capsys.readouterr().err


def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SystemExit):
            main(["--data", str(folder)])
        assert str(folder) in capsys.readouterr().err


def test_a_tie_counts_against_the_positive_and_what_has_no_score_is_last() -> None:
    train = made_up(20, 60, 20).train
    negatives = np.arange(1, 30)
    scores = np.zeros(60)

    def measured() -> tuple[float, float]:
        return evaluate(LeaveOneOut("x", train, [(0, 0, negatives)]), lambda user, items: scores[items])

    assert measured() == (0.0, 0.0)
    scores[0] = 1.0
    assert measured() == (1.0, 1.0)
    scores[1:10] = 1.0
    assert measured() == (1.0, 1 / np.log2(11))
    scores[10] = 1.0
    assert measured() == (0.0, 0.0)
    scores[1:30] = np.nan
    assert measured() == (1.0, 1.0)
    scores[0] = np.nan
    assert measured() == (0.0, 0.0)


def test_made_up_data_are_the_same_twice_and_hold_no_test_item() -> None:
    one, other = made_up(50, 90, 20, seed=1), made_up(50, 90, 20, seed=1)
    assert np.array_equal(one.train.interactions.items, other.train.interactions.items)
    learned = set(zip(one.train.interactions.users.tolist(), one.train.interactions.items.tolist(), strict=True))
    for user, item, negatives in one.tests:
        assert (user, item) not in learned and item not in negatives and not learned & {(user, row) for row in negatives.tolist()}


def test_trainers_are_measured_and_what_cannot_be_trained_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(folder), "--algorithms", "popular,content", "--json"]) == 0
    out = capsys.readouterr().out
    assert "3 users, 5 items, 6 interactions" in out and "left out: nothing is told of the items" in out
    figures = json.loads(out[out.index("\n{\n") :])["popular"]
    assert figures["hit_rate"] == 1.0 and figures["ndcg"] == pytest.approx((2 + 1 / np.log2(3)) / 3) and figures["peak_mib"] > 10


def test_the_hybrid_is_made_of_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "items.csv").write_text(ITEMS)
    assert main(["--data", str(folder), "--algorithms", "als,content,hybrid"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_a_name_that_is_no_trainer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--algorithms", "asl"])
    assert "'asl' is none of als," in capsys.readouterr().err
