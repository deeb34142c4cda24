"""What every family of `models.FAMILIES` owes: pack, segment, score equals the library's own answer, and the rules of answers.

A family that is listed without an example here fails. Does not cover: what is special to one (`tests/unit/models`), the
capped child (`tests/integration/loading`).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from loaders.formats import read_artifact
from loaders.segment import Destination, Mapping
from loaders.segment_writer import ArtifactMap, SegmentWriter, write_bundle
from models import FAMILIES
from models.base import Query, Ranking, Scorer, UnknownEntity
from models.bundle import Bundle
from models.packing import pack
from tests.support import run_python

HEAVY = ("sklearn", "implicit", "scipy", "pandas", "joblib", "asyncpg", "aiohttp")


class Example(NamedTuple):
    """An artifact of the family, and the library's own answer to `users`: [(item id, score)] each, seen items left out."""

    artifact: Any
    users: list[Any]
    answers: Callable[[int], list[list[tuple[Any, float]]]]


def factors() -> Example:
    from tests.artifacts.recommenders import als_dict, expected_recommend, interactions

    artifact = als_dict("mixed")
    users, items = list(artifact["user_id_map"]), list(artifact["item_id_map"])
    rows = [0, 5, 17, 44]

    def answers(k: int) -> list[list[tuple[Any, float]]]:
        found = expected_recommend(artifact["model"], rows, k, interactions())
        return [[(items[row], score) for row, score in zip(top.items, top.scores, strict=True)] for top in found]

    return Example(artifact, [users[row] for row in rows], answers)


EXAMPLES: dict[str, Callable[[], Example]] = {"factors": factors}


class Loaded(NamedTuple):
    example: Example
    bundle: Bundle
    scorer: Scorer


def loaded(family: str, folder: Path) -> Loaded:
    """Through a segment, in this process."""
    example = EXAMPLES[family]()
    path = folder / "artifact"
    path.write_bytes(pickle.dumps(example.artifact, 5))
    artifact_fd = os.open(path, os.O_RDONLY)
    destination = Destination(folder)
    try:
        writer, artifact = SegmentWriter(destination.fd, 64 << 20), ArtifactMap(artifact_fd)
        tree = read_artifact(artifact_fd, writer, artifact.adopt, lambda nbytes: None, lambda stream: None)
        bundle, reason = pack(tree.root)
        assert bundle.family == family and reason
        bundle, entries, note = write_bundle(writer, bundle, artifact)
        writer.finish(bundle, entries, note)
        bundle = Mapping(destination.fd, artifact_fd).bundle
    finally:
        destination.close()
        os.close(artifact_fd)
    return Loaded(example, bundle, import_module(f"{FAMILIES[family]}.score").open_scorer(bundle))


def test_every_family_has_an_example() -> None:
    assert set(EXAMPLES) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_library_s(family: str, tmp_path: Path) -> None:
    example, _, scorer = loaded(family, tmp_path)
    assert scorer.family == family
    for k in (1, 10, 10_000):
        for answer, wanted in zip(scorer.recommend(Query(example.users, k)), example.answers(min(k, 40)), strict=True):
            assert isinstance(answer, Ranking)
            count = min(k, 40, len(wanted))
            assert list(answer.items)[:count] == [id for id, _ in wanted[:count]]
            np.testing.assert_allclose(answer.scores[:count], [score for _, score in wanted[:count]], rtol=1e-4, atol=1e-5)
            assert list(map(type, answer.items)) == [type(id) if type(id) in (int, str) else None for id in answer.items]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_is_its_users_one_by_one(family: str, tmp_path: Path) -> None:
    example, _, scorer = loaded(family, tmp_path)
    for exclude_seen in (None, False):
        batch = scorer.recommend(Query(example.users, 7, exclude_seen=exclude_seen))
        assert batch == [scorer.recommend(Query([user], 7, exclude_seen=exclude_seen))[0] for user in example.users]
        assert [answer.user for answer in batch if isinstance(answer, Ranking)] == example.users


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_excluded_is_never_returned(family: str, tmp_path: Path) -> None:
    example, _, scorer = loaded(family, tmp_path)
    first = scorer.recommend(Query(example.users[:1], 5))[0]
    assert isinstance(first, Ranking)
    rest = scorer.recommend(Query(example.users[:1], 5, exclude=[*list(first.items)[:3], "nowhere", 2**80, -1]))[0]
    assert isinstance(rest, Ranking)
    assert list(rest.items)[:2] == list(first.items)[3:] and len(rest.items) == 5
    everything = scorer.recommend(Query(example.users[:1], 10_000))[0]
    assert isinstance(everything, Ranking) and len(set(everything.items)) == len(everything.items)
    nothing = scorer.recommend(Query(example.users[:1], 5, exclude=list(everything.items)))[0]
    assert isinstance(nothing, Ranking) and list(nothing.items) == list(nothing.scores) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_fall_and_unknown_users_are_said_so(family: str, tmp_path: Path) -> None:
    example, _, scorer = loaded(family, tmp_path)
    known, unknown = scorer.recommend(Query([example.users[0], "nobody of this name"], 10_000))
    assert isinstance(known, Ranking) and isinstance(unknown, UnknownEntity)
    assert list(known.scores) == sorted(known.scores, reverse=True)
    assert all(type(score) is float for score in known.scores)
    assert scorer.cost(Query(example.users, 5)) >= scorer.cost(Query(example.users[:1], 5)) > 0
    assert all(isinstance(words, str) for words in scorer.ids_in_words().values())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_is_plain_and_read_only(family: str, tmp_path: Path) -> None:
    _, bundle, scorer = loaded(family, tmp_path)
    assert all(array.dtype.kind in "biuf" and not array.flags.writeable for array in bundle.arrays.values())
    warmed = import_module(f"{FAMILIES[family]}.score").warm(scorer)
    assert isinstance(warmed, dict)


@pytest.mark.parametrize("family", FAMILIES)
def test_scoring_imports_numpy_alone(family: str) -> None:
    done = run_python(f"import sys, {FAMILIES[family]}.score; print([n for n in sys.modules if n.partition('.')[0] in {HEAVY!r}])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
