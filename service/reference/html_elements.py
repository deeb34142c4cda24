"""HTML as a tree, written by the standard library's serializer: text and attributes are escaped because they are no markup.

Does not cover: scripts and styles inside a page, which the serializer would not escape; no page here has any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Child = Element | str


def element(name: str, /, *children: Child, **attributes: str | None) -> Element:
    """An element. Attributes: `class_` and `for_` for the names that Python keeps, `_` is written `-`; None leaves one out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    made = Element(name, given)
    append(made, children)
    return made


def append(parent: Element, children: Iterable[Child]) -> None:
    """Add children in order; text goes where ElementTree keeps it, behind the child before it."""
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        else:
            parent.text = (parent.text or "") + child


def prose(text: str) -> list[Child]:
    """Text in which what stands in backticks is code."""
    parts = re.split(r"`([^`]+)`", text)
    return [element("code", part) if index % 2 else part for index, part in enumerate(parts) if part]


def told(text: str) -> list[Element]:
    """Such text as paragraphs, which blank lines separate."""
    return [element("p", *prose(" ".join(part.split()))) for part in text.split("\n\n") if part.strip()]


def written(root: Element) -> str:
    """The document."""
    return "<!doctype html>\n" + ElementTree.tostring(root, encoding="unicode", method="html")
