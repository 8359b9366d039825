"""Reads a page as a browser does, as far as the tests want to know: elements, attributes and text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

ALONE = {"meta", "br"}  # elements without an end
TAGS = (
    ALONE
    | {"html", "head", "title", "style", "body", "header", "section", "article", "footer", "figure", "figcaption"}
    | {"h1", "h2", "h3", "p", "a", "b", "i", "ul", "li", "div", "span", "small", "bdi", "details", "summary"}
    | {"table", "thead", "tbody", "tr", "th", "td", "svg", "g", "rect", "path"}
)
ATTRIBUTES = {"charset", "http-equiv", "content", "name", "lang", "class", "id", "href", "title", "scope", "style"}
ATTRIBUTES |= {"role", "viewbox", "preserveaspectratio", "aria-hidden", "x", "y", "width", "height", "d"}
STYLES = re.compile(r"--w:\d+\.\d|height:\d+px|width:auto")


class Page(HTMLParser):
    """A page that was read; an element, attribute, style or link that no page of ours has is an AssertionError.

    Attributes:
        text: all that is to be read, without the style sheet.
        count: elements of each name.
        ids: every place that a link can lead to.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.count, self.ids, self.links, self._open = "", {}, set(), set(), []
        self.feed(text)
        self.close()
        assert self._open == [], f"not closed: {self._open}"
        assert {link[1:] for link in self.links} <= self.ids

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        assert tag in TAGS, tag
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attrs:
            assert name in ATTRIBUTES, f"{tag} {name}={value}"
            assert name != "style" or STYLES.fullmatch(value or ""), value
            if name == "href":
                assert (value or "").startswith("#"), value
                self.links.add(value)
            if name == "id":
                assert value not in self.ids, value
                self.ids.add(value)
        if tag not in ALONE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that ends where it begins."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """An element ends, and only the one that is open."""
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += "" if "style" in self._open else data

    def handle_comment(self, data: str) -> None:
        """No page has any."""
        raise AssertionError(data)
