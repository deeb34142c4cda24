"""A run as the text that the journal keeps of it, and back: whatever a disk, a hand or a newer program made of the text meanwhile.

Covers: which fields of a record can be told. Does not cover: where records lie (`training.running.journal`), what a run is
(`training.running.runs`). Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any

from training.running.runs import PHASES, Run, RunCause, RunStatus

Check = Callable[[Any], bool]
_FIELDS = {each.name for each in fields(Run)}
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_799.0
"""Unix seconds that are a date: of the years 1 to 9999."""
_GREATEST = 1 << 63


def record_of(run: Run) -> str:
    """What is kept of a run."""
    record = {name: getattr(run, name) for name in _FIELDS}
    plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in record.items()}
    return json.dumps(plain, default=list)


def run_of(record: object) -> tuple[Run | None, list[str]]:
    """The run of a record, and which of its fields are nothing that such a field holds: those are told as if they were not known.

    None for a record without what every run has: an id, a training, an algorithm, a time, a status and a cause that are known.
    """
    try:
        told = json.loads(record) if isinstance(record, str | bytes) else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return None, ["record"]
    wrong = [name for name, holds in _HOLDS.items() if name in told and not holds(told[name])]
    known = {name: value for name, value in told.items() if name in _FIELDS and name not in wrong}
    missing = [name for name in _REQUIRED if name not in known]
    if missing:
        return None, missing
    words = {"status": RunStatus(known["status"]), "cause": RunCause(known["cause"])}
    return Run(**{**known, **words, "log": tuple(known.get("log", ()))}), wrong


# -- what a field holds -----------------------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _GREATEST


def _is_time(value: Any) -> bool:
    return _is_number(value) and _EARLIEST <= value <= _LATEST


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _word_of(known: Collection[str]) -> Check:
    return lambda value: isinstance(value, str) and value in known


def _or_none(holds: Check) -> Check:
    return lambda value: value is None or holds(value)


def _all(holds: Check) -> Check:
    """A list of such values."""
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _with(**keys: Check) -> Check:
    """A table that has all of these, and perhaps others."""
    return lambda value: isinstance(value, dict) and all(key in value and holds(value[key]) for key, holds in keys.items())


def _is_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


_RULE = _with(rule=_word_of(("minimum", "popular", "champion")), passed=_or_none(_is_flag), message=_is_text)
_DUEL = _with(
    version=_is_text, candidate=_is_number, champion=_is_number, difference=_is_number, standard_error=_is_number, users=_is_count
)
_VERDICT = _with(
    accepted=_is_flag,
    forced_by=_or_none(_is_text),
    metric=_is_text,
    value=_is_number,
    popular=_is_number,
    users=_is_count,
    split=_word_of(("time", "random")),
    cut_at=_or_none(_is_time),
    rules=_all(_RULE),
    champion=_or_none(_DUEL),
)
_HOLDS: Mapping[str, Check] = {
    "id": _is_text,
    "training": _is_text,
    "algorithm": _is_text,
    "status": _word_of({each.value for each in RunStatus}),
    "cause": _word_of({each.value for each in RunCause}),
    "created_at": _is_time,
    "requested_by": _is_text,
    "forced": _is_flag,
    "started_at": _or_none(_is_time),
    "ended_at": _or_none(_is_time),
    "phase": _or_none(_word_of(PHASES)),
    "step": _or_none(_is_text),
    "progress": _or_none(_is_share),
    "parameters": _is_table,
    "fingerprint": _or_none(_with(interactions=_is_count, latest_at=_or_none(_is_time), digest=_is_text, recipe=_is_text)),
    "metrics": _is_metrics,
    "verdict": _or_none(_VERDICT),
    "version": _or_none(_is_text),
    "reason": _or_none(_is_text),
    "failure": _or_none(_with(type=_is_text, message=_is_text)),
    "peak_bytes": _or_none(_is_count),
    "cap_bytes": _or_none(_is_count),
    "log": _all(_is_text),
}
_REQUIRED = ("id", "training", "algorithm", "status", "cause", "created_at")
