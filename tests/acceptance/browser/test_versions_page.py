"""Versions of a model on the dashboard: how each was judged, how good they were, rolling back, activating, unpinning, falling back.

Does not cover: runs (`test_training_page`), what switching does (`service.lifecycle`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from loaders.published import PublishedFolder
from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import Dashboard, dashboard
from tests.acceptance.running import Server, serving


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three versions of als, the last of which serves, and after them a run that was refused by a gate that was raised."""
    folder = tmp_path_factory.mktemp("versions")
    config = fleet.trainings(folder, als={})
    with serving(folder / "server", config) as server:
        server.wait_ready("als")
        for _ in range(2):
            assert server.command("POST", "/models/als/train?force=true&wait=60").status == 200
        first = _names(server)
    with serving(folder / "server", fleet.trainings(folder, als={"gate": {"minimum": 0.99}})) as server:
        server.wait_ready("als")
        assert server.command("POST", "/models/als/train?wait=60").body["run"]["status"] == "refused"
        assert _names(server) == first
        yield server


def _names(server: Server) -> list[str]:
    return [each["version"] for each in server.get("/models/als/versions").body["versions"]]


def rows(page: Dashboard, version: str = "") -> Locator:
    chosen = f"tr[data-version='{version}']" if version else "tr[data-version]"
    return page.slot("als", "versions").locator(chosen)


def confirm(page: Dashboard, name: str) -> None:
    page.page.get_by_role("dialog").get_by_role("button", name=name).click()


def test_each_version_shows_its_figures_and_opens_to_its_verdict(browser: Browser, trained: Server) -> None:
    newest, second, first = _names(trained)
    with dashboard(browser, trained) as page:
        page.open_details("als")
        expect(rows(page)).to_have_count(3)
        expect(rows(page, newest)).to_contain_text("serves")
        expect(rows(page, newest)).to_contain_text(re.compile(r"ndcg@10 0\.\d{4}"))
        expect(rows(page, newest).get_by_role("button")).to_have_count(0)
        expect(rows(page, second).get_by_role("button", name=f"Activate: {second} of als")).to_be_visible()
        opened = page.slot("als", "versions").locator("tr.opened").filter(has_text=f"version {first}")
        opened.locator("summary").click()
        expect(opened.locator(".rules li")).to_have_count(3)
        expect(opened).to_contain_text("Passed the gate")
        expect(opened).to_contain_text(re.compile(r"What serves: not asked\. nothing is published yet"))
        expect(opened).to_contain_text("regularization")
        expect(opened).to_contain_text("precision@10")


def test_quality_is_drawn_and_told_as_a_table(browser: Browser, trained: Server) -> None:
    with dashboard(browser, trained) as page:
        page.open_details("als")
        drawing = page.slot("als", "quality").get_by_role("img")
        expect(drawing).to_have_attribute(
            "aria-label",
            re.compile(r"^Quality over time: ndcg@10 of 3 versions, 1 refused run, from 0\.\d+ to 0\.\d+, 0\.\d+ of the one that serves$"),
        )
        expect(drawing.locator("circle.kept")).to_have_count(3)
        expect(drawing.locator("path.no")).to_have_count(1)
        expect(drawing.locator("circle.live")).to_have_count(1)
        expect(page.slot("als", "quality").locator(".key")).to_have_text("● kept◎ serves× refused┄ most popular items")
        page.slot("als", "quality").locator("summary").click()
        table = page.page.get_by_role("table", name="Quality over time")
        told = [row.inner_text().split("\t") for row in table.locator("tbody tr").all()]
        assert [line[-1] for line in told] == ["refused", "serves", "kept", "kept"]
        assert [line[0] for line in told[1:]] == _names(trained)
        measured = {each["version"]: each["verdict"]["value"] for each in trained.get("/models/als/versions").body["versions"]}
        assert [line[2] for line in told[1:]] == [f"{measured[line[0]]:.4f}" for line in told[1:]]


def test_rolled_back_unpinned_and_activated_by_button(browser: Browser, trained: Server) -> None:
    newest, second, first = _names(trained)
    with dashboard(browser, trained, refused=True) as page:
        page.enter_token()
        page.open_details("als")
        unpin = page.card("als").locator("button[data-action='unpin']")
        expect(rows(page)).to_have_count(3)
        expect(unpin).to_be_hidden()
        page.press("als", "rollback")
        expect(page.page.get_by_role("dialog")).to_contain_text("The version before is loaded and serves, pinned")
        confirm(page, "Roll back")
        expect(page.slot("als", "outcome")).to_have_text(f"Done: version {second} serves.")
        expect(rows(page, second)).to_contain_text("serves")
        expect(rows(page, second)).to_contain_text("pinned")
        expect(page.slot("als", "quality").locator("rect.pinned")).to_have_count(1)
        assert trained.predict("als", {"user_id": "u1"}).body["version"] == second
        expect(unpin).to_be_visible()
        page.press("als", "unpin")
        expect(page.slot("als", "outcome")).to_have_text("Unpinned: the next version that is published serves.")
        expect(rows(page, second)).not_to_contain_text("pinned")
        expect(unpin).to_be_hidden()
        assert trained.get("/models/als/versions").body["pinned"] is None
        rows(page, first).get_by_role("button").click()
        confirm(page, "Activate")
        expect(rows(page, first)).to_contain_text("serves")
        page.press("als", "rollback")
        confirm(page, "Roll back")
        expect(page.slot("als", "outcome")).to_have_attribute("data-kind", "bad")  # nothing is kept before the first
        rows(page, newest).get_by_role("button").click()
        confirm(page, "Activate")
        expect(page.slot("als", "outcome")).to_have_text(f"Done: version {newest} serves.")


def test_a_withdrawn_version_says_why(browser: Browser, tmp_path: Path) -> None:
    config = fleet.trainings(tmp_path, als={})
    with serving(tmp_path / "server", config) as server:
        server.wait_ready("als")
        assert server.command("POST", "/models/als/train?force=true&wait=60").status == 200
        newest, before = _names(server)
    # As if an older program had taken it back.
    folder = PublishedFolder(server.store, "als").path
    (folder / "withdrawn").mkdir(exist_ok=True)
    (folder / "withdrawn" / before).write_text(json.dumps({"at": 1.7e9, "type": "canary_failed", "message": "it knows nobody"}))
    with serving(tmp_path / "server", config) as server, dashboard(browser, server) as page:
        server.wait_ready("als")
        page.open_details("als")
        expect(rows(page, before)).to_contain_text("withdrawn")
        opened = page.slot("als", "versions").locator("tr.opened").filter(has_text=f"version {before}")
        opened.locator("summary").click()
        expect(opened.locator(".withdrawn")).to_have_text("Taken back: it knows nobody canary_failed")
        expect(rows(page, newest)).not_to_contain_text("withdrawn")


def test_a_model_that_falls_back_trains_before_the_eyes_and_says_why(browser: Browser, tmp_path: Path) -> None:
    slow = {"parameters": {"factors": 256, "regularization": 30.0, "sweeps": 60}}
    models = {"als": {"source": str(tmp_path / "<gone>.pkl"), "fallback": "training:fresh"}}
    with serving(tmp_path / "server", fleet.trainings(tmp_path, models=models, fresh=slow)) as server, dashboard(browser, server) as page:
        expect(page.slot("als", "line").locator("[aria-current=step]")).to_have_text("training")
        expect(page.slot("als", "state")).to_have_text("Loading: training")
        expect(page.slot("als", "progress")).to_have_attribute("aria-label", "Training of als")
        page.wait_state("als", "ready")
        expect(page.slot("als", "fallback")).to_have_text(
            re.compile(r"^Serves what training fresh made, because the source failed: .*<gone>\.pkl: No such file or directory")
        )
        expect(page.slot("als", "failure-title")).to_have_text("The source has no such file")
        story = page.open_details("als").locator(".story")
        expect(story).to_contain_text("Source failed: falls back")
        expect(rows(page)).to_have_count(1)
        expect(page.page.locator("#runs > li")).to_contain_text("for want of anything to serve")
