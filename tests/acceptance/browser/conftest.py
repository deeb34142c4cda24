"""What the tests in a browser share: the browser, once a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.chromium import launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Started before, and ended after, the leak check of each test looks: none of its processes is a test's."""
    with launched() as running:
        yield running
