"""GET /api/frontend/recommendations: recommendations by query string alone."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
