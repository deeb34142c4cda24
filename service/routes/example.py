"""GET /models/{model}/example: a question that the model answers, made from what it says it takes.

Covers: ids that exist, rows of the right shape. Does not cover: a sensible question: rows are zeros and empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

from models.base import EstimatorScorer, RecommenderScorer, Scorer
from models.forms import ItemForm, RowForm
from service.binding import bound
from service.keys import REGISTRY
from service.replies import reply
from service.routes.declared import Answer, Route, get
from service.routes.implied import ASKING
from service.schemas.example import Example

FEW = 5
"""Items asked for."""


async def example(request: web.Request) -> web.Response:
    """GET /models/{model}/example; starts no load. An unknown model is 404, one that is not ready 202 or 503."""
    with request.app[REGISTRY].acquire(request.match_info["model"], demand=False) as lease:
        body, item = question_of(bound(lease))
        return reply({"model": lease.model, "version": lease.version, "body": body, "item_id": item})


def question_of(scorer: Scorer) -> tuple[Mapping[str, Any], int | str | None]:
    """The body of a predict call that `scorer` answers, and an item that it knows, None where it has no items."""
    if scorer.kind == "recommender":
        form = cast(RecommenderScorer, scorer).form()
        return _of_items(form), form.some_item
    return {"instances": [_row(cast(EstimatorScorer, scorer).form())]}, None


def _of_items(form: ItemForm) -> Mapping[str, Any]:
    whom = {"liked": [form.some_item]} if form.some_user is None else {"user_id": form.some_user}
    return {**whom, "k": FEW}


def _row(form: RowForm) -> Any:
    if form.takes == "texts":
        return ""
    if form.takes == "objects":
        return {}
    signature = form.signature
    values = ["" if column in form.text else 0 for column in range(signature.features or 1)]
    return values if signature.names is None else dict(zip(signature.names, values, strict=True))


_EXAMPLE = {"model": "als", "version": "20261121T101500-3fa9c1", "body": {"user_id": 1, "k": FEW}, "item_id": 101}

ROUTES: tuple[Route, ...] = (
    get(
        "/models/{model}/example",
        example,
        "A question that the model answers, to begin with",
        tag="predict",
        answers={200: Answer("The question", Example, example=_EXAMPLE), 202: ASKING[202], 503: ASKING[503]},
    ),
)
