"""Files of older scikit-learn, beside numpy 1 among them, are answered as that scikit-learn answered them itself."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from models import FAMILIES
from models.packing import pack
from tests.artifacts.older_sklearn import FOLDER, VERSIONS, Older, older

from .reading import records_of

CASES = [(version, name, made) for version in VERSIONS for name, made in older(version).items()]


@pytest.mark.parametrize(("version", "name", "made"), CASES, ids=[f"{version}-{name}" for version, name, _ in CASES])
def test_an_estimator_of_older_sklearn_answers_as_it_did_there(version: str, name: str, made: Older, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(made.content)
    with records_of(path, tmp_path) as root:
        bundle, _ = pack(root)
        assert bundle.family in ("trees", "linear")
        answer = import_module(f"{FAMILIES[bundle.family]}.score").open_scorer(bundle).predict(made.rows)
        if isinstance(made.predictions[0], float):
            np.testing.assert_allclose(answer.predictions, made.predictions, rtol=1e-6, atol=1e-8)
        else:
            assert answer.predictions == made.predictions and type(answer.predictions[0]) is type(made.predictions[0])
        assert (answer.probabilities is None) == (made.probabilities is None)
        for at, wanted in enumerate(made.probabilities or []):
            several = len(made.probabilities or []) > 1
            found = [row[at] if several else row for row in answer.probabilities or []]
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
        del bundle, answer


def test_each_version_s_file_is_small_and_whole() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(VERSIONS)
    assert all(path.stat().st_size < 20 << 10 for path in FOLDER.iterdir())
    assert len({frozenset(older(version)) for version in VERSIONS}) == 1
