"""The version of an address: /versions/{version} names the one that serves, or there is none.

Does not cover: versions that are kept, but do not serve (`service.routes.models`).
"""

from __future__ import annotations

from aiohttp import web

from service.errors import Problem

VERSION = "version"


class UnknownVersion(Problem):
    """The version does not serve. The protocol leaves the number open; it is the one of a model that is not there."""

    status, slug, title = 404, "unknown-version", "This version does not serve"


def require_version(request: web.Request, serving: str) -> None:
    """Raises UnknownVersion where the address names another version than the one that serves."""
    asked = request.match_info.get(VERSION)
    if asked is not None and asked != serving:
        name = request.match_info["model"]
        raise UnknownVersion(f"{name} does not serve version {asked!r}: it serves {serving}")
