"""Posting what users did, so that it may be sent again: the request of `POST /interactions`, under one key however often it goes out.

Covers: the key, and for how long it stands for the request. Does not cover: when it is sent again (`service.client.waiting`), what
is wrong with an interaction (the server says it, and names the field).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from service.client.decoding import typed
from service.client.errors import InvalidQuestion
from service.client.results import Posted
from service.client.waiting import Call
from service.client.wire import Server, encoded

KEY_HEADER = "Idempotency-Key"
LONGEST_S = 82_800.0
"""For how long a request is sent again. The server forgets its key a day after it was taken, and would take it once more then."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def posting(server: Server, interactions: Sequence[Mapping[str, Any]], key: str | None) -> Call[Posted]:
    """The call. Raises InvalidQuestion for a key that is none, and for what has no JSON."""
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidQuestion(f"a key is 1 to 255 visible ASCII characters, unlike {key!r:.300}")
    named = {KEY_HEADER: uuid.uuid4().hex if key is None else key}
    several = list(interactions) if isinstance(interactions, Sequence) else interactions
    # A time that is left out is the server's: with one of this clock the same interactions would be another request the next time.
    request = server.request("POST", "/interactions", encoded({"interactions": several}), is_admin=True, headers=named)
    return Call(request, lambda response: typed(response.body, Posted))
