"""What the web pages of Google Drive mean when a file was asked for.

Covers: pure text: the confirmation form of large files, and the words of quota, permission and sign-in pages.
Does not cover: requests (`loaders.sources.gdrive`).
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from loaders.errors import AccessDenied, LoadError, SourceNotFound, SourceUnavailable

_QUOTA = re.compile(
    r"too many users|quota|can.t view or download this file at this time|exceeded|try again later|unusual traffic", re.IGNORECASE
)
_DENIED = re.compile(r"sign.?in|need access|request access|permission|access denied|not authorized|anyone with the link", re.IGNORECASE)
_MISSING = re.compile(r"not found|does not exist|doesn.t exist|no longer exists|been deleted", re.IGNORECASE)
_LINK = re.compile(r'href="(/uc\?export=download[^"]+)')
_WORDS_LIMIT = 300


class _Page(HTMLParser):
    """Collects the download form, the error captions, the title and whether a password is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.words: dict[str, str] = {}
        self.is_sign_in = False
        self._in_form = False
        self._element = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag == "form":
            self._in_form = found.get("id") == "download-form"
            self.action = found.get("action", "") if self._in_form else self.action
            self.is_sign_in = self.is_sign_in or "accounts.google.com" in found.get("action", "")
        elif tag == "input" and self._in_form and found.get("type") == "hidden":
            self.fields[found.get("name", "")] = found.get("value", "")
        elif tag == "input" and found.get("type") == "password":
            self.is_sign_in = True
        elif tag == "title" or "uc-error" in found.get("class", ""):
            self._element = found.get("class", tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._in_form = False
        if tag in ("p", "title", "div"):
            self._element = ""

    def handle_data(self, data: str) -> None:
        if self._element:
            self.words[self._element] = (self.words.get(self._element, "") + data)[:_WORDS_LIMIT]


def confirmation_url(html: str, page_url: str) -> str | None:
    """Where the confirmation page of a large file leads; None if this is no such page."""
    link = _LINK.search(html)
    if link is not None:
        return urljoin(page_url, unescape(link[1]))
    page = _parse(html)
    if not page.action:
        return None
    parts = urlsplit(urljoin(page_url, page.action))
    query = urlencode({**dict(parse_qsl(parts.query)), **page.fields})
    return urlunsplit(parts._replace(query=query))


def refusal(html: str, page_url: str, shown: str, status: int = 200) -> LoadError | None:
    """The failure that a page means, in its own words; None if it says nothing known."""
    page = _parse(html)
    words = " ".join(" ".join(text.split()) for text in page.words.values() if text.strip())
    message = f"{shown}: Google Drive says: {words}" if words else f"{shown}: Google Drive answered with a page instead of the file"
    if page.is_sign_in or urlsplit(page_url).hostname == "accounts.google.com":
        return AccessDenied(f"{shown}: Google Drive asks to sign in; share the file with anyone with the link")
    if _QUOTA.search(words):
        return SourceUnavailable(message)
    if _DENIED.search(words):
        return AccessDenied(message)
    if status in (404, 410) or _MISSING.search(words):
        return SourceNotFound(message)
    return None


def refusal_of_text(text: str, shown: str) -> LoadError:
    """The failure that a downloader's message, which quotes Drive's page, means. What says nothing known is about permissions."""
    words = " ".join(text.split())
    message = f"{shown}: {words}"
    # gdown's own sentence names both permission and quota: it did not understand the page.
    if "Cannot retrieve the public link" in words:
        return AccessDenied(message)
    if _MISSING.search(words) or "404" in words:
        return SourceNotFound(message)
    if _QUOTA.search(words):
        return SourceUnavailable(message)
    return AccessDenied(message)


def _parse(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    return page
