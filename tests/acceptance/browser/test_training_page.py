"""Training on the dashboard: runs by button, watched, refused, forced, cancelled, failed, and the list of them.

Does not cover: versions of a model (`test_versions_page`), what a run does (`tests/acceptance/test_training.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from loaders.errors import FAILURES
from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import Dashboard, dashboard
from tests.acceptance.running import Server, serving
from tests.support import wait_until_sync
from training.errors import TRAINING_FAILURES

EVENTS = re.compile(r"/events$")
REFUSES = {"gate": {"minimum": 0.99}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Trains als, which is published at the start, and `long`, whose model waits to be asked for."""
    models = {"long": {"source": "training:long", "load": "on_demand", "required": False}}
    config = fleet.trainings(tmp_path, models=models, als={}, long={"parameters": fleet.LONG})
    with serving(tmp_path / "server", config) as running:
        running.wait_ready("als")
        yield running


def row(page: Dashboard, training: str) -> Locator:
    return page.page.locator(f"li.trained[data-training='{training}']")


def press(page: Dashboard, training: str, action: str) -> None:
    row(page, training).locator(f"button[data-action='{action}']").click()


def outcome(page: Dashboard, training: str) -> Locator:
    return row(page, training).locator("[data-slot='outcome']")


def runs(page: Dashboard, status: str = "") -> Locator:
    return page.page.locator(f"#runs > li{f'[data-status={status}]' if status else ''}")


def test_a_run_by_button_is_watched_until_it_is_published(browser: Browser, server: Server) -> None:
    before = server.model("als")["version"]
    with dashboard(browser, server, refused=True) as page:
        expect(row(page, "als")).to_have_attribute("data-status", "published")
        expect(row(page, "als").locator("[data-slot='summary']")).to_contain_text("because nothing had been published yet")
        runs(page, "published").locator("summary").click()
        expect(runs(page, "published").locator(".facts dd").get_by_text("nothing had been published yet", exact=True)).to_be_visible()
        press(page, "als", "train")
        expect(page.page.locator("#token-complaint")).to_contain_text("Commands need the admin token")
        page.enter_token()
        press(page, "als", "train")
        expect(outcome(page, "als")).to_contain_text("Nothing to do: the data and the parameters are those of the last run.")
        expect(runs(page, "skipped")).to_have_count(1)
        page.open_details("als")
        expect(page.slot("als", "versions").locator("tr[data-version]")).to_have_count(1)
        server.command("POST", "/models/als/train?force=true&by=ada")
        expect(row(page, "als").locator("[data-slot='summary']")).to_contain_text("asked for by ada")
        expect(runs(page, "published")).to_have_count(2)
        expect(page.page.locator("#announcer")).not_to_be_empty()
        expect(row(page, "als").locator(".peak")).to_have_text(re.compile(r"Memory at its peak: [\d.]+ MiB of 1\.0 GiB allowed"))
        server.wait_model("als", lambda model: model["version"] != before, "the new version serves")
        # Its card hears of it too.
        expect(page.slot("als", "versions").locator("tr[data-version]")).to_have_count(2)
        expect(page.slot("als", "version")).to_have_text(server.model("als")["version"])


def test_the_bar_moves_and_a_run_is_cancelled(browser: Browser, server: Server) -> None:
    with dashboard(browser, server) as page:
        expect(row(page, "long").locator("[data-slot='summary']")).to_have_text("no run so far")
        page.enter_token()
        press(page, "long", "train")
        expect(row(page, "long")).to_have_attribute("data-status", "running")
        expect(row(page, "long").locator("[aria-current=step]")).to_have_text("fitting")
        bar = row(page, "long").locator("progress")
        seen = [wait_until_sync(lambda: bar.evaluate("bar => bar.position > 0 && bar.position"), 60, what="the bar has begun")]
        while len(seen) < 3:
            seen.append(wait_until_sync(lambda: bar.evaluate(f"bar => bar.position > {seen[-1]} && bar.position"), 60, what="it moves"))
        assert seen[-1] < 1
        expect(row(page, "long").locator("[data-slot='live-words']")).to_have_text(re.compile(r"fitting.*\d+%"))
        press(page, "als", "train")
        expect(row(page, "als").locator("[data-slot='live-words']")).to_have_text("waits for long")
        expect(row(page, "long").locator("button[data-action='train']")).to_be_hidden()
        press(page, "long", "cancel")
        expect(outcome(page, "long")).to_have_text("Cancelled. What serves goes on.")
        expect(row(page, "long")).to_have_attribute("data-status", "cancelled")
        expect(row(page, "als")).to_have_attribute("data-status", "skipped")


def test_a_refused_run_shows_its_figures_and_can_be_insisted_on(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path), "fallback": "training:als"}}
    with (
        serving(tmp_path / "server", fleet.trainings(tmp_path, models=models, als=REFUSES)) as server,
        dashboard(browser, server) as page,
    ):
        page.wait_state("als", "ready")
        page.enter_token()
        press(page, "als", "train")
        expect(outcome(page, "als")).to_have_text("Refused by the gate: nothing changed. The figures stand above.")
        rule = row(page, "als").locator(".rules li")
        expect(rule).to_have_text(
            re.compile(r"^Minimum: refused\. ndcg@10 is 0\.\d{4} over \d+ users, which is below the minimum of 0\.9900$")
        )
        runs(page, "refused").locator("summary").click()
        opened = runs(page, "refused").locator(".run-body")
        expect(opened.locator(".rules li")).to_have_count(3)
        expect(opened).to_contain_text("Refused by the gate")
        expect(opened).to_contain_text("Not asked".lower())
        expect(opened).to_contain_text("regularization")
        expect(opened.locator(".log")).to_contain_text("gate, minimum:")
        press(page, "als", "force")
        dialog = page.page.get_by_role("dialog", name="Train als, and publish it anyway?")
        expect(dialog).to_contain_text("below the minimum of 0.9900")
        dialog.get_by_role("button", name="Leave it").click()
        press(page, "als", "force")
        page.page.get_by_role("button", name="Publish it anyway", exact=True).click()
        expect(outcome(page, "als")).to_contain_text("is published")
        runs(page, "published").locator("summary").click()
        expect(runs(page, "published").locator(".verdict-word")).to_contain_text(
            "Published against the gate, as an operator (127.0.0.1) wanted it"
        )


def test_a_run_that_fails_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    config = fleet.trainings(tmp_path, als={}, text={"algorithm": "content"})
    config["data"]["interactions"] = "SELECT user_id, nothing FROM interactions"
    with serving(tmp_path / "server", config) as server, dashboard(browser, server) as page:
        page.enter_token()
        expect(row(page, "als")).to_have_attribute("data-status", "failed")
        expect(row(page, "als").locator(".failure-message")).to_contain_text("nothing")
        expect(row(page, "als").locator(".failure-advice")).to_contain_text("Correct the query or the table")
        page.page.locator("#runs-of").select_option("text")
        expect(runs(page).locator("summary b").first).to_have_text("text")
        expect(runs(page).filter(has_text="als")).to_have_count(0)
        # And the model that was to be trained for want of anything else.
        page.wait_state("als", "error")
        expect(page.slot("als", "failure-title")).to_have_text("What was to stand in could not be trained")


def test_without_the_stream_runs_are_asked_for(browser: Browser, server: Server) -> None:
    def cut(route: Route) -> None:
        route.abort()

    with dashboard(browser, server, cut=True, is_open=False) as page:
        page.page.route(EVENTS, cut)
        page.open()
        expect(page.page.locator("#connection-word")).to_have_text("Asking every 2 s")
        server.command("POST", "/models/als/train")
        expect(runs(page, "skipped")).to_have_count(1)
        server.command("POST", "/models/long/train")
        expect(row(page, "long")).to_have_attribute("data-status", "running")


def test_the_list_is_lengthened_and_says_who_began_what(browser: Browser, server: Server) -> None:
    with dashboard(browser, server) as page:
        for number in range(21):
            server.command("POST", f"/models/als/train?wait=60&by=person-{number}")
        expect(runs(page)).to_have_count(20)
        page.page.locator("#runs-more").click()
        expect(runs(page)).to_have_count(22)
        expect(page.page.locator("#runs-more")).to_be_hidden()
        runs(page).nth(0).locator("summary").click()
        expect(runs(page).nth(0).locator(".facts").first).to_contain_text("person-20")
        # What is open stays open, and where it is, while others come.
        server.command("POST", "/models/als/train?wait=60")
        expect(runs(page)).to_have_count(23)
        expect(runs(page).nth(1).locator("details")).to_have_attribute("open", "")


def test_where_nothing_is_trained_it_says_nothing_of_it(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        page.open_details("als")
        expect(page.slot("als", "versions")).to_contain_text(server.model("als")["version"])
        expect(page.page.locator("#training")).to_be_hidden()
        expect(page.slot("als", "quality-section")).to_be_hidden()
        expect(page.card("als").locator("button[data-action='rollback']")).to_be_hidden()


def test_every_way_a_run_fails_has_its_advice(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "server", {}) as server, dashboard(browser, server) as page:
        advice = page.page.evaluate("import('/dashboard/advice.js').then(({ RUN_ADVICE }) => RUN_ADVICE)")
    assert set(TRAINING_FAILURES) <= set(advice) <= {*TRAINING_FAILURES, *FAILURES}
    assert all(title and words.endswith(".") for title, words in advice.values())
