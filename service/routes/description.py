"""What describes this API: GET /openapi.json, and GET /docs for people, made from the same table."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
