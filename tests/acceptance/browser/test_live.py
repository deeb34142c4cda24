"""How the dashboard hears of changes, also where events do not come through; and what the page is made of.

Does not cover: the stream itself (`GET /events`), the kinds of changes (`test_loading`).
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.sync_api import Browser, Route, expect

from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import dashboard
from tests.acceptance.running import Beside, serving
from tests.doubles.faults import FaultProxy
from tests.support import wait_until_sync

EVENTS = re.compile(r"/events$")
STATUS = re.compile(r"/status$")


def cut(route: Route) -> None:
    """The connection fails."""
    route.abort()


def test_changes_come_by_the_stream_alone(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    download = fleet.slow_download(beside, tmp_path)
    with (
        serving(tmp_path / "server", fleet.config({"als": {"source": download.url}})) as server,
        dashboard(browser, server, cut=True, is_open=False) as page,
    ):
        page.page.route(STATUS, cut)
        page.open()
        expect(page.page.locator("#connection-word")).to_have_text("Live")
        page.wait_state("als", "loading")
        download.at(fleet.FAST)
        page.wait_state("als", "ready")


def test_without_the_stream_it_asks_again_and_again(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    download = fleet.slow_download(beside, tmp_path)
    with (
        serving(tmp_path / "server", fleet.config({"als": {"source": download.url}})) as server,
        dashboard(browser, server, cut=True, is_open=False) as page,
    ):
        page.page.route(EVENTS, cut)
        page.open()
        expect(page.page.locator("#connection-word")).to_have_text("Asking every 2 s")
        page.wait_state("als", "loading")
        download.at(fleet.FAST)
        page.wait_state("als", "ready")
        page.page.unroute(EVENTS)
        expect(page.page.locator("#connection-word")).to_have_text("Live")


def test_a_server_that_is_gone_is_said_and_found_again(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "first", fleet.config(models)) as server, dashboard(browser, server, cut=True) as page:
        page.wait_state("als", "ready")
        version = page.server.model("als")["version"]
        port = server.url.rpartition(":")[2]
        server.stop()
        expect(page.page.locator("#banner")).to_contain_text("The server does not answer")
        expect(page.page.locator("#connection-word")).to_have_text("Server unreachable")
        again = fleet.config({**models, "other": {"source": fleet.als(tmp_path)}}, default_model="als")
        with serving(tmp_path / "second", again, "--port", port) as second:
            second.wait_ready("als", "other")
            expect(page.page.locator("#connection-word")).to_have_text("Live")
            expect(page.page.locator("#banner")).to_be_hidden()
            page.wait_state("other", "ready")
            page.open_details("als")
            expect(page.slot("als", "facts")).to_contain_text(second.model("als")["version"])
            assert second.model("als")["version"] != version


def test_a_stream_that_goes_silent_is_not_called_live(browser: Browser, beside: Beside, tmp_path: Path) -> None:
    """As after sleep, or behind a proxy that forgot the connection: nobody says that it ended."""
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server, cut=True, is_open=False) as page:
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        proxy = beside.enter(FaultProxy((host, int(port))))
        page.page.clock.install()
        page.page.goto(proxy.url)
        page.wait_state("als", "ready")
        connection = page.page.locator("#connection-word")
        expect(connection).to_have_text("Live")
        proxy.plan.stall_after = 0
        page.page.route(STATUS, cut)
        page.page.clock.fast_forward(11_000)
        expect(connection).to_have_text("Server unreachable")
        proxy.heal()
        page.page.unroute(STATUS)
        page.page.clock.fast_forward(11_000)
        expect(connection).to_have_text("Live")


def test_times_are_told_by_the_clock_of_the_server(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server, is_open=False) as page:
        server.wait_ready("als")
        page.page.clock.install(time=time.time() + 3600)
        page.open()
        expect(page.slot("als", "summary")).to_contain_text(re.compile(r"loaded (just now|\d+ s ago)$"))


def test_a_page_that_nobody_looks_at_holds_no_stream(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:

        def streams(number: int) -> None:
            told = f"holdfast_event_streams {number}.0\n"
            wait_until_sync(lambda: told in page.page.request.get(f"{server.url}/metrics").text(), what=f"{number} streams")

        page.wait_state("als", "ready")
        streams(1)
        page.page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        streams(0)
        server.command("POST", "/models/als/unload?wait=30")
        page.page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_state("als", "unloaded")
        streams(1)


def test_calls_are_drawn(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:
        server.wait_ready("als")
        for _ in range(5):
            assert server.predict("als", {"user_id": 1}).status == 200
        page.wait_state("als", "ready")
        expect(page.slot("als", "calls-words")).to_have_text(re.compile(r"^typically [\d.]+ ms, 99% in [\d.]+ ms5 calls in 2 min"))
        assert page.slot("als", "spark").locator(".p50").get_attribute("d")


def test_nothing_comes_from_elsewhere(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with (
        serving(tmp_path / "server", fleet.config(models)) as server,
        dashboard(browser, server, is_open=False) as page,
    ):
        asked: list[str] = []
        page.page.on("request", lambda request: asked.append(request.url))
        page.open()
        page.wait_state("als", "ready")
        assert all(url.startswith(server.url) for url in asked)
        # Neither inline script nor inline style is possible, and no text becomes markup.
        assert page.page.evaluate("document.querySelectorAll('[style], style, script:not([src])').length") == 0
        assert page.page.evaluate("(() => { try { document.body.innerHTML = 'x' } catch { return 'refused' } })()") == "refused"
        page.complaints = [text for text in page.complaints if "TrustedHTML" not in text]


def test_the_theme_is_chosen_and_kept(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "server", {}) as server, dashboard(browser, server, scheme="light") as page:
        background = "getComputedStyle(document.body).backgroundColor"
        light = page.page.evaluate(background)
        button = page.page.locator("#theme-button")
        button.click()
        button.click()
        expect(page.page.locator("#theme-word")).to_have_text("dark")
        dark = page.page.evaluate(background)
        assert dark != light
        page.page.reload()
        assert page.page.evaluate(background) == dark
        button.click()
        expect(page.page.locator("#theme-word")).to_have_text("auto")
        assert page.page.evaluate(background) == light


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(browser: Browser, tmp_path: Path) -> None:
    models = {"als": {"source": fleet.als(tmp_path)}}
    with serving(tmp_path / "server", fleet.config(models)) as server, dashboard(browser, server) as page:
        page.wait_state("als", "ready")
        focused = "document.activeElement.id || document.activeElement.dataset.action || document.activeElement.textContent.trim()"
        reached = []
        for _ in range(40):
            page.page.keyboard.press("Tab")
            reached.append(page.page.evaluate(focused))
        wanted = [
            "Skip to the models",
            "token-button",
            "theme-button",
            "Docs",
            "search",
            "try",
            "reload",
            "unload",
            "ask-model",
            "ask-send",
            "curl-copy",
        ]
        assert [name for name in reached if name in wanted][: len(wanted)] == wanted
