"""Series of pages: one answer after the other, each telling or implying where the next one is. Each is one raw file."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lakehouse.errors import NotFoundError, SourceError
from lakehouse.sources import Download, Offer, Seen
from lakehouse.sources.http.addresses import bare, joined, with_query
from lakehouse.sources.http.asking import Answer
from lakehouse.sources.http.downloads import HttpOffer
from lakehouse.units import Size

__all__ = ["Page", "Pages", "Place", "is_complete", "walk"]

_LAST = "last "  # before a page's mark: no page follows
_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[\w!#$%&'*+.^`|~-]+\s*(?:=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s\",;]*))?)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+))", re.IGNORECASE)

Name = Annotated[str, Field(min_length=1)]


class Pages(BaseModel):
    """How a series goes on.

    Attributes:
        by: what leads to the next page: the answer's ``Link`` header, a cursor or an address in its body, or
            counting items (offset) or pages (page) until one has none.
        at: the dotted path in the body of the cursor, or of the next address.
        parameter: what the query calls the cursor, the offset or the number of the page.
        size_parameter: what the query calls the items of a page.
        size: how many items a page is asked for with.
        start: the first offset (0) or page (1).
        items: the dotted path in the body of the array of items; none when the body is the array.
        max_pages: a series that has more is an error.
        max_page: the largest body that is read for where to go on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    by: Literal["link", "cursor", "next_url", "offset", "page"]
    at: Name | None = None
    parameter: Name | None = None
    size_parameter: Name | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    start: Annotated[int, Field(ge=0)] | None = None
    items: Name | None = None
    max_pages: Annotated[int, Field(ge=1)] = 10_000
    max_page: Annotated[Size, Field(gt=0)] = 16 * 1000**2

    @model_validator(mode="after")
    def _fits_together(self) -> Pages:
        needs = {"cursor": ("at", "parameter"), "next_url": ("at",)}.get(self.by, ())
        for name in needs:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: is required where by is {self.by}")
        counted = self.by in ("offset", "page")
        unused = [] if counted else ["start", "items"]
        unused += [] if counted or self.by == "cursor" else ["parameter"]
        unused += ["at"] if counted or self.by == "link" else []
        for name in unused:
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: means nothing where by is {self.by}")
        if self.size is not None and self.size_parameter is None:
            raise ValueError("size: needs size_parameter, what the query calls it")
        if self.size is None and self.size_parameter is not None:
            raise ValueError("size_parameter: needs size, how many items")
        return self

    def first(self, url: str) -> Place:
        """Where a series begins."""
        if self.size_parameter:
            url = with_query(url, self.size_parameter, str(self.size))
        count = self.start if self.start is not None else int(self.by == "page")
        if self.by in ("offset", "page"):
            url = with_query(url, self.parameter or self.by, str(count))
        return Place(1, url, count)

    def after(self, place: Place, landed: _Landed) -> Place | None:
        """The page after one; None when that is the last.

        Raises:
            ValueError: the page does not say it as agreed, or leads to something that is no http(s) address.
        """
        following = replace(place, number=place.number + 1)
        if self.by == "link":
            link = _next_link(landed.links)
            return replace(following, url=joined(landed.url, link)) if link else None
        document = _document(landed.body, self.max_page)
        if self.by in ("offset", "page"):
            items = _inside(document, self.items)
            if not isinstance(items, list):
                raise ValueError(
                    f"has no array at {self.items}" if self.items else "is not an array; say items: its path"
                )
            if not items:
                return None
            count = place.count + (1 if self.by == "page" else len(items))
            return replace(following, url=with_query(place.url, self.parameter or self.by, str(count)), count=count)
        told = _inside(document, self.at)
        if told in (None, "", False):
            return None
        if not isinstance(told, str):
            raise ValueError(f"has neither a text nor a number at {self.at}")  # noqa: TRY004  # a wrong page
        if self.by == "cursor":
            return replace(following, url=with_query(place.url, self.parameter or "", told))
        return replace(following, url=joined(landed.url, told))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a series is: its number from 1, its address, and its offset or number at the server."""

    number: int
    url: str
    count: int


@dataclass(frozen=True, slots=True)
class _Landed:
    """What a page said: who gave it, its ``Link`` headers, its body."""

    url: str
    links: list[str]
    body: bytes


@dataclass
class Page(HttpOffer):
    """A page. ``arrived`` once it came whole and is understood; ``following`` is where the next one is."""

    pages: Pages = field(kw_only=True)
    place: Place = field(kw_only=True)
    seen: Seen = field(kw_only=True)
    before: str = field(kw_only=True, default="")
    arrived: bool = field(init=False, default=False)
    following: Place | None = field(init=False, default=None)
    sha256: str = field(init=False, default="")

    @contextmanager
    def open(self) -> Iterator[Download | None]:
        """As every address; where nothing changed, the next page is the one that the landed bytes lead to."""
        known = self._landed_before()
        self.mark = self.mark.removeprefix(_LAST) if known is not None else ""
        with super().open() as download:
            if download is None and not self.awaited:
                self._understand(_Landed(self.asked.url, [], known or b""))
            yield download

    def _landed_before(self) -> bytes | None:
        """The bytes an unchanged page would have; None when it must be asked for without conditions."""
        if self.pages.by == "link" or not self.mark:
            return None
        try:
            with self.seen.bytes_of(self.origin).open("rb") as landed:
                return landed.read(self.pages.max_page + 1)
        except (KeyError, NotFoundError, OSError):
            return None

    def _taken(self, download: Download, body: Any) -> Iterator[bytes]:
        answer: Answer = body.answer
        kept = bytearray()
        for chunk in super()._taken(download, body):
            if self.pages.by != "link":
                kept += chunk
                if len(kept) > self.pages.max_page:
                    raise self.asked.error(f"is larger than pages: max_page ({self.pages.max_page:,} bytes)")
            yield chunk
        self._understand(_Landed(answer.url, answer.all("link"), bytes(kept)))
        if self.following is None:
            download.modified = f"{_LAST}{download.modified}"

    def _understand(self, landed: _Landed) -> None:
        try:
            self.following = self.pages.after(self.place, landed)
        except ValueError as error:
            raise self.asked.error(f"this page of the series {error}") from None
        self.sha256 = hashlib.sha256(landed.body).hexdigest()
        if self.pages.by in ("offset", "page") and self.following and self.sha256 == self.before:
            told = f"the server does not know the parameter {self.pages.parameter or self.pages.by}"
            raise self.asked.error(f"this page of the series is the same as the one before: {told}")
        self.arrived = True


class _Told(Offer):
    """A page that is not asked for, and why."""

    def __init__(self, origin: str, *, awaited: str = "", error: SourceError | None = None) -> None:
        self.origin = origin
        self.name = ""
        self.awaited = awaited
        self._error = error

    @contextmanager
    def open(self) -> Iterator[Download | None]:
        """Nothing, or the error."""
        if self._error:
            raise self._error
        yield None


def _origin(series: str, number: int) -> str:
    # By its number, not its own address: that may hold a cursor, which is another one every time.
    return f"{series}#page={number}"


def is_complete(series: str, seen: Seen, since: datetime) -> bool:
    """Whether a series was landed to its last page, no page of it before a moment."""
    number = 1
    while (last := seen.get(_origin(series, number))) and last.seen_at >= since:
        if last.modified.startswith(_LAST):
            return True
        number += 1
    return False


def walk(pages: Pages, url: str, series: str, seen: Seen, offered: Callable[..., Page]) -> Iterator[Offer]:
    """The pages of a series, each offered once the one before has come in whole.

    Args:
        pages: how the series goes on.
        url: its address.
        series: the same, as it is shown.
        seen: what was landed.
        offered: makes the offer of a page.
    """
    visited: set[str] = set()
    place: Place | None = pages.first(url)
    before = ""
    number = 0
    while place is not None:
        number = place.number
        page = offered(place=place, origin=_origin(series, number), seen=seen, pages=pages, before=before)
        if bare(place.url) in visited:
            yield _Told(page.origin, error=page.asked.error("the series leads back to a page that it had already"))
            return
        if number > pages.max_pages:
            told = f"the series has more pages than max_pages ({pages.max_pages:,}): the rest is not landed"
            yield _Told(page.origin, error=page.asked.error(told))
            return
        visited.add(bare(place.url))
        yield page
        if not page.arrived:
            return
        place, before = page.following, page.sha256
    beyond = _origin(series, number + 1)
    if beyond in seen:
        told = f"the series now ends with page {number}: the rows of this page, which was landed before, still count"
        yield _Told(beyond, awaited=told)


def _next_link(headers: list[str]) -> str:
    for link, parameters in _LINK.findall(", ".join(headers)):
        relation = _NEXT.search(parameters)
        if relation and "next" in (relation[1] or relation[2] or "").lower().split():
            return str(link)
    return ""


def _document(body: bytes, most: int) -> Any:
    """The body as JSON, numbers as they are written.

    Raises:
        ValueError: it is not JSON, or larger than that when unpacked.
    """
    try:
        if body.startswith(b"\x1f\x8b"):  # a server may pack what it was asked not to
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
                body = packed.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"is not whole gzip: {error}") from None
    if len(body) > most:
        raise ValueError(f"is larger than max_page ({most:,} bytes)")
    try:
        return json.loads(body, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot be read as JSON for where to go on: {str(error)[:200]}") from None


def _inside(document: Any, path: str | None) -> Any:
    """What lies at a dotted path; None when nothing does."""
    for part in path.split(".") if path else ():
        document = document.get(part) if isinstance(document, dict) else None
    return document
