"""The file that a C Unpickler reads from: it hands out a pickle, and takes the big payloads out of it on the way.

Covers: finding opcodes outside frames, diverting large byte payloads into the sink (the segment), refusing a length that
the file cannot hold before anything is allocated for it. Does not cover: what the objects become (`loaders.formats.pickle`).

It works because the C Unpickler, given a file without `peek`, reads exactly what it needs, and because from protocol 4
on a payload of 64 KiB or more lies outside the frames: the feed sees its opcode, streams the payload to its place, and
hands out the opcode NEXT_BUFFER instead, for which the unpickler asks `buffers` (this object) for the value.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from loaders.errors import CorruptArtifact
from models.records import Text

from .opcodes import BIG_BYTES, BINPERSID, BINUNICODE, BUILD, FORMS, FRAME, LONG_BINPUT, NEXT_BUFFER, PROTO, STOP
from .streams import SLICE, Stream

BIG = 64 << 10
_BUFFER = 256 << 10
_STEPS = [
    0 if form is None or form.lines or form.prefix or op in (FRAME, LONG_BINPUT, PROTO) else 1 + form.fixed for op, form in enumerate(FORMS)
]
"""Bytes of an opcode with its argument where that is fixed, else 0: what `_whole_opcodes` steps over without a look."""
_LAST = frozenset((BUILD, STOP))


class Sink(Protocol):
    """Where big payloads go: the segment's writer."""

    def take(self, stream: Stream, nbytes: int) -> memoryview:
        """Read the next `nbytes` of `stream` to their final place and return it. Raises CorruptArtifact where the stream ends before."""
        ...

    def open_ended(self) -> Any:
        """A growing extent for bytes whose number is not known: has write(bytes), finish() -> memoryview."""
        ...


class Feed:
    """Reads of one pickle stream, opcode by opcode. Not thread-safe; made for exactly one Unpickler (and those nested in it)."""

    def __init__(self, stream: Stream, sink: Sink, on_plain: Callable[[int], None] = lambda nbytes: None) -> None:
        self._stream = stream
        self._sink = sink
        self._on_plain = on_plain
        self._buffer = b""
        self._at = 0
        self._inject = b""
        self._skip = 0
        self._lines = 0
        self._value: Any = None
        self._protocol = -1
        self.plain_bytes = 0
        """Bytes handed to the unpickler: the size of everything that is not a diverted array."""
        self.last_frame = b""
        self._is_frame = False
        self.joblib_arrays = 0

    # -- what the Unpickler calls -------------------------------------------------------------------------------------

    def read(self, n: int) -> bytes:
        if self._inject:
            return self._take_injected(n)
        if self._skip:
            if n > self._skip:
                raise CorruptArtifact("an argument runs past its declared length")
            self._skip -= n
            data = self._take(n)
            if self._is_frame:
                self.last_frame, self._is_frame = data, False
                self._on_plain(self.plain_bytes)
            return data
        if n == 1 and not self._lines:
            return self._opcode()
        if n == 0:
            return b""
        raise CorruptArtifact("an opcode's argument crosses the end of its frame")

    def readinto(self, view: memoryview) -> int:
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        if not self._lines:
            raise CorruptArtifact("a text argument where none belongs")
        self._lines -= 1
        return self._take_line()

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Any:
        value, self._value = self._value, None
        if value is None:
            raise CorruptArtifact("the pickle refers to buffers that are not in the file")
        return value

    # -- what the array classes call ----------------------------------------------------------------------------------

    def position(self) -> int:
        """Absolute position in the (uncompressed) stream."""
        return self._stream.position - (len(self._buffer) - self._at)

    def remaining(self) -> int | None:
        rest = self._stream.remaining()
        return None if rest is None else rest + len(self._buffer) - self._at

    def is_adoptable(self) -> bool:
        """Whether positions are offsets of a file, so that an array may stay where it is."""
        return self._stream.fd is not None

    def raw(self, n: int) -> bytes:
        """The next `n` bytes, which are no opcodes (an array's padding, say)."""
        return self._take(n)

    def skip_raw(self, n: int) -> None:
        """Leave out `n` bytes of a raw file without reading them."""
        self._need(n)
        self._stream.seek(self.position() + n)
        self._buffer, self._at = b"", 0

    def divert(self, nbytes: int) -> memoryview:
        """Bring the next `nbytes` to their final place."""
        self._need(nbytes)
        return self._sink.take(_Rest(self), nbytes)

    def replace_top(self) -> None:
        """Make the unpickler pass the object on top of its stack to `persistent_load` next, and keep what that returns."""
        self._inject = bytes((BINPERSID,))

    @contextmanager
    def inner_pickle(self) -> Iterator[None]:
        """A whole pickle of its own lies here (joblib's object arrays): its protocol must not outlive it."""
        protocol, self._protocol = self._protocol, -1
        yield
        self._protocol = protocol

    def drain(self, limit: int) -> int:
        """Read on to the end (a checksum of the compression is only looked at there); bytes found, at most about `limit`."""
        found = len(self._buffer) - self._at
        self._buffer, self._at = b"", 0
        scratch = memoryview(bytearray(64 << 10))
        while found <= limit and (got := self._stream.readinto(scratch)):
            found += got
        return found

    # -- inside -------------------------------------------------------------------------------------------------------

    def _opcode(self) -> bytes:
        if 2 <= self._protocol <= 3 and (size := self._whole_opcodes()) > 32:
            self._inject, self._skip, self._is_frame = size.to_bytes(8, "little"), size, True
            return bytes((FRAME,))
        code = self._take(1)
        op = code[0]
        form = FORMS[op]
        if form is None:
            raise CorruptArtifact(f"unknown opcode 0x{op:02x} at byte {self.position() - 1}")
        if form.prefix:
            length = self._take(form.prefix)
            size = int.from_bytes(length, "little")
            if size >= BIG:
                self._need(size)
                if op in BIG_BYTES:
                    self._value = self._sink.take(_Rest(self), size)
                    return bytes((NEXT_BUFFER,))
                if op == BINUNICODE and self._protocol <= 2:
                    self._value = self._latin1(size)
                    return bytes((NEXT_BUFFER,))
            self._inject, self._skip = length, size
        elif op == FRAME:
            length = self._take(8)
            size = int.from_bytes(length, "little")
            self._need(size)
            self._inject, self._skip, self._is_frame = length, size, size > 0
        elif form.fixed:
            if op == PROTO:
                self._protocol = self._take_back(1)[0]
            elif op == LONG_BINPUT and int.from_bytes(self._take_back(4), "little") > self.plain_bytes:
                raise CorruptArtifact("memo index beyond what was stored")
            self._skip = form.fixed
        else:
            self._lines = form.lines
        return code

    def _whole_opcodes(self) -> int:
        """How many buffered bytes are whole opcodes with small arguments.

        Protocols 2 and 3 have no frames, and an unpickler that may not read ahead would ask for every opcode: a million
        ids would take a million steps here. So the feed frames them itself. A frame ends behind BUILD and STOP, because
        raw bytes of a joblib array, or nothing, may follow there.
        """
        if len(self._buffer) - self._at < BIG:
            self._fill()
        buffer, at = self._buffer, self._at
        end = len(buffer)
        while at < end:
            op = buffer[at]
            step = _STEPS[op]
            if step:
                if at + step > end:
                    break
                at += step
                if op in _LAST:
                    break
                continue
            form = FORMS[op]
            if form is None or (form.fixed and op != LONG_BINPUT):
                break
            if op == LONG_BINPUT:
                if at + 5 > end or int.from_bytes(buffer[at + 1 : at + 5], "little") > self.plain_bytes + at:
                    break
                at += 5
                continue
            if form.prefix:
                start = at + 1 + form.prefix
                size = int.from_bytes(buffer[at + 1 : start], "little")
                if size >= BIG or start + size > end:
                    break
                at = start + size
                continue
            following = at + 1
            for _ in range(form.lines):
                following = buffer.find(b"\n", following) + 1
                if not following:
                    break
            if not following:
                break
            at = following
        return at - self._at

    def _take_injected(self, n: int) -> bytes:
        if n > len(self._inject):
            raise CorruptArtifact("an opcode's length is read in pieces")
        data, self._inject = self._inject[:n], self._inject[n:]
        return data

    def _need(self, n: int) -> None:
        rest = self.remaining()
        if rest is not None and n > rest:
            raise CorruptArtifact(
                f"{n} bytes are declared at byte {self.position()}, where the file holds {rest} more: truncated or forged"
            )

    def _fill(self) -> bool:
        rest = self._buffer[self._at :]
        chunk = bytearray(_BUFFER)
        got = self._stream.readinto(memoryview(chunk))
        self._buffer, self._at = rest + bytes(chunk[:got]), 0
        return got > 0

    def _take(self, n: int) -> bytes:
        end = self._at + n
        if end <= len(self._buffer):
            data = self._buffer[self._at : end]
            self._at = end
        else:
            data = self._gather(n)
        self.plain_bytes += n
        return data

    def _gather(self, n: int) -> bytes:
        if n < _BUFFER:
            self._on_plain(self.plain_bytes)
            while len(self._buffer) - self._at < n:
                if not self._fill():
                    raise CorruptArtifact(f"the file ends at byte {self.position()}, {n} more were needed: truncated")
            data = self._buffer[self._at : self._at + n]
            self._at += n
            return data
        self._need(n)
        pieces = bytearray(self._buffer[self._at :])
        self._buffer, self._at = b"", 0
        while len(pieces) < n:
            chunk = memoryview(bytearray(min(SLICE, n - len(pieces))))
            got = self._stream.readinto(chunk)
            if not got:
                raise CorruptArtifact(f"the file ends at byte {self.position()}, {n} were declared: truncated")
            pieces += chunk[:got]
        return bytes(pieces)

    def _take_back(self, n: int) -> bytes:
        while len(self._buffer) - self._at < n:
            if not self._fill():
                raise CorruptArtifact(f"the file ends at byte {self.position()}: truncated")
        return self._buffer[self._at : self._at + n]

    def _take_line(self) -> bytes:
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if len(self._buffer) - self._at > BIG or not self._fill():
                raise CorruptArtifact("a text argument without an end")
        return self._take(end + 1 - self._at)

    def _latin1(self, size: int) -> Text | str:
        """Protocol 2 keeps bytes as text: decode `size` bytes of UTF-8 to latin-1 in slices, straight into the sink."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        extent = self._sink.open_ended()
        rest = _Rest(self)
        chunk = memoryview(bytearray(SLICE))
        left = size
        while left:
            got = rest.readinto(chunk[: min(SLICE, left)])
            if not got:
                raise CorruptArtifact("the file ends inside a string: truncated")
            left -= got
            try:
                text = decoder.decode(bytes(chunk[:got]), final=not left)
            except UnicodeDecodeError as error:
                raise CorruptArtifact(f"a string is not UTF-8: {error.reason}") from error
            try:
                extent.write(text.encode("latin-1"))
            except UnicodeEncodeError:
                return self._wide_text(bytes(extent.finish()).decode("latin-1") + text, decoder, rest, left)
        return Text(extent.finish())

    def _wide_text(self, done: str, decoder: codecs.IncrementalDecoder, rest: _Rest, left: int) -> str:
        parts = [done]
        while left:
            data = bytearray(min(SLICE, left))
            got = rest.readinto(memoryview(data))
            if not got:
                raise CorruptArtifact("the file ends inside a string: truncated")
            left -= got
            parts.append(decoder.decode(bytes(data[:got]), final=not left))
        return "".join(parts)


class _Rest:
    """What the feed has not handed out yet, as a stream: its own buffer first, then the stream behind it."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @property
    def position(self) -> int:
        return self._feed.position()

    @property
    def fd(self) -> int | None:
        return self._feed._stream.fd

    def readinto(self, view: memoryview) -> int:
        feed = self._feed
        if feed._at < len(feed._buffer):
            got = min(len(view), len(feed._buffer) - feed._at)
            view[:got] = feed._buffer[feed._at : feed._at + got]
            feed._at += got
            return got
        return feed._stream.readinto(view)

    def remaining(self) -> int | None:
        return self._feed.remaining()

    def consumed(self) -> int:
        return self._feed._stream.consumed()

    def seek(self, position: int) -> None:
        feed = self._feed
        feed._stream.seek(position)
        feed._buffer, feed._at = b"", 0
