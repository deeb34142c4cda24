"""Commands from the dashboard: the token, the buttons, what is said when one is refused.

Does not cover: what a command does to a model (`tests/acceptance/test_operating.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import dashboard
from tests.acceptance.running import TOKEN, serving


def test_a_reload_needs_the_right_token(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server, refused=True) as page:
        page.wait_state("als", "ready")
        version = server.model("als")["version"]
        page.press("als", "reload")
        expect(page.page.locator("#token-complaint")).to_have_text("Commands need the admin token. Enter it, and try again.")
        page.enter_token("wrong – ключ")  # pasted from anywhere: no letters of a header
        page.press("als", "reload")
        expect(page.slot("als", "outcome")).to_have_text("The server does not accept this token.")
        expect(page.page.locator("#token-complaint")).to_be_visible()
        page.enter_token()
        expect(page.page.locator("#token-word")).to_have_text("Token set")
        page.open_details("als")
        page.press("als", "force")
        expect(page.slot("als", "outcome")).to_have_text(re.compile(r"^Done: version \S+ serves\.$"))
        expect(page.slot("als", "story").locator("[data-event=reload]")).to_have_count(1)
        expect(page.slot("als", "story").locator("[data-event=published]")).to_have_count(2)
        page.wait_state("als", "ready")
        assert server.model("als")["version"] != version
        expect(page.slot("als", "facts")).to_contain_text(server.model("als")["version"])
        page.press("als", "reload")
        expect(page.slot("als", "outcome")).to_contain_text("the source has nothing new")
        # Kept by the tab alone.
        assert page.page.evaluate("Object.values(sessionStorage)") == [TOKEN]
        assert page.page.evaluate("Object.values(localStorage).length") == 0
        assert page.page.evaluate("document.cookie") == ""
        page.page.locator("#token-button").click()
        page.page.locator("#token-forget").click()
        assert page.page.evaluate("sessionStorage.length") == 0
        expect(page.card("als").locator("button[data-action=reload]")).to_have_attribute("data-locked", "")


def test_unload_asks_first_and_load_brings_it_back(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        page.enter_token()
        page.press("als", "unload")
        expect(page.page.get_by_role("dialog", name="Unload als?")).to_be_visible()
        page.page.keyboard.press("Escape")
        expect(page.page.get_by_role("dialog")).to_be_hidden()
        assert server.model("als")["status"] == "ready"
        page.press("als", "unload")
        page.page.get_by_role("dialog").get_by_role("button", name="Unload").click()
        page.wait_state("als", "unloaded")
        expect(page.slot("als", "outcome")).to_have_text("Unloaded.")
        assert server.model("als")["status"] == "unloaded"
        page.press("als", "load")
        page.wait_state("als", "ready")


def test_clearing_says_what_came_of_it(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server, refused=True) as page:
        page.wait_state("als", "ready")
        page.enter_token()
        page.open_details("als")
        page.press("als", "clear")
        expect(page.slot("als", "outcome")).to_contain_text("freed")
        expect(page.slot("als", "versions")).to_contain_text(server.model("als")["version"])


def test_a_server_without_a_token_says_how_to_set_one(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models), token=None) as server, dashboard(browser, server, refused=True) as page:
        page.wait_state("als", "ready")
        page.enter_token()
        page.press("als", "reload")
        expect(page.slot("als", "outcome")).to_contain_text("ADMIN_LOAD_TOKEN")


def test_guessing_is_told_to_wait(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server, refused=True) as page:
        page.wait_state("als", "ready")
        outcome = page.slot("als", "outcome")
        for _ in range(30):
            page.enter_token("wrong")
            page.press("als", "reload")
            expect(outcome).to_have_attribute("data-kind", "bad")
            if "Too many attempts" in outcome.inner_text():
                break
        expect(outcome).to_contain_text("Try again in")
