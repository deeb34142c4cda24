"""How one value is written: durations, sizes, switches, paths, mappings.

Covers: one value at a time, from TOML (typed) or from text (environment, command line). Every function raises ValueError
with a sentence that says what was expected. Does not cover: values that must fit each other (`config.load`).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.declared import Declared

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"b": 1}
BYTES |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)}
BYTES |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)}
SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:|training:")
"""What is not a plain path."""
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_SIZE = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.IGNORECASE)
_PLAIN = re.compile(rf"-?{_NUMBER}")


def parse_duration(text: str) -> float:
    """Seconds of "30s", "5m", "1h30m", "250ms", "1d" or a plain number of seconds. Raises ValueError."""
    word = text.strip().lower()
    if _PLAIN.fullmatch(word):
        return float(word)
    if not _DURATION.fullmatch(word):
        raise ValueError(f'{text!r} is not a duration: write "30s", "5m", "1h30m", "250ms" or a number of seconds')
    return math.fsum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(word))


def parse_size(text: str) -> int:
    """Bytes of "2GiB" (1024s), "300MB" (1000s), "1024" or "1024B". Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    unit = match[2].lower() or "b" if match else ""
    if match is None or unit not in BYTES:
        hint = f"; {unit.upper()} is ambiguous" if unit and unit[0] in "kmgt" and len(unit) == 1 else ""
        raise ValueError(f'{text!r} is not a size: write "2GiB", "300MB" or a number of bytes{hint}')
    size = float(match[1]) * BYTES[unit] if "." in match[1] else int(match[1]) * BYTES[unit]
    if size != int(size):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(size)


def parse(declared: Declared, raw: object, *, text: bool, base: Path) -> Any:
    """The value of a setting as the program uses it.

    text: `raw` is a string from the environment or the command line, not a typed TOML value.
    base: the folder that a relative path starts at. Raises ValueError.
    """
    value = _READERS[declared.kind](declared, raw, text, base)
    if declared.choices and value not in declared.choices:
        raise ValueError(f"{raw!r} is none of: {', '.join(declared.choices)}")
    if not (declared.zero is not None and value == 0):
        _check_bounds(declared, value)
    return value


def _check_bounds(declared: Declared, value: Any) -> None:
    lowest, highest = declared.minimum, declared.maximum
    if lowest is not None and value < lowest:
        unit_hint = "; is the unit missing?" if declared.kind == "size" else ""
        raise ValueError(f"{show(declared, value)} is too small: at least {show(declared, lowest)}{unit_hint}")
    if highest is not None and value > highest:
        raise ValueError(f"{show(declared, value)} is too large: at most {show(declared, highest)}")


def show(declared: Declared, value: Any) -> str:
    """A value as an operator would write it."""
    if value == 0 and declared.zero is not None and declared.kind != "bool":
        return declared.zero
    if declared.kind == "size":
        return _show_size(int(value))
    if declared.kind == "duration":
        return _show_duration(float(value))
    if declared.kind == "bool":
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show_size(size: int) -> str:
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def _show_duration(seconds: float) -> str:
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit in ("d", "h", "m"):
        if seconds and seconds % SECONDS[unit] == 0:
            return f"{seconds / SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"


def _read_str(declared: Declared, raw: object, text: bool, base: Path) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{_toml(raw)} given where a string is expected")
    if "\0" in raw:
        raise ValueError("contains a NUL character")
    return raw


def _read_path(declared: Declared, raw: object, text: bool, base: Path) -> Path | str:
    written = _read_str(declared, raw, text, base)
    if not written:
        if declared.default == "":
            return ""
        raise ValueError("a path is expected")
    path = _absolute(written, base)
    return path if isinstance(declared.default, Path) else str(path)


def _read_source(declared: Declared, raw: object, text: bool, base: Path) -> str:
    written = _read_str(declared, raw, text, base).strip()
    return str(_absolute(written, base)) if written and not _ADDRESS.match(written) else written


def _read_digest(declared: Declared, raw: object, text: bool, base: Path) -> str:
    digest = _read_str(declared, raw, text, base).strip().lower().removeprefix("sha256:")
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"{raw!r} is not a SHA-256: 64 hexadecimal digits")
    return digest


def _absolute(written: str, base: Path) -> Path:
    try:
        return base / Path(written).expanduser()
    except RuntimeError as error:  # ~nobody-known
        raise ValueError(f"{written!r}: {error}") from error


def _read_int(declared: Declared, raw: object, text: bool, base: Path) -> int:
    if declared.zero is not None and isinstance(raw, str) and raw.strip().lower() == declared.zero:
        return 0
    if text:
        try:
            return int(str(raw).strip())
        except ValueError:
            raise ValueError(f"{raw!r} is not a whole number") from None
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ValueError(f"{_toml(raw)} given where a whole number is expected")
    return raw


def _read_float(declared: Declared, raw: object, text: bool, base: Path) -> float:
    if text:
        try:
            number = float(str(raw))
        except ValueError:
            raise ValueError(f"{raw!r} is not a number") from None
    elif isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(f"{_toml(raw)} given where a number is expected")
    else:
        number = float(raw)
    if not math.isfinite(number):
        raise ValueError(f"{raw!r} is not a finite number")
    return number


def _read_bool(declared: Declared, raw: object, text: bool, base: Path) -> bool:
    if text:
        try:
            return SWITCH[str(raw).strip().lower()]
        except KeyError:
            raise ValueError(f"{raw!r} is neither true nor false") from None
    if not isinstance(raw, bool):
        raise ValueError(f"{_toml(raw)} given where true or false is expected")
    return raw


def _read_duration(declared: Declared, raw: object, text: bool, base: Path) -> float:
    if isinstance(raw, str):
        if raw.strip().lower() == declared.zero:
            return 0.0
        seconds = parse_duration(raw)
    else:
        seconds = _read_float(declared, raw, text, base)
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    return seconds


def _read_size(declared: Declared, raw: object, text: bool, base: Path) -> int:
    if isinstance(raw, str):
        return 0 if raw.strip().lower() == declared.zero else parse_size(raw)
    size = _read_int(declared, raw, text, base)
    if size < 0:
        raise ValueError("a size cannot be negative")
    return size


def _read_mapping(declared: Declared, raw: object, text: bool, base: Path) -> Mapping[str, str]:
    if text:
        pairs = [part.partition("=") for part in str(raw).split(",") if part.strip()]
        if any(not sign or not name.strip() or not value.strip() for name, sign, value in pairs):
            raise ValueError(f'{raw!r} is not a mapping: write "content=a,collaborative=b"')
        return MappingProxyType({name.strip(): value.strip() for name, _, value in pairs})
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise ValueError(f"{_toml(raw)} given where a table of strings is expected")
    return MappingProxyType(dict(raw))


def _read_table(declared: Declared, raw: object, text: bool, base: Path) -> Mapping[str, str | int | float | bool]:
    if text:
        try:
            raw = tomllib.loads(f"table = {{{raw}}}")["table"]
        except tomllib.TOMLDecodeError:
            raise ValueError(f"{raw!r} is not a table: write 'metric=\"ndcg@10\", minimum=0.05'") from None
    if not isinstance(raw, dict) or not all(isinstance(value, str | int | float) for value in raw.values()):
        raise ValueError(f"{_toml(raw)} given where a table of strings, numbers and switches is expected")
    if not all(math.isfinite(value) for value in raw.values() if isinstance(value, float)):
        raise ValueError("holds a number that is not finite")
    return MappingProxyType(dict(raw))


def _read_database(declared: Declared, raw: object, text: bool, base: Path) -> str:
    """A database's address; the path of a file or folder in it made absolute."""
    written = _read_str(declared, raw, text, base).strip()
    scheme, separator, rest = written.partition("://")
    if not written or scheme in ("postgresql", "postgres"):
        return written
    if not separator or scheme not in ("sqlite", "csv"):
        raise ValueError("is no database: write postgresql://..., sqlite:///PATH or csv://FOLDER")
    # sqlite:///var/demo.db is a relative path, sqlite:////srv/demo.db an absolute one, as everywhere.
    path = rest.removeprefix("/") if scheme == "sqlite" else rest
    if not path:
        raise ValueError(f"names no {'file' if scheme == 'sqlite' else 'folder'}")
    return f"sqlite:///{_absolute(path, base)}" if scheme == "sqlite" else f"csv://{_absolute(path, base)}"


def _toml(raw: object) -> str:
    words = {bool: "a boolean", int: "a whole number", float: "a number", str: "a string", list: "an array", dict: "a table"}
    return words.get(type(raw), "a date or time")


_READERS = {
    "str": _read_str,
    "path": _read_path,
    "source": _read_source,
    "digest": _read_digest,
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "duration": _read_duration,
    "size": _read_size,
    "mapping": _read_mapping,
    "table": _read_table,
    "database": _read_database,
}
