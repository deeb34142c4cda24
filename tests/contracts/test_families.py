"""What every family of `models.FAMILIES` owes: pack, segment, score equals the library's own answer, and the rules of answers.

A family that is listed without a module in `tests.contracts.families` fails. Does not cover: what is special to one
(`tests/unit/models`), the capped child (`tests/integration/loading`).
"""

from __future__ import annotations

import gc
import json
import os
import pickle
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.formats import read_artifact
from loaders.segment import Destination, Mapping
from loaders.segment_writer import ArtifactMap, SegmentWriter, write_bundle
from models import FAMILIES
from models.base import InvalidQuery, Query, Ranking, UnknownEntity
from models.bundle import Bundle
from models.packing import pack
from tests.contracts.families import Example, RecommenderExample, example, examples, own_suite
from tests.support import ROOT, run_python

HEAVY = ("sklearn", "implicit", "scipy", "pandas", "joblib", "asyncpg", "aiohttp", "lightfm")


class Loaded:
    """An example and its scorer. Unpacks into (example, bundle, scorer); closed by the fixture, which must not keep the mapping."""

    def __init__(self, example: Any, bundle: Bundle, scorer: Any) -> None:
        self.example = example
        self._opened = [bundle, scorer]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.example, *self._opened))

    def close(self) -> None:
        self._opened.clear()
        gc.collect(1)  # a full one takes longer than most tests; where it is needed, the census of leaks does it


def loaded(family: str, made: Example, folder: Path) -> Loaded:
    """Through a segment, in this process."""
    path = folder / "artifact"
    path.write_bytes(pickle.dumps(made.artifact, 5))
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
    return Loaded(made, bundle, import_module(f"{FAMILIES[family]}.score").open_scorer(bundle))


_KINDS_OF = {
    "any_model": (),
    "recommender": ("RECOMMENDERS", "ITEM_RECOMMENDERS"),
    "with_users": ("RECOMMENDERS",),
    "estimator": ("ESTIMATORS",),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs over the examples that it has anything to say of, by the name of its argument."""
    for name in _KINDS_OF.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, examples(*_KINDS_OF[name]), indirect=True, ids="-".join)


def _loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Loaded]:
    family, name = request.param
    model = loaded(family, example(family, name), tmp_path)
    yield model
    model.close()


any_model, recommender, with_users, estimator = (pytest.fixture(_loaded, name=name) for name in _KINDS_OF)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_examples_or_a_suite_of_its_own(family: str) -> None:
    suite = own_suite(family)
    assert family in {name for name, _ in examples()} or (suite is not None and (ROOT / suite).is_file())


# -- recommenders -------------------------------------------------------------------------------------------------------


def assert_same(answer: Any, wanted: list[tuple[Any, float]], most: int) -> None:
    assert isinstance(answer, Ranking)
    count = min(most, len(wanted))
    assert list(answer.items)[:count] == [id for id, _ in wanted[:count]]
    np.testing.assert_allclose(answer.scores[:count], [score for _, score in wanted[:count]], rtol=1e-4, atol=1e-5)
    assert list(map(type, answer.items)) == [type(id) if type(id) in (int, str) else None for id in answer.items]


def test_answers_are_the_library_s(with_users: Loaded) -> None:
    made, _, scorer = with_users
    for k in (1, 10, 10_000):
        for answer, wanted in zip(scorer.recommend(Query(made.users, k)), made.answers(min(k, 40)), strict=True):
            assert_same(answer, wanted, min(k, 40))


def test_liked_and_similar_are_the_library_s(recommender: Loaded) -> None:
    made, _, scorer = recommender
    if made.liked_answers is not None:
        (answer,) = scorer.recommend(Query(liked=made.liked, k=10))
        assert_same(answer, made.liked_answers(10), 10)
    if made.similar_answers is not None:
        for item in made.liked:
            (answer,) = scorer.recommend(Query(similar_to=item, k=10))
            assert_same(answer, made.similar_answers(item, 10), 10)


def test_a_batch_is_its_users_one_by_one(with_users: Loaded) -> None:
    made, _, scorer = with_users
    for exclude_seen in (None, False):
        batch = scorer.recommend(Query(made.users, 7, exclude_seen=exclude_seen))
        assert batch == [scorer.recommend(Query([user], 7, exclude_seen=exclude_seen))[0] for user in made.users]
        assert [answer.user for answer in batch if isinstance(answer, Ranking)] == made.users


def ways(made: RecommenderExample) -> list[dict[str, Any]]:
    return [*([{"users": made.users[:1]}] if made.users else []), {"liked": made.liked}, {"similar_to": made.liked[0]}]


def test_what_is_excluded_is_never_returned(recommender: Loaded) -> None:
    made, _, scorer = recommender
    for way in ways(made):
        first = scorer.recommend(Query(k=5, **way))[0]
        assert isinstance(first, Ranking)
        rest = scorer.recommend(Query(k=5, exclude=[*list(first.items)[:3], "nowhere", 2**80, -1], **way))[0]
        assert isinstance(rest, Ranking)
        assert list(rest.items)[:2] == list(first.items)[3:] and len(rest.items) == 5
        everything = scorer.recommend(Query(k=10_000, **way))[0]
        assert isinstance(everything, Ranking) and len(set(everything.items)) == len(everything.items)
        nothing = scorer.recommend(Query(k=5, exclude=list(everything.items), **way))[0]
        assert isinstance(nothing, Ranking) and list(nothing.items) == list(nothing.scores) == []
        some = list(everything.items)[4:9]
        only = scorer.recommend(Query(k=5, only=[*some[::-1], "nowhere"], **way))[0]
        assert isinstance(only, Ranking) and list(only.items) == some
        none = scorer.recommend(Query(k=5, only=[], **way))[0]
        assert isinstance(none, Ranking) and list(none.items) == []


def test_scores_fall_and_unknown_ids_are_said_so(recommender: Loaded) -> None:
    made, _, scorer = recommender
    for way in ways(made):
        (known,) = scorer.recommend(Query(k=10_000, **way))
        assert isinstance(known, Ranking)
        assert list(known.scores) == sorted(known.scores, reverse=True)
        assert all(type(score) is float for score in known.scores)
    if made.users:
        known, unknown = scorer.recommend(Query([made.users[0], "nobody of this name"], 10_000))
        assert isinstance(known, Ranking) and isinstance(unknown, UnknownEntity) and unknown.field == "users[1]"
        assert scorer.cost(Query(made.users, 5)) >= scorer.cost(Query(made.users[:1], 5)) > 0
    else:
        with pytest.raises(InvalidQuery, match="liked"):
            scorer.recommend(Query(["anybody"]))
    for field, query in {"liked": Query(liked=["nowhere", 2**70]), "item_id": Query(similar_to="nowhere")}.items():
        with pytest.raises(UnknownEntity) as caught:
            scorer.recommend(query)
        assert caught.value.field == field
    with pytest.raises(InvalidQuery) as refused:
        scorer.recommend(Query(liked=made.liked, fields=["no such column"]))
    assert refused.value.field == "fields[0]"
    assert all(isinstance(words, str) for words in scorer.ids_in_words().values())


def kinds_of(ids: Iterable[object]) -> str:
    kinds = {"int" if isinstance(id, int) else "str" for id in ids}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def test_a_recommender_says_which_ids_it_takes_and_gives(recommender: Loaded) -> None:
    made, _, scorer = recommender
    form = scorer.form()
    assert form.users == (kinds_of(made.users) if made.users else None)
    (answer,) = scorer.recommend(Query(liked=made.liked, k=10_000, exclude_seen=False))
    assert form.items == kinds_of(answer.items)
    if not form.has_categories:
        with pytest.raises(InvalidQuery, match="categor"):
            scorer.recommend(Query(liked=made.liked, categories=["x"]))


def test_an_estimator_says_which_rows_it_takes_and_what_it_gives(estimator: Loaded) -> None:
    made, _, scorer = estimator
    form, answer = scorer.form(), scorer.predict(made.rows)
    assert form.takes == "rows" and form.signature.features in (0, len(made.rows[0]))
    assert form.has_probabilities == (answer.probabilities is not None)
    assert form.text == {at for at, value in enumerate(list(made.rows[0])) if isinstance(value, str)}
    if answer.classes is not None:
        assert json.loads(json.dumps(form.signature.classes)) == list(answer.classes)
    width = len(answer.predictions[0]) if isinstance(answer.predictions[0], list) else 1
    assert form.signature.outputs == width


def test_what_is_liked_is_no_answer_unless_it_is_wanted(recommender: Loaded) -> None:
    made, _, scorer = recommender
    (answer,) = scorer.recommend(Query(liked=[*made.liked, "nowhere"], k=10_000))
    assert set(answer.items).isdisjoint(made.liked) and answer.user is None
    (seen_too,) = scorer.recommend(Query(liked=made.liked, k=10_000, exclude_seen=False))
    assert set(made.liked) <= set(seen_too.items)
    (similar,) = scorer.recommend(Query(similar_to=made.liked[0], k=10_000, exclude_seen=False))
    assert made.liked[0] not in similar.items


def test_diversity_one_is_plain_order_and_less_is_more_diverse(recommender: Loaded) -> None:
    made, _, scorer = recommender
    for way in ways(made):
        (plain,) = scorer.recommend(Query(k=8, diversity=1.0, **way))
        (mixed,) = scorer.recommend(Query(k=8, diversity=0.2, **way))

        def sameness(answer: Ranking) -> float:
            rows = np.array([scorer.items.row(id) for id in answer.items])
            alike = scorer.similarities(rows)
            return float(alike[np.triu_indices(len(rows), 1)].mean())

        assert list(plain.items) == list(scorer.recommend(Query(k=8, diversity=1.0, **way))[0].items)
        assert sameness(mixed) <= sameness(plain) + 1e-9 and mixed.items[0] == plain.items[0]


def test_explanations_name_the_history(recommender: Loaded) -> None:
    made, _, scorer = recommender
    (answer,) = scorer.recommend(Query(liked=made.liked, k=5, explain=True))
    assert answer.because is not None and len(answer.because) == len(answer.items)
    for named in answer.because:
        assert {id for id, _ in named} <= set(made.liked)
        assert [part for _, part in named] == sorted((part for _, part in named), reverse=True)
    assert any(answer.because)


# -- estimators ---------------------------------------------------------------------------------------------------------


def test_predictions_are_the_library_s(estimator: Loaded) -> None:
    made, _, scorer = estimator
    answer = scorer.predict(made.rows)
    assert_predictions(answer.predictions, made.predictions)
    if made.probabilities is None:
        assert answer.probabilities is None
    else:
        np.testing.assert_allclose(np.array(answer.probabilities), np.array(made.probabilities), rtol=1e-6, atol=1e-9)
        assert answer.classes is not None


def assert_predictions(found: Any, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(np.array(found, float), wanted, rtol=1e-6, atol=1e-9)
    else:
        assert np.array(found).tolist() == wanted.tolist()


def test_a_batch_is_its_rows_one_by_one(estimator: Loaded) -> None:
    made, _, scorer = estimator
    some = list(made.rows[:5])
    batch = scorer.predict(some)
    single = [scorer.predict([row]) for row in some]
    np.testing.assert_array_equal(np.array(batch.predictions), np.array([one.predictions[0] for one in single]))
    assert scorer.cost_of(some) >= scorer.cost_of(some[:1]) > 0


def test_rows_that_are_none_are_refused_by_field(estimator: Loaded) -> None:
    made, _, scorer = estimator
    row = list(made.rows[0])
    wrong: dict[str, list[Any]] = {
        "instances": [],
        "instances[1]": [row, row[:-1]],
        "instances[0]": [[*row, 1.0]],
        "instances[0][0]": [["no number", *row[1:]]],
    }
    for field, instances in wrong.items():
        with pytest.raises(InvalidQuery) as caught:
            scorer.predict(instances)
        assert caught.value.field == field


# -- both ---------------------------------------------------------------------------------------------------------------


def test_a_bundle_is_plain_and_read_only(any_model: Loaded) -> None:
    _, bundle, scorer = any_model
    assert scorer.family == bundle.family and scorer.kind in ("recommender", "estimator")
    assert all(array.dtype.kind in "biuf" and not array.flags.writeable for array in bundle.arrays.values())
    warmed = import_module(f"{FAMILIES[bundle.family]}.score").warm(scorer)
    assert isinstance(warmed, dict)


@pytest.mark.parametrize("family", FAMILIES)
def test_scoring_imports_numpy_alone(family: str) -> None:
    done = run_python(f"import sys, {FAMILIES[family]}.score; print([n for n in sys.modules if n.partition('.')[0] in {HEAVY!r}])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
