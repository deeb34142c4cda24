"""The pages of the documentation, taken apart: prose, code fences, the calls that they tell to make.

Does not cover: what must hold of them (`tests.test_docs`, `tests.acceptance.test_howto`).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support import ROOT

PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


@cache
def text_of(page: Path | str) -> str:
    """The page as it stands."""
    return (ROOT / page).read_text()


@cache
def prose_of(page: Path | str) -> str:
    """The page without its code fences."""
    return re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def fences(page: Path | str, language: str) -> list[str]:
    """The code fences of one language, those of a list without its indent."""
    found = re.finditer(rf"^(?P<indent> *)```{language}\n(?P<code>.*?)^(?P=indent)```$", text_of(page), flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{fence['indent']}", "", fence["code"], flags=re.MULTILINE) for fence in found]


def shell_lines(page: Path | str) -> Iterator[list[str]]:
    """The words of each line that a reader is told to type, without comments and without what is set for it alone."""
    for fence in fences(page, "sh"):
        for line in fence.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words


@dataclass(frozen=True)
class Call:
    """What a curl line sends. `path` is with the query; `body` None where there is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def calls_of(page: Path | str) -> list[Call]:
    """The curl lines of a page. Raises ValueError for a body that is not JSON."""
    return [call_of(words) for words in shell_lines(page) if words[0] == "curl"]


def call_of(words: list[str]) -> Call:
    """What these words of a curl line mean, as far as the pages use them."""
    method, headers, body, url = "", {}, None, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = json.loads(next(rest))
        elif word in ("--retry", "--retry-delay"):
            next(rest)
        elif not word.startswith("-"):
            url = word
    parts = urlsplit(url)
    return Call(method or ("GET" if body is None else "POST"), parts.path + (f"?{parts.query}" if parts.query else ""), headers, body)
