"""A page of the dashboard in a browser, and what must never happen on one.

Covers: opening pages, finding a model's card, what the console said. Does not cover: starting the browser (`tests.chromium`),
servers (`tests.acceptance.running`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, expect

from tests.acceptance.running import TOKEN, Server
from tests.support import wait_until_sync

WITHIN_MS = 30_000
WIDE, NARROW = 1280, 390
Scheme = Literal["light", "dark"]

_ANSWERED = re.compile(r"^Failed to load resource: the server responded with a status of 4\d\d")
_UNREACHABLE = re.compile(r"^Failed to load resource: (net::ERR_|the server responded with a status of 503)")

expect.set_options(timeout=WITHIN_MS)


class Dashboard:
    """The page at `/`, opened. `page` is playwright's."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", self._failed)
        page.set_default_timeout(WITHIN_MS)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _failed(self, error: Error) -> None:
        self.complaints.append(str(error))

    def open(self) -> None:
        self.page.goto(self.server.url)

    def card(self, model: str) -> Locator:
        return self.page.locator(f"li.card[data-model='{model}']")

    def slot(self, model: str, name: str) -> Locator:
        """One of the places of a card that are filled in."""
        return self.card(model).locator(f"[data-slot='{name}']")

    def wait_state(self, model: str, state: str) -> None:
        """Until the card shows this status."""
        expect(self.card(model)).to_have_attribute("data-state", state)

    def press(self, model: str, action: str) -> None:
        """A button of the card by its action."""
        self.card(model).locator(f"button[data-action='{action}']").click()

    def open_details(self, model: str) -> Locator:
        details = self.card(model).locator("details")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        return details

    def enter_token(self, token: str = TOKEN) -> None:
        if self.page.locator("#token-panel").is_hidden():
            self.page.locator("#token-button").click()
        self.page.locator("#token").fill(token)
        self.page.locator("#token-panel button[type=submit]").click()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def wait_js(self, expression: str, what: str) -> Any:
        """What an expression gives, once that is true of the page."""
        return wait_until_sync(lambda: self.page.evaluate(expression), WITHIN_MS / 1000, what=what)


@contextmanager
def dashboard(
    browser: Browser,
    server: Server,
    *,
    width: int = WIDE,
    height: int = 900,
    scheme: Scheme = "light",
    refused: bool = False,
    cut: bool = False,
    is_open: bool = True,
    **context: Any,
) -> Iterator[Dashboard]:
    """A page of its own, with nothing stored. At the end the console must have been silent.

    `refused`: but for answers that refuse a request, which browsers report there. `cut`: but for connections that failed, and a
    server that stops.
    `is_open=False`: the caller opens it.
    """
    opened = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **context)
    try:
        page = Dashboard(opened.new_page(), server)
        if is_open:
            page.open()
        yield page
        excused = [pattern for pattern, counts in ((_ANSWERED, refused), (_UNREACHABLE, cut)) if counts]
        left = [text for text in page.complaints if not any(pattern.match(text) for pattern in excused)]
        assert not left, f"the console says: {left}"
    finally:
        opened.close()
