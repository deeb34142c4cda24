"""The page at /docs in a browser: nothing on the console, nothing serious for axe-core, and a filter that needs no script.

Does not cover: what is on it (`tests/unit/service/reference`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from service.routes import ROUTES
from tests.acceptance.browser.pages import NARROW, WIDE, Scheme
from tests.acceptance.running import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("docs"), {}) as running:
        yield running


@contextmanager
def docs(
    browser: Browser, server: Server, *, width: int = WIDE, scheme: Scheme = "light", bypass_csp: bool = False, scripts: bool = True
) -> Iterator[Page]:
    """The page; at the end nothing may have been said on the console, and nothing asked of anybody else."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=bypass_csp, java_script_enabled=scripts
    )
    try:
        page = context.new_page()
        said: list[str] = []
        elsewhere: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(server.url) else elsewhere.append(request.url))
        page.goto(f"{server.url}/docs")
        yield page
        assert (said, elsewhere) == ([], [])
    finally:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_axe_finds_nothing_serious(browser: Browser, server: Server, width: int, scheme: Scheme) -> None:
    with docs(browser, server, width=width, scheme=scheme, bypass_csp=True) as page:
        # Of one route: the others are built alike, and axe-core looks at every line.
        page.evaluate("document.querySelectorAll('#post_models_model_predict details').forEach(each => { each.open = true; })")
        results = Axe().run(page)
        serious = [found for found in results.response["violations"] if found["impact"] in ("serious", "critical")]
        assert not serious, "\n".join(f"{found['id']}: {[node['html'][:200] for node in found['nodes']]}" for found in serious)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "something is wider than the page"


def test_it_is_found_by_words_and_led_to_by_links_without_a_script(browser: Browser, server: Server) -> None:
    with docs(browser, server, scripts=False) as page:
        expect(page.get_by_role("status")).to_have_text(f"{len(ROUTES)} of {len(ROUTES)} routes")
        page.get_by_role("searchbox").fill("similar items")
        page.get_by_role("searchbox").press("Enter")
        expect(page.get_by_role("status")).to_have_text(f"1 of {len(ROUTES)} routes")
        expect(page.get_by_role("article").first).to_contain_text("/models/{model}/similar/{item_id}")
        page.get_by_role("link", name="All routes").click()
        page.get_by_role("navigation", name="Routes").get_by_role("link", name="GET /models/{model}/status").click()
        assert page.url.endswith("#get_models_model_status")
        page.get_by_role("link", name="Dashboard", exact=True).click()
        assert page.url == f"{server.url}/"


def test_its_styles_are_let_in_by_its_own_policy(browser: Browser, server: Server) -> None:
    with docs(browser, server) as page:
        assert page.locator("article").first.evaluate("each => getComputedStyle(each).borderTopStyle") == "solid"
