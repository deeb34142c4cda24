"""What is asked: the bodies of predict calls, as the API description has them, with examples that a test sends.

Covers: which fields one needs, beyond what its type says. Does not cover: the fields themselves and how they are checked
(`service.questions`).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from service.questions import NamedQuestion, Question

_ONE_OF_THEM = {"anyOf": [{"required": [name]} for name in ("user_id", "users", "liked", "instances")]}

PredictBody = Annotated[Question, Meta(extra_json_schema=_ONE_OF_THEM)]
NamedPredictBody = Annotated[NamedQuestion, Meta(extra_json_schema=_ONE_OF_THEM)]

PREDICT_EXAMPLES: dict[str, dict[str, Any]] = {
    "one user": {"user_id": 1, "k": 5},
    "several users": {"users": [1, 2], "k": 3, "exclude_seen": True},
    "liked items": {"liked": [101, 102], "k": 5, "diversity": 0.7},
    "rows as lists": {"instances": [[1.0, 2.0], [3.0, None]]},
    "rows by feature name": {"instances": [{"age": 31, "income": 42000.0}]},
}
NAMED_PREDICT_EXAMPLES: dict[str, dict[str, Any]] = {
    **PREDICT_EXAMPLES,
    "a named model": {"model": "als", "user_id": 1, "k": 5},
}
