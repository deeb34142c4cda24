"""The question that a model proposes: it is answered. Does not cover: models that are not ready (`tests/contracts/test_routes.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from models.estimator import Signature
from models.forms import ItemForm, RowForm
from service.routes.example import question_of
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeEstimator, FakeRegistry, FakeScorer, live


@dataclass
class Says:
    """A scorer that only says what it takes."""

    kind: str
    said: ItemForm | RowForm

    def form(self) -> Any:
        return self.said


@pytest.mark.parametrize("scorer", [FakeScorer(), FakeEstimator()], ids=["recommender", "estimator"])
async def test_the_question_is_one_that_the_model_answers(client_of: ClientOf, scorer: Any) -> None:
    client = await client_of(FakeRegistry(live(), scorer=scorer))
    async with client.get("/models/als/example") as response:
        assert response.status == 200
        told = await response.json()
    async with client.post("/models/als/predict", json=told["body"]) as response:
        assert response.status == 200, await response.text()
    if told["item_id"] is not None:
        async with client.get(f"/models/als/similar/{told['item_id']}") as response:
            assert response.status == 200


async def test_it_starts_no_load_and_keeps_no_hold(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    async with client.get("/models/als/example") as response:
        assert response.status == 200
    assert registry.leases == 0
    assert not registry.commands


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (ItemForm("int", "str", some_user=7, some_item="i1"), {"user_id": 7, "k": 5}),
        (ItemForm(None, "str", some_item="i1"), {"liked": ["i1"], "k": 5}),
        (RowForm(Signature(2)), {"instances": [[0, 0]]}),
        (RowForm(Signature(0)), {"instances": [[0]]}),
        (RowForm(Signature(2, ("age", "town")), text=frozenset({1})), {"instances": [{"age": 0, "town": ""}]}),
        (RowForm(Signature(0), takes="texts"), {"instances": [""]}),
        (RowForm(Signature(0), takes="objects"), {"instances": [{}]}),
    ],
    ids=["users", "no_users", "rows", "width_unknown", "names_and_text", "texts", "objects"],
)
def test_each_form_has_its_question(form: ItemForm | RowForm, body: dict[str, Any]) -> None:
    scorer: Any = Says("recommender" if isinstance(form, ItemForm) else "estimator", form)
    assert question_of(scorer) == (body, form.some_item if isinstance(form, ItemForm) else None)
