"""A failing acceptance test shows the logs of the servers that run at that moment."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.acceptance.running import Server

SHOWN_CHARACTERS = 6000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in Server.running:
            report.sections.append((f"log of {server!r}", server.log[-SHOWN_CHARACTERS:]))
    return report
