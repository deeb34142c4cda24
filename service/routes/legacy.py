"""Addresses by which teams call such a service already: /ml/load, /admin/reload-model, /admin/model-status."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
