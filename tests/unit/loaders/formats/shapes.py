"""Classes whose instances the tests pickle: every way in which an object says how it is made again."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, NamedTuple


class Plain:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right


class SlottedWithDict(Slotted):
    pass


class Keyworded:
    def __new__(cls, *args: Any, **kwargs: Any) -> Keyworded:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (1, 2), {"three": 3}


class MadeByMethod:
    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def make(cls, number: int) -> MadeByMethod:
        raise AssertionError("never called by the reader")

    def __reduce__(self) -> tuple[Any, ...]:
        return MadeByMethod.make, (self.number,)


class OwnState:
    def __getstate__(self) -> tuple[int, str]:
        return (7, "seven")

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("never called by the reader")


class Rows(list[Any]):
    pass


class Table(dict[Any, Any]):
    pass


class Bag(set[Any]):
    pass


class Name(str):
    pass


class Point(NamedTuple):
    x: int
    y: int


class Colour(Enum):
    RED = "red"


class Caller:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)
