"""Honest files cut short at many places, and with one bit turned at many places.

A bit turned within a number is a valid model with another number: only npz, and some compressions, have a checksum. So a
flipped file may load; what it must not do is to crash, hang or be tried again.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path

import joblib
import numpy as np

from tests.artifacts.hostile.containers import npy, npz
from tests.artifacts.hostile.entry import DAMAGED, ITEMS, USERS, Table, honest, matrix

CUTS, FLIPS = 12, 24
"""Of each format. Each is a child process to whoever loads them all; set both higher for a longer search."""


def _joblib(compress: object = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(honest(), file, compress=compress)
    return file.getvalue()


def _safetensors() -> bytes:
    from safetensors.numpy import save

    return save({"user_factors": matrix(USERS), "item_factors": matrix(ITEMS)})


BASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "pickle2": (".pkl", lambda: pickle.dumps(honest(), 2)),
    "pickle4": (".pkl", lambda: pickle.dumps(honest(), 4)),
    "pickle5": (".pkl", lambda: pickle.dumps(honest(), 5)),
    "joblib": (".joblib", _joblib),
    "joblib_zlib": (".joblib", lambda: _joblib(("zlib", 3))),
    "joblib_lz4": (".joblib", lambda: _joblib(("lz4", 3))),
    "joblib_xz": (".joblib", lambda: _joblib(("xz", 1))),
    "safetensors": (".safetensors", _safetensors),
    "npz": (".npz", lambda: npz(npy(matrix(USERS)))),
}


@cache
def base(how: str) -> bytes:
    """The honest file of that format."""
    return BASES[how][1]()


def cut_places(size: int) -> list[int]:
    """Lengths to cut to: dense at both ends, evenly between."""
    ends = [1, 9, 11, 100, size - 1, size - 2, size - 100]
    between = [size * step // (CUTS - len(ends)) for step in range(1, CUTS - len(ends))]
    return sorted({place for place in ends + between if 0 < place < size})


def flip_places(how: str) -> list[tuple[int, int]]:
    """(byte, bit) to turn: mostly where the structure is, some within the arrays."""
    content = base(how)
    rng = np.random.default_rng(len(how))
    # Outside the arrays' bytes, as far as those are stored raw.
    outside = np.ones(len(content), dtype=bool)
    for rows in (USERS, ITEMS):
        at = content.find(matrix(rows).tobytes()[:64])
        if at >= 0:
            outside[at : at + matrix(rows).nbytes] = False
    structure = np.flatnonzero(outside)
    chosen = [
        *rng.choice(structure[:400], FLIPS // 2),
        *rng.choice(structure[-400:], FLIPS // 4),
        *rng.integers(len(content), size=FLIPS // 4),
    ]
    return sorted({(int(place), int(bit)) for place, bit in zip(chosen, rng.integers(8, size=len(chosen)), strict=True)})


def _cut(how: str, length: int) -> Callable[[Path], bytes]:
    return lambda _: base(how)[:length]


def _flip(how: str, place: int, bit: int) -> Callable[[Path], bytes]:
    def build(_: Path) -> bytes:
        content = bytearray(base(how))
        content[place] ^= 1 << bit
        return bytes(content)

    return build


def add_to(table: Table) -> None:
    for how, (suffix, _) in BASES.items():
        for length in cut_places(len(base(how))):
            # joblib's zlib, lz4 and xz have checks after the pickle's end that a reader of the pickle need not reach.
            lenient = how.startswith("joblib_") and len(base(how)) - length < 150
            expected = frozenset({"corrupt_artifact"}) if length > 100 else frozenset({"corrupt_artifact", "not_a_model", "unknown_format"})
            says = f"{how} cut after {length:,} of {len(base(how)):,} bytes"
            table.add(f"cut_{how}_{length}", says, _cut(how, length), expected, suffix=suffix, may_load=lenient)
        for place, bit in flip_places(how):
            says = f"{how} with bit {bit} of byte {place:,} turned"
            table.add(f"flip_{how}_{place}_{bit}", says, _flip(how, place, bit), DAMAGED, suffix=suffix, may_load=True)
