"""Answers are written whatever text is in them."""

from __future__ import annotations

import json

import msgspec

from service.replies import reply


def test_a_name_that_is_no_utf8_does_not_break_the_answer() -> None:
    items = msgspec.Raw(b'[{"item_id": 1}]')
    answer = reply({"source": "/srv/caf\udce9.pkl", "items": items, "others": ({"\ud800": None}, "\U0001f30a", 1.5)})
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "source": "/srv/caf\ufffd.pkl",
        "items": [{"item_id": 1}],
        "others": [{"\ufffd": None}, "\U0001f30a", 1.5],
    }
