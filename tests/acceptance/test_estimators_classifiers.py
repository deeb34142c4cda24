"""Every classifier of scikit-learn, asked over HTTP, answers what scikit-learn itself predicts, from the family that the page says.

Covers: classifiers of `bench.estimators.cases()`, and that docs/reference/estimators.md names everything. Does not cover:
regressors (`test_estimators_regressors`), what each family owes beyond that (`tests/contracts/test_families.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.estimators import Case, cases
from tests.acceptance.estimators import NOT_SERVED, Queue, families_on_the_page, of_kind, queue_of

# The next model's process is there already; the server of the module, which has it, is stopped in the end.
pytestmark = pytest.mark.leaves("process")


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    with queue_of("classifier", tmp_path_factory.mktemp("classifiers")) as queue:
        yield queue


@pytest.mark.parametrize("case", of_kind("classifier"), ids=lambda case: case.name)
def test_it_predicts_as_scikit_learn_does(case: Case, queue: Queue) -> None:
    queue.check(case)


def test_the_page_names_all_of_them() -> None:
    assert set(families_on_the_page()) | set(NOT_SERVED) == {case.name for case in cases()}
