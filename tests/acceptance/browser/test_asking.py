"""The form that tries a request: what it proposes, what it sends, what it shows, and the line for a shell.

Does not cover: what models answer (`tests/acceptance/test_answers.py`).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import Dashboard, dashboard
from tests.acceptance.running import Beside, Server, serving
from tests.support import wait_until_sync

NAMES = ("als", "content", "iris")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of each kind, ready."""
    folder = tmp_path_factory.mktemp("asking")
    sources = {"als": fleet.als(folder), "content": fleet.content(folder), "iris": fleet.iris(folder)}
    models = {name: {"source": source} for name, source in sources.items()}
    with serving(folder / "server", fleet.config(models, default_model="als")) as running:
        running.wait_ready(*NAMES)
        yield running


def send(page: Dashboard, model: str = "") -> dict[str, object]:
    """What is answered to the form as it stands, or to what it proposes for a model."""
    if model:
        page.press(model, "try")
        expect(page.page.locator("#curl")).to_contain_text(f"/models/{model}/")
    with page.page.expect_response(re.compile(r"/(predict|similar/.*)$|/similar/")):
        page.page.locator("#ask-send").click()
    expect(page.page.locator("#ask-send")).not_to_have_attribute("aria-busy", "true")
    answer: dict[str, object] = json.loads(page.text("#answer-body"))
    return answer


@pytest.mark.parametrize("model", NAMES)
def test_what_it_proposes_is_answered_and_its_curl_line_says_the_same(browser: Browser, server: Server, model: str) -> None:
    with dashboard(browser, server) as page:
        page.wait_state(model, "ready")
        proposed = server.get(f"/models/{model}/example").body["body"]
        page.press(model, "try")
        expect(page.page.locator("#curl")).to_contain_text(str(next(iter(proposed))))
        answer = send(page)
        expect(page.page.locator("#answer-status")).to_have_text("200")
        expect(page.page.locator("#answer-time")).to_have_text(re.compile(r"^in [\d.]+ (ms|s)$"))
        line = page.text("#curl")
        ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert json.loads(ran.stdout) == answer
        assert answer == server.predict(model, proposed).body


def test_a_shell_takes_the_line_literally_whatever_the_ids_are(browser: Browser, server: Server, tmp_path: Path) -> None:
    with dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        page.press("als", "try")
        expect(page.page.locator("#curl")).to_contain_text("/models/als/")
        page.page.get_by_label("User id").fill("it's $(touch harm) `touch harm` \\ ; é")
        ran = subprocess.run(["sh", "-c", page.text("#curl")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        assert json.dumps("it's $(touch harm) `touch harm` \\ ; é", ensure_ascii=False) in json.loads(ran.stdout)["detail"]
        assert list(tmp_path.iterdir()) == []


def test_similar_items_and_the_other_fields(browser: Browser, server: Server) -> None:
    with dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        page.press("als", "try")
        page.page.get_by_role("radio", name="an item").check()
        page.page.get_by_label("How many").fill("3")
        page.page.get_by_text("More fields").click()
        page.page.get_by_label("Leave out items").fill("500, 501")
        answer = send(page)
        assert answer == server.get(f"/models/als/similar/{answer['item_id']}?k=3&exclude=500&exclude=501").body
        page.page.get_by_role("radio", name="users").check()
        page.page.get_by_label("User ids").fill('1, 2, "3"')
        page.page.get_by_label("Explain each item").check()
        results = send(page)["results"]
        assert results == server.predict("als", {"users": [1, 2, "3"], "k": 3, "exclude": [500, 501], "explain": True}).body["results"]


def test_a_wrong_field_is_shown_as_the_server_says_it(browser: Browser, server: Server) -> None:
    with dashboard(browser, server, refused=True) as page:
        page.wait_state("als", "ready")
        page.press("als", "try")
        page.page.get_by_label("How many").fill("100000")
        answer = send(page)
        assert answer["field"] == "k"
        expect(page.page.locator("#answer-status")).to_have_text("422")
        expect(page.page.locator("#answer")).to_have_attribute("data-kind", "bad")
        page.press("iris", "try")
        page.page.get_by_label("Rows to predict").fill("[[1, 2")
        page.page.locator("#ask-send").click()
        expect(page.page.locator("#ask-complaint")).to_contain_text("The rows are not JSON")


def test_a_model_that_loads_is_waited_for_honestly(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    download = fleet.slow_download(beside, tmp_path)
    with serving(tmp_path / "server", fleet.config({"als": {"source": download.url}})) as server, dashboard(browser, server) as page:
        page.wait_state("als", "loading")
        page.page.get_by_label("User id").fill("u1")
        send(page)
        expect(page.page.locator("#answer-status")).to_have_text("202")
        expect(page.page.locator("#answer-headers")).to_contain_text("Retry-After")
        words = page.page.locator("#answer-waiting-words")
        expect(words).to_have_text(re.compile(r"^The model is downloading, [\d.]+ KiB of .* Asked .*again in \d+ s\.$"))
        download.at(fleet.FAST)
        # Nobody presses anything.
        expect(page.page.locator("#answer-status")).to_have_text("200")
        expect(page.page.locator("#answer-waiting")).to_be_hidden()


def test_what_was_typed_outlives_a_reload(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        user = page.page.get_by_label("User id")
        proposed = str(server.get("/models/als/example").body["body"]["user_id"])
        expect(user).to_have_value(proposed)
        user.fill("17")
        with page.page.expect_response(re.compile("/example$")):
            server.command("POST", "/models/als/reload?force=true&wait=30")
        assert send(page)["user_id"] == 17
        page.press("als", "try")
        expect(user).to_have_value(proposed)


def test_a_proposal_that_comes_late_takes_only_the_place_that_nobody_filled(browser: Browser, server: Server) -> None:
    with dashboard(browser, server, is_open=False) as page:
        held: list[Route] = []
        page.page.route(re.compile("/example$"), lambda route: held.append(route))
        page.open()
        page.wait_state("als", "ready")
        page.page.get_by_label("How many").fill("3")
        page.page.get_by_role("radio", name="users").check()
        wait_until_sync(lambda: page.page.evaluate("1") and held, what="the proposal is asked for")
        held.pop().continue_()
        expect(page.page.get_by_label("User ids")).to_have_value(str(server.get("/models/als/example").body["body"]["user_id"]))
        assert send(page)["results"]


def test_ids_beyond_the_exact_numbers_of_javascript_are_sent_and_shown_as_they_are(browser: Browser, server: Server) -> None:
    with dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        page.press("als", "try")
        page.page.get_by_role("radio", name="users").check()
        page.page.get_by_label("User ids").fill("9007199254740993, 1234567890123456789")
        results = send(page)["results"]
        assert isinstance(results, list)
        assert [result["user_id"] for result in results] == [9007199254740993, 1234567890123456789]


def test_waiting_can_be_stopped(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    download = fleet.slow_download(beside, tmp_path)
    with serving(tmp_path / "server", fleet.config({"als": {"source": download.url}})) as server, dashboard(browser, server) as page:
        page.wait_state("als", "loading")
        send(page)
        page.page.get_by_role("button", name="Stop asking").click()
        expect(page.page.locator("#answer-waiting-words")).to_have_text("Not asked again.")
        download.at(fleet.FAST)
        page.wait_state("als", "ready")
        expect(page.page.locator("#answer-status")).to_have_text("202")


def test_the_line_is_copied(browser: Browser, server: Server) -> None:
    with dashboard(browser, server, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.wait_state("als", "ready")
        page.press("als", "try")
        expect(page.page.locator("#curl")).to_contain_text("/models/als/")
        page.page.get_by_role("button", name="Copy").click()
        expect(page.page.locator("#curl-copied")).to_have_text("Copied")
        assert page.page.evaluate("navigator.clipboard.readText()") == page.text("#curl")
