"""From the JSON of an answer to its type.

Covers: JSON that is none, or of something else than a Holdfast server. Fields that a newer server adds are kept where there
is a place for them (`notes`, `fields`) and ignored elsewhere. Does not cover: which answers are errors (`service.client.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from service.client.errors import InvalidAnswer
from service.client.results import Answer, BatchRecommendations, Item, Predictions, Reason, Recommendations, UserResult

T = TypeVar("T")


def parsed(body: bytes) -> Any:
    """Raises InvalidAnswer for what is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidAnswer(f"the answer is not JSON: {error}") from error


def typed(body: bytes, type: type[T]) -> T:
    """The JSON of an answer as one of the types here. Raises InvalidAnswer."""
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidAnswer(f"this is no answer of a Holdfast server: {error}") from error


def answer_in(body: bytes) -> Answer:
    """The answer to a question, of the kind that it is. Raises InvalidAnswer."""
    told = parsed(body)
    try:
        if "predictions" in told:
            return msgspec.convert(told, Predictions)
        if "results" in told:
            results = [UserResult(each["user_id"], _items(each), each.get("error"), _notes(each)) for each in told["results"]]
            return BatchRecommendations(told["model"], told["version"], results, told.get("parts", {}))
        who = told["model"], told["version"]
        return Recommendations(*who, _items(told), told.get("user_id"), told.get("item_id"), told.get("parts", {}), _notes(told))
    except (AttributeError, KeyError, TypeError, msgspec.ValidationError) as error:
        raise InvalidAnswer(f"this is no answer of a Holdfast server: {error!r}") from error


def _items(told: Mapping[str, Any]) -> list[Item]:
    return [] if "error" in told else [_item(each) for each in told["items"]]


def _item(told: Mapping[str, Any]) -> Item:
    fields = {name: value for name, value in told.items() if name not in ("item_id", "score", "because")}
    because = [Reason(each["item_id"], each["contribution"]) for each in told["because"]] if "because" in told else None
    return Item(told["item_id"], told["score"], fields, because)


_OWN = ("model", "version", "items", "user_id", "item_id", "parts", "error")


def _notes(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in _OWN}
