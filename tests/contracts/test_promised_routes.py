"""The addresses that clients of Holdfast and of its predecessors call: none of them is lost, opened or closed by accident.

Does not cover: what they answer (`test_routes`, `tests.acceptance`).
"""

from __future__ import annotations

from service.routes import ROUTES

OPEN = """
GET /
GET /health
GET /health/live
GET /health/ready
GET /status
GET /models
GET /models/status
GET /models/{model}
GET /models/{model}/status
GET /models/{model}/versions
GET /models/{model}/calls
POST /models/{model}/predict
GET /models/{model}/similar/{item_id}
POST /predict
GET /predict/status
GET /api/frontend/recommendations
GET /events
GET /metrics
GET /api/ml/status
GET /training/runs
GET /training/runs/{id}
GET /openapi.json
GET /docs
GET /v2
GET /v2/health/live
GET /v2/health/ready
GET /v2/models/{model}
GET /v2/models/{model}/versions/{version}
GET /v2/models/{model}/ready
GET /v2/models/{model}/versions/{version}/ready
POST /v2/models/{model}/infer
POST /v2/models/{model}/versions/{version}/infer
GET /v2/models/{model}/stats
POST /v2/repository/index
"""
GUARDED = """
POST /models/{model}/load
POST /models/{model}/unload
POST /models/{model}/reload
POST /models/{model}/rollback
POST /models/{model}/activate
POST /models/reload
DELETE /models/clear
DELETE /models/{model}/cache
POST /ml/load
POST /ml/load/{model}-worker
POST /admin/reload-model
GET /admin/model-status
POST /api/ml/train-all
POST /models/{model}/train
POST /training/runs/{id}/cancel
POST /interactions
POST /v2/repository/models/{model}/load
POST /v2/repository/models/{model}/unload
"""


def promised(table: str) -> set[str]:
    return set(table.split("\n")) - {""}


def declared(*, is_admin: bool) -> set[str]:
    return {f"{route.method} {route.path}" for route in ROUTES if route.admin is is_admin}


def test_what_is_open_stays_open() -> None:
    assert promised(OPEN) - declared(is_admin=False) == set()


def test_what_is_behind_the_token_stays_there() -> None:
    assert promised(GUARDED) - declared(is_admin=True) == set()


def test_nothing_that_changes_something_is_open_but_questions() -> None:
    assert {name for name in declared(is_admin=False) if not name.startswith("GET ")} <= promised(OPEN)
