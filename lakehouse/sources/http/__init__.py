"""Files behind http(s) addresses: single ones, one a date, and series of pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, model_validator

from lakehouse.records import Interval
from lakehouse.sources import Offer, Seen, Source, intervals
from lakehouse.sources.http.addresses import Url, bare, checked, safe_name, without_query
from lakehouse.sources.http.asking import Asked, Auth, Conversation, Headers, Manners, Rate
from lakehouse.sources.http.checksums import Checksum
from lakehouse.sources.http.dates import Dates, Period, codes, filled
from lakehouse.sources.http.downloads import HttpOffer
from lakehouse.sources.http.pages import Page, Pages, Place, is_complete, walk
from lakehouse.units import Duration, Size

__all__ = ["HttpSource", "safe_name"]

_EVER = datetime.min.replace(tzinfo=UTC)


class HttpSource(Source):
    """Addresses to get.

    Attributes:
        url: one address.
        urls: more addresses.
        dates: which dates are filled into ``{date:%Y-%m-%d}`` in an address; each is a file of its own.
        pages: how an address goes on where it is a series of pages; each is a file of its own.
        checksum: what tells the checksum of a file.
        auth: how its host knows who asks; never told to another host.
        headers: sent to the address itself, never to another host it redirects to.
        rate: how many requests are made at most, as ``5/s``.
        max_wait: the longest wait a busy server may ask for.
        timeout: the longest wait to connect, and for the next bytes.
        deadline: the longest a whole download may take.
        max_size: more bytes than this are refused.
        allow_private: whether hosts inside this machine or its network may be asked.
    """

    asking: ClassVar = ("url", "urls")

    url: Url | None = None
    urls: tuple[Url, ...] = ()
    dates: Dates | None = None
    pages: Pages | None = None
    checksum: Checksum | None = None
    auth: Auth | None = None
    headers: Headers = Field(default_factory=dict)
    rate: Rate | None = None
    max_wait: Duration = timedelta(minutes=5)
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(seconds=30)
    deadline: Annotated[Duration, Field(gt=timedelta())] = timedelta(hours=6)
    max_size: Annotated[Size, Field(gt=0)] = 10 * 1000**3
    allow_private: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> HttpSource:
        if not self._addresses:
            raise ValueError("url: is required (or urls, a list)")
        dated = [codes(url) for url in self._addresses]
        if self.dates is None and any(dated):
            raise ValueError("dates: is required where an address has a {date:…}")
        if self.dates is not None:
            if not any(dated):
                raise ValueError("dates: needs an address with a date, as in https://data.example/{date:%Y-%m-%d}.csv")
            for url, found in zip(self._addresses, dated, strict=True):
                if found and not self.dates.tells_apart(found):
                    raise ValueError(f"the dates in an address must tell every {self.dates.every} from the others")
                checked(filled(url, datetime(2024, 2, 29)))  # noqa: DTZ001  # only to see an address
        if self.auth and (
            "authorization" in {name.lower() for name in self.headers}
            or any(urlsplit(url).username is not None for url in self._addresses)
        ):
            raise ValueError("auth: is said twice, there and in headers or the address")
        self._check_checksum()
        return self

    def _check_checksum(self) -> None:
        if self.checksum is None:
            return
        one = len(self._addresses) == 1 and self.dates is None
        if self.checksum.known and not one:
            raise ValueError("checksum: one checksum cannot be that of several files; give its url")
        if self.pages:
            raise ValueError("checksum: a page has none")
        if self.checksum.url:
            codes(self.checksum.url)
            for url in self._addresses:
                checked(filled(self.checksum.address(bare(url)), datetime(2024, 2, 29)))  # noqa: DTZ001  # as above

    @property
    def _addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(([self.url] if self.url else []) + list(self.urls)))

    def _filled(self, name: str, interval: Interval) -> Any:
        return intervals.filled(getattr(self, name), interval, self._zone, lambda text: quote(text, safe="/:"))

    def places(self) -> tuple[str, ...]:
        """The addresses without user, password, query and fragment."""
        return tuple(dict.fromkeys(self._redact(without_query(url)) for url in self._addresses))

    def unfit(self, history: str) -> str:
        """A page is a part of the picture, so a series of them cannot feed snapshots."""
        if history == "snapshots" and self.pages:
            return "its files are pages, and none of them is the full picture; use history: changes or events"
        return ""

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """One offer an address, date and page, in the order of the file; the oldest date first."""
        talk = Conversation(self._manners())
        for url in self._addresses:
            if self.dates and codes(url):
                yield from self._dated(url, seen, now, talk)
            else:
                yield from self._files(url, seen, talk)

    def _dated(self, url: str, seen: Seen, now: datetime, talk: Conversation) -> Iterator[Offer]:
        """The dates that were not landed yet, or may still change."""
        assert self.dates  # noqa: S101  # offers looked
        for period in self.dates.periods(now):
            address = filled(url, period.begin)
            if self._is_landed(address, seen, period.end) and self.dates.settled(period, now):
                continue
            since = period.end if period.end <= now else _EVER
            yield from self._files(address, seen, talk, period, since)
            if talk.turned_away(address):
                return

    def _is_landed(self, url: str, seen: Seen, end: datetime) -> bool:
        """Whether a date was landed when it was over: what came before is perhaps not all of it."""
        origin = self._redact(bare(url))
        if self.pages:
            return is_complete(origin, seen, end)
        return origin in seen and seen[origin].seen_at >= end

    def _files(
        self, url: str, seen: Seen, talk: Conversation, period: Period | None = None, since: datetime = _EVER
    ) -> Iterator[Offer]:
        """The file or the pages of one address; what was seen before ``since`` is sent again, to be seen anew."""
        series = self._redact(bare(url))
        waits = period is not None and self.dates is not None and self.dates.missing == "wait"

        def fields(at: str, origin: str) -> dict[str, Any]:
            last = seen.get(origin)
            return {
                "talk": talk,
                "asked": Asked(at, url, origin, self.attempts, self._redact),
                "origin": origin,
                "name": safe_name(self._redact(unquote(urlsplit(url).path))),
                "max_size": self.max_size,
                "mark": last.modified if last and last.seen_at >= since else "",
            }

        if self.pages is None:
            yield HttpOffer(
                **fields(url, series),
                checksum=self.checksum,
                checksum_url=self._checksum_url(url, period),
                may_be_missing=waits,
            )
            return

        def page(place: Place, origin: str, **more: Any) -> Page:
            first = waits and place.number == 1
            return Page(**fields(place.url, origin), may_be_missing=first, place=place, **more)

        yield from walk(self.pages, url, series, seen, page)

    def _checksum_url(self, url: str, period: Period | None) -> str:
        """Where the checksum of an address's file is; "" where nowhere."""
        if self.checksum is None or self.checksum.url is None:
            return ""
        told = self.checksum.address(bare(url))
        return filled(told, period.begin) if period else told

    def _manners(self) -> Manners:
        return Manners(
            headers=self.headers,
            auth=self.auth,
            timeout=self.timeout.total_seconds(),
            deadline=self.deadline.total_seconds(),
            max_wait=self.max_wait.total_seconds(),
            pause=Manners.pause_of(self.rate),
            allow_private=self.allow_private,
        )
