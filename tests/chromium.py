"""The browser that the tests of the dashboard drive: where it is found, how it is started, what is said where there is none.

Covers: Chromium and its arguments. Does not cover: pages (`tests.acceptance.browser`). Two variables steer it: HOLDFAST_CHROMIUM
names a program, and with HOLDFAST_REQUIRE_BROWSER=1 its absence fails the tests instead of leaving them out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
TESTS = "tests/acceptance/browser/"
_KEPT = {"HOLDFAST_CHROMIUM": "TESTS_CHROMIUM", "HOLDFAST_REQUIRE_BROWSER": "TESTS_REQUIRE_BROWSER"}
"""The program refuses variables that it does not know, so it must not see these; the processes of xdist inherit the other names."""

ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Else a process is kept ready for the next page, which a test would seem to leave behind.
    "--disable-features=SpareRendererForSitePerProcess",
)


def keep_settings() -> None:
    """Before the project's own variables are taken out of the environment."""
    for name, kept in _KEPT.items():
        if name in os.environ:
            os.environ[kept] = os.environ[name]


def found() -> str | None:
    """The program, or None where there is none."""
    named = os.environ.get("TESTS_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


def is_required() -> bool:
    return os.environ.get("TESTS_REQUIRE_BROWSER", "") not in ("", "0")


def missing() -> str:
    """What a person reads who has none."""
    named = os.environ.get("TESTS_CHROMIUM")
    looked_for = f"HOLDFAST_CHROMIUM={named} is no program" if named else f"none of {', '.join(NAMES)} is installed"
    return f"no Chromium: {looked_for} (Debian: apt-get install chromium)"


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser. Skips the test where none is found, fails it where one is required."""
    program = found()
    if program is None:
        (pytest.fail if is_required() else pytest.skip)(missing())
    from playwright.sync_api import sync_playwright  # costs a quarter of a second, which only the tests in a browser owe

    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *sandbox])
        try:
            # The processes that all pages share are there before the first test takes its census.
            browser.new_page().close()
            yield browser
        finally:
            browser.close()
