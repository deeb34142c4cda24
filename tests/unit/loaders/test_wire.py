"""Frames on the wire: what is too long, cut short or no JSON is refused on both ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.wire import MAX_FRAME, ChildEnd, ParentEnd, WireError, decode, encode

frames = st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))


class Ends:
    def __init__(self) -> None:
        ours, self.raw = socket.socketpair()
        self.parent = ParentEnd(ours)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.parent.close()
    made.raw.close()


def test_text_that_is_no_utf8_is_mended_where_it_enters() -> None:
    said = decode(b'{"kind": "error", "message": "\\ud800 \\ud83c\\udf0a \xed\xa0\x80", "\\uDFFF": ["\\\\ud800", null]}')
    assert said == {"kind": "error", "message": "\ufffd \U0001f30a \ufffd\ufffd\ufffd", "\ufffd": ["\\ud800", None]}


@given(frames)
def test_a_frame_comes_back(fields: dict[str, Any]) -> None:
    frame = {**fields, "kind": "progress"}
    data = encode(frame)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert decode(data[4:]) == frame


@given(st.binary(max_size=60))
def test_garbage_is_refused(data: bytes) -> None:
    try:
        frame = decode(data)
    except WireError:
        return
    assert isinstance(frame["kind"], str)


@pytest.mark.parametrize(
    "text", [b"[]", b"{}", b'{"kind": 1}', b"7", b"", b'{"kind": "x"', b"[" * 100_000, b'{"kind":"x","n":' + b"9" * 5000 + b"}"]
)
def test_what_is_no_frame(text: bytes) -> None:
    with pytest.raises(WireError):
        decode(text)


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(WireError):
        encode({"kind": "warning", "text": "x" * MAX_FRAME})


async def test_frames_in_pieces(ends: Ends) -> None:
    data = encode({"kind": "phase", "phase": "loading"}) + encode({"kind": "ok"})
    receiving = asyncio.ensure_future(ends.parent.receive())
    for at in range(len(data)):
        ends.raw.send(data[at : at + 1])
        await asyncio.sleep(0)
    assert await receiving == {"kind": "phase", "phase": "loading"}
    assert await ends.parent.receive() == {"kind": "ok"}
    ends.raw.shutdown(socket.SHUT_WR)
    assert await ends.parent.receive() is None


@pytest.mark.parametrize(
    "sent", [b"\0", b"\0\0\0", b"\0\0\0\x09", b"\0\0\0\x09{", b"\0\0\0\0", b"\xff\xff\xff\xff{}", (MAX_FRAME + 1).to_bytes(4, "big")]
)
async def test_cut_or_endless_frames(sent: bytes, ends: Ends) -> None:
    ends.raw.send(sent)
    ends.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(WireError):
        await ends.parent.receive()


async def test_an_endless_frame_is_not_waited_for(ends: Ends) -> None:
    ends.raw.send((MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(WireError, match="a frame of"):
        await ends.parent.receive()


async def test_the_parent_sends_what_the_child_receives(ends: Ends) -> None:
    child = ChildEnd(ends.raw.detach())
    plan = {"kind": "plan", "words": "x" * 200_000}
    found, _ = await asyncio.gather(asyncio.to_thread(child.receive), ends.parent.send(plan))
    assert found == plan
    child.send("ok", number=7)
    assert await ends.parent.receive() == {"kind": "ok", "number": 7}
    child._socket.close()


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x05{", b"\xff\xff\xff\xff", b"\0\0\0\x02[]"])
def test_a_child_without_a_plan(sent: bytes, ends: Ends) -> None:
    ends.parent._socket.setblocking(True)
    ends.parent._socket.send(sent)
    ends.parent._socket.shutdown(socket.SHUT_WR)
    child = ChildEnd(ends.raw.detach())
    with pytest.raises(WireError):
        child.receive()
    child._socket.close()


def test_frames_are_json_that_others_can_read() -> None:
    assert json.loads(encode({"kind": "warning", "text": "\u0142\ud800"})[4:]) == {"kind": "warning", "text": "\u0142\ud800"}
