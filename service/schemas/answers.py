"""What models answer: recommendations, predictions, and whether one would answer now.

Covers: the fields of the answers. Does not cover: the questions (`service.questions`, `service.schemas.questions`), errors
(`problems`), the 202 of a model that is on its way (`models.Loading`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.schemas.models import ModelStatus
from service.schemas.problems import NotFoundProblem
from service.schemas.values import Id, ModelName, RetryAfter

Version = Annotated[str, Meta(description="The version that answered", examples=["20261121T101500-3fa9c1"])]

FoldedIn = Annotated[int, Meta(ge=1, description="Items that the user did something with after the model had learned, and that count")]


class Reason(Struct, kw_only=True):
    """An item of the history, and how much it contributed."""

    item_id: Id
    contribution: float


class Item(Struct, kw_only=True):
    """One recommendation; the columns that `fields` asked for stand beside its members."""

    item_id: Id
    score: float
    because: Annotated[list[Reason], Meta(description="Greatest first; where `explain` was asked")] | UnsetType = UNSET


class Ranking(Struct, kw_only=True):
    """Items, best first, and what a hybrid says of how it came to them."""

    items: list[Item] | UnsetType = UNSET
    answered_by: Annotated[list[str], Meta(description="Of a hybrid: the roles of the parts that answered")] | UnsetType = UNSET
    content_weight: Annotated[float, Meta(description="Of a hybrid: how much its content part counted")] | UnsetType = UNSET
    folded_in: FoldedIn | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class Answered(Struct, kw_only=True):
    """Who answered."""

    model: ModelName
    version: Version
    parts: Annotated[dict[str, str], Meta(description="Of a hybrid: the versions of the models that it asked")] | UnsetType = UNSET


class Recommendations(Answered, kw_only=True):
    """Items for one user, for what somebody likes, or like one item."""

    items: list[Item]
    user_id: Id | UnsetType = UNSET
    item_id: Id | UnsetType = UNSET
    answered_by: Annotated[list[str], Meta(description="Of a hybrid: the roles of the parts that answered")] | UnsetType = UNSET
    content_weight: Annotated[float, Meta(description="Of a hybrid: how much its content part counted")] | UnsetType = UNSET
    folded_in: FoldedIn | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class Result(Ranking, kw_only=True):
    """The items of one of several users, or the error where the model does not know that one."""

    user_id: Id
    error: NotFoundProblem | UnsetType = UNSET


class Batch(Answered, kw_only=True):
    """A result for each user, in the order of the question."""

    results: list[Result]


class Predictions(Answered, kw_only=True):
    """One value for each row; with several outputs a list of values."""

    predictions: list[Any]
    probabilities: Annotated[list[Any], Meta(description="Of a classifier: for each row a list in the order of `classes`")] | UnsetType = (
        UNSET
    )
    classes: Annotated[list[Any], Meta(description="Of a classifier: its labels")] | UnsetType = UNSET


class Readiness(ModelStatus, kw_only=True):
    """The status object of the model that is meant; `retry_after_s` is null when it serves, or when waiting is in vain."""

    model: ModelName
    retry_after_s: RetryAfter | None


class NothingToAsk(Struct, kw_only=True):
    """No model is configured."""

    status: Literal["not_started"]
    model: None
    reason: str
