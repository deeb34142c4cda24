"""Every regressor of scikit-learn, asked over HTTP, answers what scikit-learn itself predicts, from the family that the page says.

Beside `test_estimators_classifiers`, in a file of its own, so that two processes can share the two minutes that both take.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.estimators import Case
from tests.acceptance.estimators import Queue, of_kind, queue_of

# The next model's process is there already; the server of the module, which has it, is stopped in the end.
pytestmark = pytest.mark.leaves("process")


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    with queue_of("regressor", tmp_path_factory.mktemp("regressors")) as queue:
        yield queue


@pytest.mark.parametrize("case", of_kind("regressor"), ids=lambda case: case.name)
def test_it_predicts_as_scikit_learn_does(case: Case, queue: Queue) -> None:
    queue.check(case)
