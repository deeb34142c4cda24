"""How wrong admin tokens are counted, address by address, and from when on they are told to stay away.

Covers: the count, the growing wait, forgetting. Pure: time is an argument. Does not cover: checking a token (`service.admin`).

The right token is never made to wait: behind a reverse proxy, or one NAT, everybody has the same address, and whoever
floods it with guesses must not lock the operator out. So this keeps clients with a stale token, and the log, quiet; what
keeps guessers out is a token that cannot be guessed.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

FREE = 10
"""Wrong tokens from one address that are just wrong."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
FORGOTTEN_AFTER_S = 900.0
"""Without a wrong token for so long an address begins anew."""
ADDRESSES = 4096
"""Remembered at the same time; the one that was quiet for longest is forgotten for the next."""
_V6_PREFIX = 64
"""What one subscriber of IPv6 usually has: its addresses cost nothing."""


@dataclass(slots=True)
class _Attempts:
    count: int
    last_at: float
    closed_until: float


class WrongTokens:
    """Wrong tokens by address; times are seconds of a monotonic clock."""

    def __init__(self, *, addresses: int = ADDRESSES) -> None:
        self._addresses = addresses
        self._attempts: OrderedDict[str, _Attempts] = OrderedDict()

    def __repr__(self) -> str:
        return f"<WrongTokens addresses={len(self._attempts)}>"

    def count(self, remote: str | None, now: float) -> int | None:
        """Count a wrong token from this address. None: it is just wrong. Else it came too soon after others: whole seconds to stay away.

        The wait doubles with every wrong token beyond the first FREE, from FIRST_WAIT_S to LONGEST_WAIT_S.
        """
        key = _network_of(remote)
        before = self._attempts.pop(key, None)
        if before is None or now - before.last_at > FORGOTTEN_AFTER_S:
            before = _Attempts(0, now, now)
        beyond = before.count + 1 - FREE
        wait_s = 0.0 if beyond < 0 else min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(beyond, 64))
        self._attempts[key] = _Attempts(before.count + 1, now, now + wait_s)
        if len(self._attempts) > self._addresses:
            self._attempts.popitem(last=False)
        return math.ceil(wait_s) if now < before.closed_until else None


def _network_of(remote: str | None) -> str:
    """The address, of IPv6 its /64; a peer without an address (a Unix socket) is one of its own."""
    try:
        address = ip_address(remote or "")
    except ValueError:
        return remote or ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((int(address), _V6_PREFIX), strict=False))
    return str(address)
