"""From a lease to the scorer that answers under it.

Covers: models that are made of others: their scorer is bound to those of the parts that the same lease holds. Does not
cover: which models those are (`loaders.parts`), that they are ready (`service.lifecycle.parts`).
"""

from __future__ import annotations

from typing import Any

from models.base import Scorer
from service.lifecycle.lease import Lease


def bound(lease: Lease) -> Scorer:
    """The scorer of the leased version, over its parts where it has any. Costs nothing. Raises RuntimeError after the lease was closed."""
    scorer: Any = lease.scorer
    if lease.parts:
        parts = {role: part.scorer for role, part in lease.parts.items()}
        scorer = scorer.bind(parts, {role: f"{part.model} {part.version}" for role, part in lease.parts.items()})
    answers: Scorer = scorer
    return answers
