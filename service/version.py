"""The version of the running program, as its distribution declares it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """The distribution's version; "0+source" when the program runs from a checkout that was never installed."""
    try:
        return version("holdfast")
    except PackageNotFoundError:
        return "0+source"
