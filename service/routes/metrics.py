"""GET /metrics in the Prometheus exposition format, and GET /models/{model}/calls, the last minutes of one model."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
