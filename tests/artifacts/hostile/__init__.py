"""Hostile files: `HOSTILE` by name, each with the failure types it may end in. See `entry.Hostile`.

code.py      that try to run something            opcodes.py    pickle streams no pickler writes
dtypes.py    arrays, dtypes and scalars forged    wrappers.py   joblib's array wrapper forged
contents.py  well-formed, wrong inside            bombs.py      small files that want much memory
containers.py  safetensors and npz forged         damage.py     truncated and bit-flipped files
strangers.py   not a model at all
"""

from __future__ import annotations

from . import bombs, code, containers, contents, damage, dtypes, opcodes, strangers, wrappers
from .entry import Hostile, Table

_TABLE = Table()
for _room in (code, opcodes, dtypes, wrappers, contents, bombs, containers, damage, strangers):
    _room.add_to(_TABLE)

HOSTILE: dict[str, Hostile] = _TABLE.entries


def hostile(name: str) -> Hostile:
    """The entry of that name. Raises KeyError."""
    return HOSTILE[name]


def names(prefix: str = "") -> list[str]:
    """Names that begin with `prefix`, in the order of the table: for parametrised tests."""
    return [name for name in HOSTILE if name.startswith(prefix)]
