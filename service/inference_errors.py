"""Errors as the Open Inference Protocol tells them: `{"error": "..."}`, whatever the number.

Covers: every path under /v2, those that do not exist included; what is said of a model that is not ready. Does not cover: which
error it is (`service.errors`).

Source: kserve/open-inference-protocol, inference_rest, "Inference Response JSON Error Object".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from service.lifecycle.state import Status
from service.lifecycle.view import ModelView
from service.replies import reply
from service.status import answer_for

_ROOT = "/v2"
_KEPT = ("Allow", "Accept", "Accept-Encoding", "Retry-After", "WWW-Authenticate")


def is_inference_path(path: str) -> bool:
    """Whether errors of this path are told in the protocol's shape."""
    return path == _ROOT or path.startswith(f"{_ROOT}/")


def inference_error(document: Mapping[str, Any], headers: Mapping[str, str]) -> web.Response:
    """A problem document in the protocol's shape; a field that cannot be used is a 400 there."""
    field, detail = document.get("field"), document["detail"]
    kept = {name: headers[name] for name in _KEPT if name in headers}
    status = 400 if document["status"] == 422 else document["status"]
    return reply({"error": f"{field}: {detail}" if field else detail}, status, kept)


def inference_not_ready(view: ModelView, now: float) -> web.Response:
    """503 with where the model is; Retry-After (whole seconds) where waiting helps. Never 202, which clients take for an answer."""
    retry_after_s = answer_for(view.entry, now).retry_after_s
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return reply({"error": f"{view.name} is not ready: {why_not_ready(view)}"}, 503, headers)


def why_not_ready(view: ModelView) -> str:
    """Why no version serves, in words: "loading (downloading, 61 %)", "source_unavailable: ...", "unloaded"."""
    attempt, failure = view.entry.attempt, view.entry.failure
    if attempt is not None:
        progress = None if attempt.progress is None else f"{attempt.progress:.0%}"
        told = ", ".join(part for part in (attempt.phase.value, progress, attempt.reason) if part)
        return f"loading ({told})"
    if failure is not None and view.status is Status.ERROR:
        return f"{failure.type}: {failure.message}"
    return "not started, its first inference loads it" if view.status is Status.NOT_STARTED else view.status.value
