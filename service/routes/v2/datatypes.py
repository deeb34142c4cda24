"""The datatypes of the protocol, and one tensor of each: names, numpy types, shapes.

Covers: what a tensor is. Does not cover: JSON (`json_data`), bytes after the JSON (`binary_data`), which tensors a model takes
(`rows`, `rankings`).

Source: kserve/open-inference-protocol, inference_rest, "Tensor Data Types".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = "BYTES"
"""Elements of any length; here always text in UTF-8."""
NUMPY_OF: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "UINT8": np.dtype("<u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "INT8": np.dtype("<i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
"""Little-endian, as the binary extension has them."""
_LISTED_AT_ONCE = 10_000
"""Elements that become Python's in one call, which lets no other thread run meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One named tensor; `values` are flat, in row-major order: an array of the datatype's numpy type, a list of str for BYTES."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[str]

    def __post_init__(self) -> None:
        if prod(self.shape) != len(self.values):
            raise ValueError(f"{self.name}: {len(self.values)} elements in the shape {list(self.shape)}")

    @property
    def is_integer(self) -> bool:
        return self.datatype in NUMPY_OF and NUMPY_OF[self.datatype].kind in "iu"

    def to_list(self) -> list[Any]:
        """The elements as Python's bool, int, float or str, flat."""
        return self.values if isinstance(self.values, list) else self.values.tolist()

    def to_rows(self) -> list[list[Any]]:
        """The same a list a row; two dimensions only."""
        rows, width = self.shape
        if isinstance(self.values, list):
            return [self.values[at * width : (at + 1) * width] for at in range(rows)]
        matrix, step = self.values.reshape(rows, width), max(1, _LISTED_AT_ONCE // max(1, width))
        return [row for begin in range(0, rows, step) for row in matrix[begin : begin + step].tolist()]


def tensor(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any]) -> Tensor:
    """A tensor of Python values, in row-major order. Raises ValueError for another number of them than the shape has."""
    kept = list(values) if datatype == BYTES else np.array(values, NUMPY_OF[datatype]).reshape(-1)
    return Tensor(name, datatype, tuple(shape), kept)
