"""The dashboard while models load, fail and are ready, and where there are none.

Does not cover: commands (`test_commands`), requests (`test_asking`).
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from loaders.errors import FAILURES
from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import dashboard
from tests.acceptance.running import Beside, serving
from tests.artifacts.hybrids import hybrid_dict
from tests.artifacts.writing import write
from tests.support import wait_until_sync


def test_a_download_is_watched_to_the_end(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    download = fleet.slow_download(beside, tmp_path)
    with serving(tmp_path / "server", fleet.config({"als": {"source": download.url}})) as server, dashboard(browser, server) as page:
        page.wait_state("als", "loading")
        bar = page.slot("als", "progress")
        seen = [wait_until_sync(lambda: bar.evaluate("bar => bar.position > 0 && bar.position"), 30, what="the bar has begun")]
        while len(seen) < 4:
            seen.append(wait_until_sync(lambda: bar.evaluate(f"bar => bar.position > {seen[-1]} && bar.position"), 30, what="it moves"))
        assert seen == sorted(seen) and seen[-1] < 1
        expect(page.slot("als", "state")).to_have_text("Loading: downloading")
        expect(page.slot("als", "attempt-words")).to_have_text(re.compile(r"[\d.]+ KiB of [\d.]+ (K|M)iB.*\d+%.*KiB/s.* left"))
        expect(page.slot("als", "line").locator("[aria-current=step]")).to_have_text("downloading")
        expect(page.page.locator("#health-word")).to_have_text("Loading")
        download.at(fleet.FAST)
        page.wait_state("als", "ready")
        expect(bar).to_be_hidden()
        expect(page.slot("als", "summary")).to_contain_text("4,000 users")
        expect(page.slot("als", "version")).to_have_text(server.model("als")["version"])
        expect(page.page.locator("#health-word")).to_have_text("All serving")
        # Said to those who cannot see it.
        expect(page.page.locator("#announcer")).to_have_text("als: Ready")
        story = page.open_details("als").locator(".story li")
        expect(story.first).to_contain_text("Went live")
        expect(story.last).to_contain_text("Start")


def test_a_failure_is_told_in_plain_words_with_what_to_do(browser: Browser, tmp_path: Path) -> None:
    # A name that would do harm as markup.
    source = fleet.sign_in_page(tmp_path, "<img src=x onerror=alert(1)>.html")
    with serving(tmp_path / "server", fleet.config({"login": {"source": source}})) as server, dashboard(browser, server) as page:
        page.wait_state("login", "error")
        expect(page.slot("login", "failure-title")).to_have_text("The source sent something that is no model")
        expect(page.slot("login", "failure-type")).to_have_text("not_a_model")
        expect(page.slot("login", "failure-message")).to_contain_text("<img src=x onerror=alert(1)>.html: a web page (HTML), not a model")
        expect(page.slot("login", "failure-advice")).to_contain_text("Open the address yourself")
        expect(page.slot("login", "failure-next")).to_contain_text("not tried again by itself")
        expect(page.page.locator("#health-word")).to_have_text("Degraded")
        assert page.page.locator("img").count() == 0


def test_a_failure_that_passes_counts_down_to_the_next_attempt(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    download = fleet.slow_download(beside, tmp_path, fleet.FAST)
    download.files.change("/als.pkl", status=404)
    with serving(tmp_path / "server", fleet.config({"als": {"source": download.url}})) as server, dashboard(browser, server) as page:
        page.wait_state("als", "error")
        expect(page.slot("als", "failure-next")).to_have_text(re.compile(r"^Next attempt in \d"))


def test_a_failed_reload_is_shown_beside_what_serves(browser: Browser, tmp_path: Path) -> None:
    source = Path(fleet.als(tmp_path))
    with serving(tmp_path / "server", fleet.config({"als": {"source": str(source)}})) as server, dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        source.write_text("<!DOCTYPE html><title>Sign in</title>")
        server.command("POST", "/models/als/reload?wait=30")
        expect(page.slot("als", "stale")).to_be_visible()
        expect(page.slot("als", "failure-title")).to_contain_text("The version before serves on.")
        expect(page.card("als")).to_have_attribute("data-state", "ready")


def test_a_hybrid_without_its_parts_says_what_it_waits_for(browser: Browser, tmp_path: Path) -> None:
    hybrid = str(write(hybrid_dict(), tmp_path / "hybrid.pkl", "pickle4"))
    sources = {"hybrid": hybrid, "content_based": fleet.sign_in_page(tmp_path), "collaborative": fleet.als(tmp_path)}
    models = {name: {"source": source} for name, source in sources.items()}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:
        page.wait_state("hybrid", "error")
        expect(page.slot("hybrid", "failure-message")).to_contain_text("content_based")
        expect(page.slot("hybrid", "failure-next")).to_have_text("It serves again as soon as its parts do.")


def test_every_type_of_failure_has_its_advice(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "server", {}) as server, dashboard(browser, server) as page:
        advice = page.page.evaluate("import('/dashboard/advice.js').then(({ ADVICE }) => ADVICE)")
    assert sorted(advice) == sorted(FAILURES)
    assert all(title and words.endswith(".") for title, words in advice.values())


def test_without_a_model_it_says_how_to_add_one(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "server", {}) as server, dashboard(browser, server) as page:
        expect(page.page.locator("#empty")).to_contain_text("[models.als]")
        expect(page.page.locator("#ask")).to_be_hidden()
        expect(page.page.locator("#health-word")).to_have_text("Degraded")


def test_many_models_are_found_by_state_and_by_word(browser: Browser, tmp_path: Path) -> None:
    source = fleet.als(tmp_path)
    models = {f"segment-{number:02}": {"source": source, "load": "on_demand"} for number in range(49)}
    with serving(tmp_path / "server", fleet.config({**models, "als": {"source": source}})) as server, dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        cards = page.page.locator("li.card:visible")
        expect(cards).to_have_count(50)
        page.page.get_by_role("button", name="Ready 1").click()
        expect(cards).to_have_count(1)
        page.page.get_by_role("button", name="All 50").click()
        page.page.get_by_role("searchbox").fill("not started -07")
        expect(cards).to_have_count(1)
        page.page.get_by_role("searchbox").fill("nobody")
        expect(cards).to_have_count(0)
        page.page.get_by_role("button", name="Show all").click()
        expect(cards).to_have_count(50)
