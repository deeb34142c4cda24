"""`loaders.sources.drive_pages`: what the pages of Google Drive mean, told by their text alone."""

from __future__ import annotations

import pytest

from loaders.errors import AccessDenied, LoadError, SourceNotFound, SourceUnavailable
from loaders.sources.drive_pages import confirmation_url, refusal, refusal_of_text

HERE = "https://drive.google.com/uc?id=ID"
FORM = (
    '<form id="download-form" action="https://drive.usercontent.google.com/download?a=1&amp;b=2" method="get">'
    '<input type="hidden" name="id" value="ID"><input type="hidden" name="uuid" value="x y"><input type="submit" value="Go"></form>'
)


def page(words: str, title: str = "Google Drive") -> str:
    return f'<html><head><title>{title}</title></head><body><p class="uc-error-subcaption">{words}</p></body></html>'


def test_form() -> None:
    assert confirmation_url(f"<html>{FORM}</html>", HERE) == "https://drive.usercontent.google.com/download?a=1&b=2&id=ID&uuid=x+y"


def test_form_over_several_lines() -> None:
    assert confirmation_url(FORM.replace("><", ">\n<"), HERE) is not None


def test_link() -> None:
    html = '<a id="uc-download-link" href="/uc?export=download&amp;confirm=t&amp;id=ID">Download anyway</a>'
    assert confirmation_url(html, HERE) == "https://drive.google.com/uc?export=download&confirm=t&id=ID"


@pytest.mark.parametrize("html", ["", "<html>", page("no form"), '<form id="other" action="/x"></form>', "<form id=download-form>"])
def test_no_form(html: str) -> None:
    assert confirmation_url(html, HERE) is None


@pytest.mark.parametrize(
    "html, status, failure",
    [
        (page("Too many users have viewed or downloaded this file recently."), 200, SourceUnavailable),
        (page("Sorry, you can&#39;t view or download this file at this time."), 200, SourceUnavailable),
        (page("", title="Google Drive - Quota exceeded"), 403, SourceUnavailable),
        (page("You need access"), 403, AccessDenied),
        ("<form action='https://accounts.google.com/signin'></form>", 200, AccessDenied),
        ("<input type='password'>", 200, AccessDenied),
        (page("", title="Error 404 (Not Found)!!1"), 404, SourceNotFound),
        ("", 404, SourceNotFound),
        (page("Sorry, the file you have requested does not exist."), 200, SourceNotFound),
        (page("something new"), 200, None),
    ],
)
def test_refusal(html: str, status: int, failure: type[LoadError] | None) -> None:
    found = refusal(html, HERE, "gdrive://ID", status)
    assert type(found) is (failure or type(None))


def test_the_words_of_drive_are_kept() -> None:
    found = refusal(page("Too many   users\nhave viewed"), HERE, "gdrive://ID")
    assert found is not None
    assert "Too many users have viewed" in found.message


def test_sign_in_by_address() -> None:
    assert isinstance(refusal("", "https://accounts.google.com/v3/signin", "gdrive://ID"), AccessDenied)


@pytest.mark.parametrize(
    "text, failure",
    [
        ("Too many users have viewed or downloaded this file recently.", SourceUnavailable),
        ("Cannot retrieve the public link of the file. You may need to change the permission, or have had many accesses.", AccessDenied),
        ("The file does not exist", SourceNotFound),
        ("something new", AccessDenied),
    ],
)
def test_refusal_of_text(text: str, failure: type[LoadError]) -> None:
    assert type(refusal_of_text(text, "gdrive://ID")) is failure
