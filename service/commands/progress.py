"""How models come along, on a console: one line a model, redrawn on a terminal, a line a change elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from service.client import Progress
    from service.lifecycle.view import ModelView

BAR_CELLS = 24


class ModelProgress:
    """Shows snapshots of models. One thread only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._drawn = 0
        self._told: dict[str, tuple[str, int]] = {}

    def show(self, views: Sequence[ModelView], now: float) -> None:
        """Show where each model is at Unix time `now`."""
        self.show_models([view.to_json(now) for view in views])

    def tell(self, progress: Progress) -> None:
        """Show how far the only model is that is waited for."""
        told = {"status": "loading", "version": None, "family": None, "artifact_bytes": None, "failure": None}
        self.show_models([{"name": progress.model, **told, **msgspec.structs.asdict(progress)}])

    def show_models(self, facts: Sequence[Mapping[str, object]]) -> None:
        """Show status objects, as the server tells them."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            lines = "".join(f"\x1b[2K{model_line(model)[:width]}\n" for model in facts)
            self._stream.write(up + lines)
            self._drawn = len(facts)
        else:
            for model in facts:
                self._tell(model)
        self._stream.flush()

    def end(self) -> None:
        """Nothing is redrawn after this."""
        self._drawn = 0

    def _tell(self, model: Mapping[str, object]) -> None:
        quarter = int(_number(model["progress"]) * 4)
        state = (f"{model['status']} {model['phase']}", quarter)
        if self._told.get(str(model["name"])) != state:
            self._told[str(model["name"])] = state
            self._stream.write(model_line(model) + "\n")


def model_line(model: Mapping[str, object]) -> str:
    """One line about a status object."""
    words = [f"{model['name']}:", state_of(model)]
    if model["phase"] == "downloading" and model["bytes_total"]:
        words.append(bar(_number(model["progress"])))
    return printable(" ".join([*words, *facts_of(model)]))


def state_of(model: Mapping[str, object]) -> str:
    """Its phase, or where it rests."""
    return str(model["phase"] or model["status"])


def facts_of(model: Mapping[str, object]) -> list[str]:
    """What else is to be said of it now: bytes and time left, version, reason, failure."""
    failure = model["failure"]
    words = []
    if model["phase"] == "downloading":
        words.append(bytes_in_words(model["bytes_done"]) + (f" of {bytes_in_words(model['bytes_total'])}" if model["bytes_total"] else ""))
        if model["eta_s"] is not None:
            words.append(f"{_number(model['eta_s']):.0f} s left")
    elif model["status"] == "ready":
        words.append(f"{model['version']}, {model['family']}, {bytes_in_words(model['artifact_bytes'])}")
    if model["reason"]:
        words.append(f"({model['reason']})")
    if isinstance(failure, Mapping):
        words.append(f"{failure['type']}: {failure['message']}")
    return words


def printable(line: str) -> str:
    """The line with escapes for what is no sign: names in a file may hold a terminal's control sequences."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


def bar(share: float) -> str:
    """A bar of which this share is full, 0..1, and the share in words."""
    full = round(share * BAR_CELLS)
    return f"[{'#' * full}{'.' * (BAR_CELLS - full)}] {share:4.0%}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def bytes_in_words(value: object) -> str:
    """A number of bytes with its unit; what is no number counts as 0."""
    size = _number(value)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
