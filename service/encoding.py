"""JSON as bytes, whatever text is in it.

Does not cover: responses (`service.replies`).
"""

from __future__ import annotations

import msgspec

from loaders.told import whole

_encoder = msgspec.json.Encoder()


def encoded(body: object) -> bytes:
    """The JSON of `body`; text that no UTF-8 can say, as the name of a file may be, with U+FFFD where it cannot."""
    try:
        return _encoder.encode(body)
    except UnicodeEncodeError:
        return _encoder.encode(whole(body))
