"""When a model falls back to what a training publishes, and which failures are a published version's own. Pure.

Covers: the choice of failures, and why; the model as it is when it is loaded from its fallback. Does not cover: carrying it
out (`run`), what an entry becomes (`outcomes`), which version is current (`loaders.published`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from config.schema import ModelSettings

from .policy import AUTOMATIC
from .state import Entry, Failure

PUBLISHED = "training:"
"""What an address, and the revision of an artifact, begin with that a training published."""
NOT_PUBLISHED = "source_not_found"
"""How the address of a training fails that has published nothing."""

_MISSING = frozenset({"source_not_found", "access_denied"})
"""What is not there. A bucket that may not be listed answers 403 for a key that does not exist, as a shared file does that is no
longer shared: to wait for a person with nothing to serve helps nobody."""
_INVALID = frozenset(
    {
        "digest_mismatch",
        "not_a_model",
        "unknown_format",
        "corrupt_artifact",
        "missing_keys",
        "not_trained",
        "segment_invalid",
        "child_crashed",
        "internal_error",
    }
)
"""What is there and is no model that can be served: once its class is not tried again by itself."""
_UNFIT = _INVALID | {"canary_failed"}
"""What is a published version's own fault.

Limits that an operator sets (memory, size, trust) and libraries that are missing are in neither: they would stop the fallback, or
the version before, just as well, and hide what only the operator can decide.
"""


def training_of(address: str) -> str | None:
    """The training that an address or a revision names ("training:als", "training:20261121T101500-3fa9c1" its version); else None."""
    return address.removeprefix(PUBLISHED) if address.startswith(PUBLISHED) else None


def trainings_behind(model: ModelSettings) -> tuple[str, ...]:
    """The training that a model is served from, or falls back to; none or one."""
    return tuple(name for address in (model.source, model.fallback) if (name := training_of(address)) is not None)[:1]


def stand_in(model: ModelSettings) -> ModelSettings:
    """The model as it is loaded from what it falls back to: what was said of its own artifact does not hold for that one."""
    return model if model.fallback == model.source else replace(model, source=model.fallback, family="auto", sha256="", id_column="")


def falls_back(model: ModelSettings, entry: Entry, type: str, *, is_final: bool) -> bool:
    """Whether an attempt whose source failed goes on with the fallback. `is_final`: its class is not tried again by itself.

    Only while nothing serves, or nothing better. A model whose own source is the training falls back to it (is trained) while that
    has published nothing, or nothing that is fit to serve.
    """
    if not model.fallback or (entry.live is not None and entry.live.fallback is None):
        return False
    missing = {NOT_PUBLISHED} if model.fallback == model.source else _MISSING
    return type in missing or (is_final and type in _INVALID)


def is_unfit(type: str, *, is_final: bool) -> bool:
    """Whether a published version that failed in this way is taken back, for the one before it."""
    return is_final and type in _UNFIT


def trained_in_vain(entry: Entry) -> Failure | None:
    """The failure after which no attempt of its own accord trains again: the same data would come to the same end. Else None."""
    attempt, failure = entry.attempt, entry.failure
    if attempt is None or failure is None or attempt.cause not in AUTOMATIC:
        return None
    is_of_version = training_of(failure.revision or "") is not None and (failure.is_withdrawn or not failure.retryable)
    return failure if failure.type == "training_refused" or is_of_version else None


def fallback_json(entry: Entry) -> Mapping[str, Any]:
    """{"fallback": ...} for a version that came from the fallback, and why, as far as that is known again after a restart; else {}."""
    if entry.live is None or entry.live.fallback is None:
        return MappingProxyType({})
    because = None if entry.failure is None else {"type": entry.failure.type, "message": entry.failure.message}
    return {"fallback": {"source": entry.live.fallback, "because": because}}
