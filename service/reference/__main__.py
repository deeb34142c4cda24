"""`python -m service.reference cli|http|metrics` prints a page of docs/reference: `make docs` keeps it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from service.cli import build_parser
from service.openapi import openapi
from service.reference import command_line, markdown_page, metrics_page
from service.routes import ROUTES

PAGES: Mapping[str, Callable[[], str]] = {
    "cli": lambda: command_line.page(build_parser()),
    "http": lambda: markdown_page.page(openapi(ROUTES)),
    "metrics": metrics_page.page,
}
"""Name of the page -> what makes it."""

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
