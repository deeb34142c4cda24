"""Training: GET /api/ml/status, GET /training/runs, POST /api/ml/train-all, POST /models/{model}/train. 501 where there is none yet."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
