"""Pickle streams that no pickler writes: lengths that lie, opcodes out of place."""

from __future__ import annotations

import pickle
import struct

from tests.artifacts.hostile.entry import CORRUPT, DAMAGED, REFUSED, Table, honest, without_stop

TB = 1 << 40


def u4(number: int) -> bytes:
    return struct.pack("<I", number)


def u8(number: int) -> bytes:
    return struct.pack("<Q", number & (1 << 64) - 1)


def framed(body: bytes, claimed: int | None = None) -> bytes:
    return b"\x80\x04\x95" + u8(len(body) if claimed is None else claimed) + body


def add_to(table: Table) -> None:
    for name, (says, stream) in LENGTHS.items():
        table.add(f"length_{name}", says, stream, CORRUPT)
    for name, (says, stream) in MEMO.items():
        # The unpickler itself asks for the memory at once; whether that is the cap's business is a matter of taste.
        table.add(f"memo_{name}", says, stream, CORRUPT | {"memory_cap_exceeded"})
    for name, (says, stream) in ORDER.items():
        table.add(f"opcode_{name}", says, stream, REFUSED)

    whole = pickle.dumps(honest(), 4)
    body = whole[2:]
    table.add("protocol_255", "protocol 255", b"\x80\xff" + body, CORRUPT | {"unknown_format"})
    table.add("protocol_6", "a protocol from the future", b"\x80\x06" + body, CORRUPT | {"unknown_format"})
    table.add("protocol_in_the_middle", "PROTO again, within", without_stop(whole) + b"\x80\xff.", CORRUPT | {"unknown_format"})
    table.add("protocol_only", "PROTO and nothing else", b"\x80\x04", CORRUPT | {"not_a_model"})
    table.add("stop_missing", "a whole model, but its last byte", whole[:-1], CORRUPT)
    table.add("trailing_garbage", "a whole model, then noise", whole + bytes(range(256)) * 16, CORRUPT, may_load=True)
    table.add("trailing_pickle", "a whole model, then another", whole + whole, CORRUPT, may_load=True)
    table.add("two_on_the_stack", "a value left below the model", b"\x80\x04K\x01" + body, CORRUPT, may_load=True)
    large = _find_large(whole)
    for claimed in (0, 1, 0xFFFFFFFF):
        forged = whole[: large + 1] + u4(claimed) + whole[large + 5 :]
        table.add(f"large_length_{claimed}", f"the length of an array's bytes is {claimed}", forged, DAMAGED)
    forged = whole[:large] + b"\x8e" + u8(TB) + whole[large + 5 :]
    table.add("large_length_tb", "an array's bytes outside a frame claim 1 TB", forged, CORRUPT)
    forged = whole[:large] + b"\x96" + u8(TB) + whole[large + 5 :]
    table.add("large_bytearray_tb", "the same as a bytearray", forged, CORRUPT)
    forged = whole[:large] + b"\x97" + whole[large + 5 :]
    table.add("large_becomes_next_buffer", "NEXT_BUFFER in the place of an array's bytes", forged, CORRUPT)
    forged = whole[:large] + b"\x97" + whole[large + 5 + _length(whole, large) :]
    table.add("large_replaced_by_next_buffer", "NEXT_BUFFER and no bytes: the reader's own trick, played on it", forged, CORRUPT)


def _find_large(stream: bytes) -> int:
    """Where the first BINBYTES of user_factors stands."""
    return stream.index(b"B" + u4(80 * 300 * 4))


def _length(stream: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", stream, at + 1)[0])


LENGTHS = {
    "binbytes8_tb": ("BINBYTES8 of 1 TB outside a frame", b"\x80\x04\x8e" + u8(TB) + b"x" * 100 + b"."),
    "binbytes8_tb_in_frame": ("BINBYTES8 of 1 TB within a frame", framed(b"\x8e" + u8(TB) + b"x" * 100 + b".")),
    "binbytes8_tb_in_p2": ("BINBYTES8 in a stream of protocol 2", b"\x80\x02\x8e" + u8(TB) + b"x" * 100 + b"."),
    "binbytes8_top_bit": ("BINBYTES8 of 2**63", b"\x80\x04\x8e" + u8(1 << 63) + b"."),
    "binbytes8_all_ones": ("BINBYTES8 of 2**64-1", b"\x80\x04\x8e" + u8(-1) + b"."),
    "bytearray8_tb": ("BYTEARRAY8 of 1 TB", b"\x80\x05\x96" + u8(TB) + b"x" * 100 + b"."),
    "bytearray8_tb_in_frame": ("BYTEARRAY8 of 1 TB within a frame", b"\x80\x05\x95" + u8(20) + b"\x96" + u8(TB) + b"x" * 11 + b"."),
    "bytearray8_all_ones": ("BYTEARRAY8 of 2**64-1", b"\x80\x05\x96" + u8(-1) + b"."),
    "binbytes_4gb": ("BINBYTES of 4 GB", b"\x80\x03B" + u4(0xFFFFFFFF) + b"x."),
    "unicode8_tb": ("BINUNICODE8 of 1 TB", b"\x80\x04\x8d" + u8(TB) + b"x."),
    "unicode_4gb": ("BINUNICODE of 4 GB", b"\x80\x02X" + u4(0xFFFFFFFF) + b"x."),
    "unicode_not_utf8": ("BINUNICODE that is not UTF-8", b"\x80\x02X" + u4(3) + b"\xff\xfe\xfd."),
    "binstring_negative": ("BINSTRING of length -1", b"\x80\x02T" + u4(0xFFFFFFFF) + b"x."),
    "long4_huge": ("LONG4 of 2 GB", b"\x80\x02\x8b" + u4(0x7FFFFFFF) + b"x."),
    "long4_negative": ("LONG4 of length -1", b"\x80\x02\x8b" + u4(0xFFFFFFFF) + b"x."),
    "long1_short": ("LONG1 longer than the file", b"\x80\x02\x8a\xff\x01."),
    "long_text": ("LONG of a million digits", b"\x80\x02L" + b"9" * 1_000_000 + b"L\n."),
    "int_text": ("INT that is no number", b"\x80\x02Inonsense\n."),
    "float_text": ("FLOAT that is no number", b"\x80\x02Fnonsense\n."),
    "line_without_end": ("GLOBAL whose line never ends", b"\x80\x02c" + b"m" * 100_000),
    "frame_huge": ("FRAME of 2**63", framed(b"K\x01.", 1 << 63)),
    "frame_tb": ("FRAME of 1 TB", framed(b"K\x01.", TB)),
    "frame_long": ("FRAME longer than the file", framed(b"}.", 1000)),
    "memo_put_huge": ("PUT of a 30-digit index", b"\x80\x02}p" + b"9" * 30 + b"\n."),
    "memo_put_negative": ("PUT of -1", b"\x80\x02}p-1\n."),
}

MEMO = {
    "index_max": ("LONG_BINPUT of 2**32-1", b"\x80\x02}r" + u4(0xFFFFFFFF) + b"."),
    "index_2_31": ("LONG_BINPUT of 2**31", b"\x80\x02}r" + u4(1 << 31) + b"."),
}

ORDER = {
    "frame_nested": ("FRAME within a frame", framed(b"\x95" + u8(2) + b"}.")),
    "frame_short": ("FRAME that ends within an opcode", framed(b"X" + u4(4) + b"abcd.", 3)),
    "empty_stack_stop": ("STOP on an empty stack", b"\x80\x04."),
    "underflow_reduce": ("REDUCE on an empty stack", b"\x80\x04R."),
    "underflow_tuple3": ("TUPLE3 of one", b"\x80\x02K\x01\x87."),
    "underflow_build": ("BUILD of nothing", b"\x80\x02}b."),
    "underflow_appends": ("APPENDS without MARK", b"\x80\x02]K\x01e."),
    "underflow_setitems_odd": ("SETITEMS of an odd number", b"\x80\x02}(K\x01u."),
    "underflow_pop": ("POP below the bottom", b"\x80\x020000."),
    "underflow_in_mark": ("REDUCE that takes what lies under MARK", b"\x80\x02K\x01(R."),
    "mark_stop": ("STOP above MARK", b"\x80\x02}((."),
    "mark_dup": ("DUP of MARK", b"\x80\x02(2."),
    "mark_pop_mark": ("POP_MARK without MARK", b"\x80\x0211."),
    "mark_million": ("a million MARKs", b"\x80\x02" + b"(" * 1_000_000 + b"."),
    "get_missing": ("GET of nothing", b"\x80\x02h\x07."),
    "get_missing_long": ("LONG_BINGET of nothing", b"\x80\x02j" + u4(0xFFFFFFFE) + b"."),
    "get_missing_text": ("GET of no number", b"\x80\x02gx\n."),
    "ext1": ("EXT1", b"\x80\x02\x82\x01)R."),
    "ext2": ("EXT2", b"\x80\x02\x83\x01\x01)R."),
    "ext4": ("EXT4", b"\x80\x02\x84" + u4(0x7FFFFFFF) + b")R."),
    "ext4_negative": ("EXT4 of -1", b"\x80\x02\x84" + u4(0xFFFFFFFF) + b")R."),
    "persid": ("PERSID", b"\x80\x02Pwho\n."),
    "binpersid": ("BINPERSID", b"\x80\x04\x8c\x03whoQ."),
    "binpersid_dict": ("BINPERSID of a dict", b"\x80\x04}Q."),
    "next_buffer": ("NEXT_BUFFER without buffers", b"\x80\x05\x97."),
    "next_buffer_in_frame": ("NEXT_BUFFER within a frame", b"\x80\x05\x95" + u8(4) + b"\x97\x97\x86."),
    "readonly_buffer": ("READONLY_BUFFER of a number", b"\x80\x05K\x01\x98."),
    "inst_weird": ("INST with an empty name", b"(i\n\n."),
    "obj_of_a_number": ("OBJ of a number", b"(K\x01o."),
    "obj_of_nothing": ("OBJ of nothing", b"(o."),
    "inst_not_ascii": ("INST with a name that is not ASCII", b"(i\xff\xfe\nx\n."),
    "unknown_opcode": ("an opcode that is none", b"\x80\x04}\xff."),
    "unhashable_key": ("a list as a key", b"\x80\x02}]K\x01s."),
    "setitem_on_tuple": ("SETITEM on a tuple", b"\x80\x02)K\x01K\x02s."),
    "append_to_number": ("APPEND to a number", b"\x80\x02K\x01K\x02a."),
    "append_to_bytes": ("APPENDS to bytes", b"\x80\x03C\x01x(K\x01e."),
    "build_on_list": ("BUILD on a list", b"\x80\x02]}b."),
    "itself_list": ("a list that holds itself", b"\x80\x02]q\x00h\x00a."),
    "itself_dict": ("a dict that holds itself", b"\x80\x04}\x94\x8c\x0cuser_factorsh\x00s\x8c\x0citem_factorsh\x00s."),
    "a_number": ("a model that is the number 1", b"\x80\x04K\x01."),
    "none": ("a model that is None", b"\x80\x04N."),
}
