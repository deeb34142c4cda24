"""The files of the page at `/`: how they are sent. Does not cover: what they do in a browser (`tests/acceptance/browser`)."""

from __future__ import annotations

import re

import pytest

from loaders.errors import FAILURES
from service.dashboard import FILES, INDEX
from service.lifecycle import events
from service.lifecycle.state import Status
from service.routes.dashboard import CONTENT_SECURITY_POLICY
from tests.support import ROOT
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeRegistry
from training.errors import TRAINING_FAILURES

EVENTS_OF_LIFE = [kind.kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
FOLDER = ROOT / "service" / "dashboard"


def address(name: str) -> str:
    return "/" if name == INDEX else f"/dashboard/{name}"


@pytest.mark.parametrize("name", sorted(FILES))
async def test_a_file_comes_as_it_is_and_once(client_of: ClientOf, name: str) -> None:
    client = await client_of(FakeRegistry())
    async with client.get(address(name)) as response:
        assert response.status == 200
        assert await response.read() == (FOLDER / name).read_bytes()
        assert response.content_type in ("text/html", "text/css", "text/javascript", "image/svg+xml")
        assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-cache"
        etag = response.headers["ETag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        async with client.get(address(name), headers={"If-None-Match": known}) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", etag)
    async with client.get(address(name), headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2Fapp.py", "%2e%2e%2fapp.py", "INDEX.HTML"])
async def test_nothing_else_is_sent(client_of: ClientOf, name: str) -> None:
    client = await client_of(FakeRegistry())
    async with client.get(f"/dashboard/{name}") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY and "http" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; ")
    markup = (FOLDER / INDEX).read_text()
    assert not re.search(
        r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|https?://(?!\s|…)", markup.replace("or s3://, https://, gdrive://", "")
    )


def test_what_the_page_names_is_there() -> None:
    named = {name for text in FILES.values() for name in re.findall(rb'(?:"dashboard/|from "\./)([\w.]+)"', text.content)}
    assert named and {name.decode() for name in named} <= set(FILES)
    markup = (FOLDER / INDEX).read_text()
    ids = set(re.findall(r'\bid="([\w-]+)"', markup))
    for name, file in FILES.items():
        if name.endswith(".js"):
            missing = set(re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', file.content.decode())) - ids
            assert not missing, f"{name} reaches for {missing}"


def test_every_type_of_failure_has_its_advice() -> None:
    of_loads, _, of_runs = (FOLDER / "advice.js").read_text().partition("RUN_ADVICE")
    advised, advised_of_runs = (re.findall(r"^  (\w+): \[\"", text, re.MULTILINE) for text in (of_loads, of_runs))
    assert sorted(advised) == sorted(FAILURES)
    assert set(TRAINING_FAILURES) <= set(advised_of_runs) <= {*TRAINING_FAILURES, *FAILURES}


def test_every_word_of_a_life_is_known_to_the_page() -> None:
    kinds = {kind for kind in EVENTS_OF_LIFE if kind not in ("", "progress", "phase", "trained")} | {"drain"}
    assert sorted(re.findall(r'^  (\w+): "', (FOLDER / "inside.js").read_text(), re.MULTILINE)) == sorted(kinds)
    card = (FOLDER / "card.js").read_text()
    states = re.search(r"STATES = \{(.*?)\}", card)
    assert states and re.findall(r"(\w+):", states[1]) == [str(status) for status in Status]
    markup = (FOLDER / INDEX).read_text()
    assert all(f'<symbol id="{status}"' in markup for status in Status)
