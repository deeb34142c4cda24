"""The versions of a model as a table: all that is known of each, or on a narrow terminal what somebody looks for.

Covers: the columns, which of them give way first. Does not cover: aligning them (`service.commands.tables`), asking for the versions
(`service.commands.versions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.client import KeptVersion, Versions
from service.commands.progress import bytes_in_words, printable
from service.commands.tables import table_lines

_Row = Mapping[str, str | None]
_Rows = Sequence[_Row]
_ALWAYS = ("version", "", "family", "artifact")


def version_lines(versions: Versions, width: int | None = None) -> list[str]:
    """A line a version, the newest first as the server tells them; columns that no version has are left out.

    Where the table is wider than `width` characters, columns are shortened and left out one after another, until it fits or nothing
    is left to spare: version, state, time, verdict and metric stay. None: there is room for everything.
    """
    if not versions.versions:
        return [printable(f"{versions.model}: no version is kept")]
    rows: _Rows = [_row(each, versions) for each in versions.versions]
    table = _table(rows)
    for narrower in _NARROWER:
        if width is None or max(map(len, table)) <= width:
            break
        rows = narrower(rows)
        table = _table(rows)
    withdrawn = [
        f"  {each.version} was withdrawn: {each.withdrawn.get('type')}: {each.withdrawn.get('message')}"
        for each in versions.versions
        if each.withdrawn is not None
    ]
    return [printable(versions.model), *table, *map(printable, withdrawn)]


def _table(rows: _Rows) -> list[str]:
    titles = [title for title in rows[0] if title in _ALWAYS or any(row[title] is not None for row in rows)]
    return table_lines(titles, [[row[title] for title in titles] for row in rows])


def _row(each: KeptVersion, versions: Versions) -> _Row:
    flags = {
        "live": each.live,
        "current": each.version == versions.current and not each.live,
        "pinned": each.pinned,
        "withdrawn": each.withdrawn is not None,
    }
    return {
        "version": each.version,
        "": " ".join(word for word, holds in flags.items() if holds),
        "family": each.family,
        "algorithm": each.algorithm,
        "published": each.published_at,
        "loaded": each.loaded_at,
        "artifact": None if each.artifact_bytes is None else bytes_in_words(each.artifact_bytes),
        "segment": None if each.segment_bytes is None else bytes_in_words(each.segment_bytes),
        "verdict": None if each.verdict is None else _verdict(each.verdict),
        "metrics": ", ".join(_metrics(each)) or None,
    }


def _verdict(verdict: Mapping[str, Any]) -> str:
    if verdict.get("forced_by"):
        return f"forced by {verdict['forced_by']}"
    return "accepted" if verdict.get("accepted") else "refused"


def _metrics(each: KeptVersion) -> Sequence[str]:
    """The one that the gate judged by, where there was a gate: all of them make a line that no terminal holds; --json has them."""
    judged_by = (each.verdict or {}).get("metric")
    told = [(name, value) for name, value in (each.metrics or {}).items() if judged_by in (None, name)]
    return [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in told]


# -- on a narrow terminal ---------------------------------------------------------------------------------------------


def _without(title: str) -> Callable[[_Rows], _Rows]:
    return lambda rows: [{each: cell for each, cell in row.items() if each != title} for row in rows]


def _shortened(title: str, shorter: Callable[[str], str]) -> Callable[[_Rows], _Rows]:
    return lambda rows: [
        {each: shorter(cell) if each == title and cell is not None else cell for each, cell in row.items()} for row in rows
    ]


def _to_the_minute(time: str) -> str:
    return re.sub(r":\d\d(\.\d+)?Z$", "Z", time)


def _without_loaded(rows: _Rows) -> _Rows:
    """When a version was published says more; of one that came from elsewhere nothing else says a time."""
    return _without("loaded")(rows) if all(row["published"] for row in rows) else rows


def _named_once(rows: _Rows) -> _Rows:
    """The metric in the title, where it is the same in every row."""
    told = [None if row["metrics"] is None else row["metrics"].rpartition(" ") for row in rows]
    names = {each[0] for each in told if each is not None}
    if len(names) != 1:
        return rows
    bare = _without("metrics")(rows)
    return [{**row, name: None if each is None else each[2]} for name in names for row, each in zip(bare, told, strict=True)]


_NARROWER: Sequence[Callable[[_Rows], _Rows]] = (
    _without("segment"),
    _shortened("verdict", lambda verdict: verdict.partition(" ")[0]),
    _shortened("metrics", lambda metrics: metrics.partition(", ")[0]),
    _without_loaded,
    _shortened("published", _to_the_minute),
    _shortened("loaded", _to_the_minute),
    _without("artifact"),
    _without("family"),
    _named_once,
    _without("algorithm"),
)
