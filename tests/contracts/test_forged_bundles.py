"""What every family owes to a segment that a compromised child wrote, and to a bundle file of anybody's: it is refused, or it answers;
it never breaks.

Each example's good bundle, some array or some word of it damaged, opened and asked. A run is the same each time; SEEDS is to be raised
for a longer search. Does not cover: what each family refuses by name (`tests/unit/models/test_*_forged.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.base import Predictions, Query, RequestError
from models.bundle import BadBundle, Bundle
from models.opening import open_scorer_of, warm_scorer
from tests.contracts.families import EstimatorExample, RecommenderExample, example, examples
from tests.unit.models.building import packed

SEEDS = range(12)
Forge = Callable[[np.random.Generator, NDArray[Any]], NDArray[Any]]


def some_cells(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    """Numbers that are at a bound, or beyond every one."""
    numbers = [0.0, -1.0, 1e308, -1e308, np.nan, np.inf, 5e-324] if array.dtype.kind == "f" else [0, 1, -1, array.size, 1 << 30, 1 << 62]
    for at in rng.integers(0, max(array.size, 1), 3) if array.size else ():
        number = np.array(numbers[int(rng.integers(len(numbers)))])
        array.reshape(-1)[at] = number.astype(array.dtype, casting="unsafe")
    return array


def shuffled(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    flat = array.reshape(-1)
    return rng.permutation(flat).reshape(array.shape)


def noise(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    return np.frombuffer(rng.bytes(array.nbytes), array.dtype).reshape(array.shape).copy() if array.dtype.kind != "b" else ~array


def cut(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    return array[: int(rng.integers(0, max(1, len(array))))].copy()


def of_another_type(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(rng.choice(["f2", "f4", "f8", "i2", "i4", "i8", "u1", "u8", "?"]), casting="unsafe")


def of_another_rank(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, 1) if array.ndim == 1 else array.reshape(-1)


FORGES: tuple[Forge, ...] = (some_cells, some_cells, shuffled, noise, cut, of_another_type, of_another_rank)


@cache
def good(family: str, name: str) -> tuple[Any, Bundle]:
    made = example(family, name)
    return made, packed(made.artifact)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("family", "name"), examples(), ids=[f"{family}-{name}" for family, name in examples()])
def test_a_bundle_with_a_damaged_array_is_refused_or_answers(family: str, name: str) -> None:
    made, bundle = good(family, name)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        which = sorted(bundle.arrays)[int(rng.integers(len(bundle.arrays)))]
        with np.errstate(all="ignore"):
            forged = FORGES[int(rng.integers(len(FORGES)))](rng, bundle.arrays[which].copy())
        forged.flags.writeable = False
        with told(f"{which}, seed {seed}"):
            ask(Bundle(family, {**bundle.arrays, which: forged}, bundle.meta, bundle.details), made)


STRANGE: tuple[Any, ...] = (None, True, 0, -1, 1 << 62, 0.5, "", "x", [], [[]], {}, {"a": 1})


def reworded(rng: np.random.Generator, words: Any) -> Any:
    """The same with one value of it, at any depth, replaced by another, or left out."""
    parts = list(words) if isinstance(words, dict) else range(len(words)) if isinstance(words, list) else []
    if not parts or rng.random() < 0.2:
        return STRANGE[int(rng.integers(len(STRANGE)))]
    which = parts[int(rng.integers(len(parts)))]
    if rng.random() < 0.1:
        rest = [each for each in parts if each != which]
        return {each: words[each] for each in rest} if isinstance(words, dict) else [words[each] for each in rest]
    changed = dict(words) if isinstance(words, dict) else list(words)
    changed[which] = reworded(rng, words[which])
    return changed


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("family", "name"), examples(), ids=[f"{family}-{name}" for family, name in examples()])
def test_a_bundle_with_damaged_words_is_refused_or_answers(family: str, name: str) -> None:
    made, bundle = good(family, name)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        meta = {word: reworded(rng, value) if rng.random() < 0.4 else value for word, value in bundle.meta.items()}
        with told(f"{meta}, seed {seed}"):
            ask(Bundle(family, bundle.arrays, meta, bundle.details), made)


def ask(bundle: Bundle, made: Any) -> None:
    """Refused as a whole, or each question answered in JSON, or refused by a field."""
    try:
        scorer: Any = open_scorer_of(bundle)
        with np.errstate(all="ignore"):  # as in the child
            warm_scorer(bundle.family, scorer)
    except BadBundle:
        return
    asks = estimator_questions(scorer, made) if isinstance(made, EstimatorExample) else recommender_questions(scorer, made)
    for question in asks:
        try:
            json.dumps(question(), allow_nan=False)
        except RequestError:
            continue


def estimator_questions(scorer: Any, made: EstimatorExample) -> Iterator[Callable[[], Any]]:
    for count in (1, 7):
        rows = [list(row) for row in made.rows[:count]]
        yield lambda rows=rows: list(parts_of(scorer.predict(rows)))  # type: ignore[misc]


def parts_of(answer: Predictions) -> tuple[Any, ...]:
    return answer.predictions, answer.probabilities, answer.classes


def recommender_questions(scorer: Any, made: RecommenderExample) -> Iterator[Callable[[], Any]]:
    liked = tuple(made.liked)
    questions = [Query(liked=liked, k=4, explain=True), Query(similar_to=liked[0], k=5), Query(liked=liked, k=6, diversity=0.4)]
    if made.users:
        questions += [Query(users=tuple(made.users)[:3], k=1000), Query(users=tuple(made.users)[:1], exclude=liked, explain=True)]
    for query in questions:
        yield lambda query=query: [  # type: ignore[misc]
            [list(found.items), list(map(float, found.scores))] for found in scorer.recommend(query) if not isinstance(found, RequestError)
        ]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Adds to whatever comes out which forgery it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the damaged array is {what}")
        raise
