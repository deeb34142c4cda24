"""What acceptance tests share: a loop for doubles beside the test, and the logs of the running servers where a test fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.acceptance.running import Beside, Server

SHOWN_CHARACTERS = 6000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in Server.running:
            report.sections.append((f"log of {server!r}", server.log[-SHOWN_CHARACTERS:]))
    return report


@pytest.fixture
def beside() -> Iterator[Beside]:
    """Runs doubles of the outside world until the test is over."""
    with Beside() as running:
        yield running
