"""Big model files of any size and format, written in a stream: `python -m bench.models --bytes 1GiB --format pickle5 --out X`.

The model is the dict {user_factors, item_factors, user_id_map, item_id_map, is_trained, trained_at}, float32, half of the
bytes users and half items. The files are those that pickle, joblib, safetensors and numpy would write, opcode for opcode,
but only a piece of an array is in memory at a time. Contents depend on the arguments only.
Does not cover: protocol 2, which stores bytes as text.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

PICKLES = ("pickle3", "pickle4", "pickle5")
JOBLIB_COMPRESSED = ("joblib_zlib", "joblib_gzip", "joblib_bz2", "joblib_lzma", "joblib_xz", "joblib_lz4")
FORMATS = (*PICKLES, "joblib", *JOBLIB_COMPRESSED, "safetensors", "npz", "npz_compressed")
FILLS = ("random", "coarse", "zeros")
_PIECE_BYTES = 4 << 20
_DTYPE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Column:
    """An array that is never whole in memory."""

    rows: int
    factors: int
    seed: int
    fill: str

    @property
    def shape(self) -> tuple[int, int]:
        return (self.rows, self.factors)

    @property
    def nbytes(self) -> int:
        return self.rows * self.factors * _DTYPE.itemsize

    def pieces(self) -> Iterator[bytes]:
        """Its bytes in C order, some rows at a time."""
        step = max(1, _PIECE_BYTES // (self.factors * _DTYPE.itemsize))
        for start in range(0, self.rows, step):
            shape = (min(step, self.rows - start), self.factors)
            if self.fill == "zeros":
                piece = np.zeros(shape, _DTYPE)
            else:
                piece = np.random.default_rng([self.seed, start]).random(shape, dtype=np.float32) - np.float32(0.5)
                if self.fill == "coarse":  # eight significant bits, which compressors like
                    piece = np.round(piece * 256) / np.float32(256)
            yield piece.astype(_DTYPE, copy=False).tobytes()


def big_model(size_bytes: int, *, factors: int = 256, ids: str = "none", fill: str = "random") -> dict[str, Any]:
    """The dict, with Columns for arrays whose bytes add up to `size_bytes`, rounded down to whole rows. `ids`: none, int, str."""
    rows = max(2, size_bytes // (factors * _DTYPE.itemsize))
    users, items = rows - rows // 2, rows // 2
    model: dict[str, Any] = {"user_factors": Column(users, factors, 1, fill), "item_factors": Column(items, factors, 2, fill)}
    if ids != "none":
        model["user_id_map"] = {_id(ids, row): row for row in range(users)}
        model["item_id_map"] = {_id(ids, row): row for row in range(items)}
    return model


def _id(kind: str, row: int) -> int | str:
    return row + 1 if kind == "int" else f"id-{row + 1}"


def array_bytes(model: dict[str, Any]) -> int:
    """Bytes of the model's arrays."""
    return sum(value.nbytes for value in model.values() if isinstance(value, Column))


def write_model(path: Path, model: dict[str, Any], format: str, *, level: int = 1) -> None:
    """Write it in one of FORMATS; `level` is for the compressing ones. Raises KeyError and OSError."""
    if format in ("safetensors", "npz", "npz_compressed"):
        {"safetensors": _write_safetensors, "npz": _write_npz, "npz_compressed": _write_npz}[format](path, model, format)
        return
    extra = {"is_trained": True, "trained_at": "2026-01-01T00:00:00Z"}
    with ExitStack() as stack:
        if format in PICKLES:
            file = stack.enter_context(path.open("wb"))
            _ColumnPickler(file, protocol=int(format[-1])).dump(model | extra)
        elif format == "joblib":
            file = stack.enter_context(path.open("wb"))
            _joblib_pickler(file).dump(model | extra)
        else:
            from joblib.numpy_pickle_utils import _write_fileobject

            compressed = stack.enter_context(_write_fileobject(str(path), compress=(format.removeprefix("joblib_"), level)))
            _joblib_pickler(compressed).dump(model | extra)


# The one in Python: the one in C cannot be told what to write.
_Pickler: Any = pickle._Pickler


class _ColumnPickler(_Pickler):  # type: ignore[misc]
    """Pickles a Column with the opcodes of the array it stands for."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:
        if not isinstance(obj, Column | _Payload):
            return super().save(obj, save_persistent_id)
        if isinstance(obj, _Payload):
            self._save_payload(obj)
        else:
            reduced: Any = np.zeros((1, 1), _DTYPE).__reduce_ex__(self.proto)
            if self.proto >= 5:
                function, (_, dtype, _, order) = reduced
                self.save_reduce(function, (_Payload(obj), dtype, obj.shape, order), obj=obj)
            else:
                function, args, (version, _, dtype, fortran, _) = reduced
                self.save_reduce(function, args, (version, obj.shape, dtype, fortran, _Payload(obj)), obj=obj)
        return None

    def _save_payload(self, payload: _Payload) -> None:
        size = payload.column.nbytes
        if self.proto >= 5:
            head = pickle.BYTEARRAY8 + struct.pack("<Q", size)
        elif size <= 0xFFFFFFFF:
            head = pickle.BINBYTES + struct.pack("<I", size)
        elif self.proto >= 4:
            head = pickle.BINBYTES8 + struct.pack("<Q", size)
        else:
            raise OverflowError("protocol 3 cannot hold an array of more than 4 GiB")
        if self.proto >= 4:
            self.framer.commit_frame(force=True)
            write = self.framer.file_write
        else:
            write = self.write
        write(head)
        for piece in payload.column.pieces():
            write(piece)
        self.memoize(payload)


class _Payload:
    """The bytes of a column, as an object that a pickler can save."""

    def __init__(self, column: Column) -> None:
        self.column = column


def _joblib_pickler(file: BinaryIO) -> Any:
    from joblib.numpy_pickle import NumpyArrayWrapper, NumpyPickler

    class ColumnPickler(NumpyPickler):  # type: ignore[misc]
        def save(self, obj: Any) -> None:
            if not isinstance(obj, Column):
                super().save(obj)
                return
            wrapper = NumpyArrayWrapper(np.ndarray, obj.shape, "C", _DTYPE, allow_mmap=not self.buffered)
            _Pickler.save(self, wrapper)
            self.framer.commit_frame(force=True)
            padding = 16 - (self.file_handle.tell() + 1) % 16
            self.file_handle.write(bytes([padding]) + b"\xff" * padding)
            for piece in obj.pieces():
                self.file_handle.write(piece)

    return ColumnPickler(file)


def _flat(model: dict[str, Any]) -> dict[str, Any]:
    """Columns, and the ids of the maps as arrays."""
    arrays: dict[str, Any] = {name: value for name, value in model.items() if isinstance(value, Column)}
    for side in ("user", "item"):
        if f"{side}_id_map" in model:
            arrays[f"{side}_ids"] = np.array(list(model[f"{side}_id_map"]))
    return arrays


def _content(value: Any) -> Iterator[bytes]:
    return value.pieces() if isinstance(value, Column) else iter([value.tobytes()])


def _write_safetensors(path: Path, model: dict[str, Any], _: str) -> None:
    header, at = {}, 0
    arrays = _flat(model)
    for name, value in arrays.items():
        if not isinstance(value, Column) and value.dtype.kind != "i":
            raise ValueError("safetensors has no arrays of text: --ids int or none")
        dtype = "F32" if isinstance(value, Column) else "I64"
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in arrays.values():
            file.writelines(_content(value))


def _write_npz(path: Path, model: dict[str, Any], format: str) -> None:
    import zipfile

    how = zipfile.ZIP_DEFLATED if format == "npz_compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, value in _flat(model).items():
            dtype = _DTYPE if isinstance(value, Column) else value.dtype
            head = io.BytesIO()
            described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": value.shape}
            np.lib.format.write_array_header_1_0(head, described)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(head.getvalue())
                for piece in _content(value):
                    member.write(piece)


def size_of(text: str) -> int:
    """ "1GiB", "300MB" or a number, in bytes. Raises ValueError."""
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
    for unit, factor in units.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m bench.models", description="Write a big model file.")
    parser.add_argument("--bytes", type=size_of, default=size_of("1GiB"), help="bytes of the arrays together (1GiB)")
    parser.add_argument("--format", choices=FORMATS, default="pickle5")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--factors", type=int, default=256)
    parser.add_argument("--ids", choices=("none", "int", "str"), default="none", help="id maps of every row")
    parser.add_argument("--fill", choices=FILLS, default="random", help="coarse compresses about as real factors do")
    parser.add_argument("--level", type=int, default=1, help="compression level")
    asked = parser.parse_args(arguments)
    model = big_model(asked.bytes, factors=asked.factors, ids=asked.ids, fill=asked.fill)
    write_model(asked.out, model, asked.format, level=asked.level)
    print(json.dumps({"path": str(asked.out), "array_bytes": array_bytes(model), "file_bytes": asked.out.stat().st_size}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
