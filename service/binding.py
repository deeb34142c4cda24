"""From a lease to the scorer that answers under it."""

from __future__ import annotations

from models.base import Scorer
from service.lifecycle.lease import Lease


def bound(lease: Lease) -> Scorer:
    """The scorer of the leased version. Raises RuntimeError after the lease was closed."""
    scorer: Scorer = lease.scorer
    return scorer
