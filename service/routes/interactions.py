"""POST /interactions: what users did, as it happens. 501 as long as nothing takes them."""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
