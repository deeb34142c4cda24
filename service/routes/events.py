"""GET /events: transitions and progress of the models as server-sent events."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
