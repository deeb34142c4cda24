"""The dashboard for everybody: axe-core finds nothing serious, at both widths, in both themes, and nothing runs over the edge.

Does not cover: the keyboard (`test_live`). axe-core comes with the package axe-playwright-python; it is let past the page's
content security policy, which the other tests run under.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import NARROW, WIDE, Dashboard, Scheme, dashboard
from tests.acceptance.running import Beside, Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model in every state."""
    folder = tmp_path_factory.mktemp("accessible")
    with Beside() as beside:
        models = {
            "als": {"source": fleet.als(folder)},
            "iris": {"source": fleet.iris(folder)},
            "slow": {"source": fleet.slow_download(beside, folder, 1 << 10).url},
            "login": {"source": fleet.sign_in_page(folder)},
            "later": {"source": fleet.als(folder), "load": "on_demand"},
            "gone": {"source": fleet.als(folder)},
        }
        with serving(folder / "server", fleet.config(models, default_model="als")) as running:
            running.wait_ready("als", "iris", "gone")
            running.command("POST", "/models/gone/unload?wait=30")
            yield running


@pytest.fixture(scope="module")
def training_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What is trained: published and pinned, refused, failed, running, waiting; and a model that falls back."""
    folder = tmp_path_factory.mktemp("training")
    on_demand = {"load": "on_demand", "required": False}
    models: dict[str, dict[str, Any]] = {
        name: {"source": f"training:{name}", **on_demand} for name in ("strict", "wrong", "long", "waits", "never")
    }
    models |= {"als": {"source": "training:als"}, "spare": {"source": str(folder / "none.pkl"), "fallback": "training:als"}}
    trainings: dict[str, dict[str, Any]] = {
        "als": {},
        "strict": {"gate": {"minimum": 0.99}},
        "wrong": {"algorithm": "hybrid", "parts": {"content": "never", "collaborative": "als"}},
        "long": {"parameters": fleet.LONG},
        "waits": {},
        "never": {},
    }
    with serving(folder / "server", fleet.trainings(folder, models=models, **trainings)) as running:
        running.wait_ready("als", "spare")
        for path in ("als/train?force=true", "strict/train", "wrong/train", "als/rollback"):
            running.command("POST", f"/models/{path}{'&' if '?' in path else '?'}wait=60")
        for name in ("long", "waits"):
            assert running.command("POST", f"/models/{name}/train").status == 202
        yield running


def assert_accessible(page: Dashboard, width: int) -> None:
    results = Axe().run(page.page)
    serious = [found for found in results.response["violations"] if found["impact"] in ("serious", "critical")]
    assert not serious, "\n".join(f"{found['id']}: {[node['html'][:200] for node in found['nodes']]}" for found in serious)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width, "something is wider than the page"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_axe_finds_nothing_serious(browser: Browser, server: Server, width: int, scheme: Scheme) -> None:
    with dashboard(browser, server, width=width, scheme=scheme, bypass_csp=True, refused=True) as page:
        for model, state in (("als", "ready"), ("slow", "loading"), ("login", "error"), ("later", "not_started"), ("gone", "unloaded")):
            page.wait_state(model, state)
        page.open_details("iris")
        page.open_details("login")
        page.page.locator("#token-button").click()
        page.page.get_by_text("More fields").click()
        page.page.locator("#ask-send").click()
        expect(page.page.locator("#answer")).to_be_visible()
        assert_accessible(page, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_axe_finds_nothing_serious_of_training(browser: Browser, training_server: Server, width: int, scheme: Scheme) -> None:
    with dashboard(browser, training_server, width=width, scheme=scheme, bypass_csp=True) as page:
        for training, status in (
            ("als", "published"),
            ("strict", "refused"),
            ("wrong", "failed"),
            ("long", "running"),
            ("waits", "queued"),
        ):
            expect(page.page.locator(f"li.trained[data-training='{training}']")).to_have_attribute("data-status", status)
        expect(page.slot("spare", "fallback")).to_be_visible()
        page.open_details("als")
        expect(page.slot("als", "quality")).to_be_visible()
        page.slot("als", "quality").locator("summary").click()
        page.slot("als", "versions").locator("summary").first.click()
        for run in page.page.locator("#runs summary").all():
            run.click()
        expect(page.page.locator("#runs .run-body:not(:empty)")).to_have_count(page.page.locator("#runs > li").count())
        assert_accessible(page, width)


def test_what_is_chosen_is_seen_in_the_colours_of_the_system(browser: Browser, server: Server) -> None:
    with dashboard(browser, server, forced_colors="active") as page:
        page.wait_state("als", "ready")
        highlight = page.page.evaluate("""() => {
            const probe = document.body.appendChild(document.createElement("i"))
            Object.assign(probe.style, { backgroundColor: "Highlight", forcedColorAdjust: "none" })
            return getComputedStyle(probe).backgroundColor
        }""")
        for chosen in ("[aria-pressed=true]", ".choice :checked + span"):
            assert page.page.locator(chosen).evaluate("chosen => getComputedStyle(chosen).backgroundColor") == highlight


def test_axe_finds_nothing_serious_where_there_is_no_model(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "server", {}) as server, dashboard(browser, server, bypass_csp=True) as page:
        expect(page.page.locator("#empty")).to_be_visible()
        results = Axe().run(page.page)
        assert not [found["id"] for found in results.response["violations"] if found["impact"] in ("serious", "critical")]
