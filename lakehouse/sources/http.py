"""Files behind http(s) addresses, one GET each. Never sends cookies, never uses a proxy from the environment.

A proxy would resolve names itself, and so undo the check that an address is public.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from lakehouse.errors import SourceError
from lakehouse.records import printable
from lakehouse.sources import Download, Offer, Seen, Source
from lakehouse.units import Duration, Size

if TYPE_CHECKING:  # 0.1 s that a configuration without an http source need not spend
    import httpcore2

__all__ = ["HttpSource", "safe_name"]

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRYABLE = (408, 425, 429)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = ("host", "content-length", "transfer-encoding", "accept-encoding", "connection", "range")
_EXTENDED = re.compile(r"filename\*\s*=\s*(?:utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)
_PLAIN = re.compile(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE)


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError("must be an address that starts with http:// or https:// and names a host")
    return value


def _headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, secret in value.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("the name of a header holds only letters, digits and -")
        if name.lower() in _OURS or name.lower().startswith("if-"):
            raise ValueError(f"the header {name} is set by the lake")
        text = secret.get_secret_value()
        if not text.isprintable() or not text.isascii() or text != text.strip():
            raise ValueError(f"the value of the header {name} must be printable ASCII without blanks around it")
    return value


Url = Annotated[str, AfterValidator(_url)]


class HttpSource(Source):
    """Addresses to get.

    Attributes:
        url: one address.
        urls: more addresses.
        headers: sent to the address itself, never to another host it redirects to.
        timeout: the longest wait to connect, and for the next bytes.
        deadline: the longest a whole download may take.
        max_size: more bytes than this are refused.
        allow_private: whether hosts inside this machine or its network may be asked.
    """

    url: Url | None = None
    urls: tuple[Url, ...] = ()
    headers: Annotated[dict[str, SecretStr], AfterValidator(_headers)] = Field(default_factory=dict)
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(seconds=30)
    deadline: Annotated[Duration, Field(gt=timedelta())] = timedelta(hours=6)
    max_size: Annotated[Size, Field(gt=0)] = 10 * 1000**3
    allow_private: bool = False

    @model_validator(mode="after")
    def _has_an_address(self) -> HttpSource:
        if not self._addresses:
            raise ValueError("url: is required (or urls, a list)")
        return self

    @property
    def _addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(([self.url] if self.url else []) + list(self.urls)))

    def places(self) -> tuple[str, ...]:
        """The addresses without user, password, query and fragment."""
        return tuple(dict.fromkeys(self._redact(_bare(url).partition("?")[0]) for url in self._addresses))

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """One offer an address, in the order of the file; see `Source.offers`."""
        del now  # an address has no time to settle
        for url in self._addresses:
            origin = self._redact(_bare(url))
            last = seen.get(origin)
            name = safe_name(self._redact(unquote(urlsplit(url).path)))
            yield _HttpOffer(self, url, origin, name, last.modified if last else "")


@dataclass
class _HttpOffer(Offer):
    """One address. Its name may become better once the server answered (``Content-Disposition``)."""

    source: HttpSource
    url: str
    origin: str
    name: str
    mark: str

    @contextmanager
    def open(self) -> Iterator[Download | None]:
        """Get the address, following redirects; None when the server says that nothing changed."""
        import httpcore2  # noqa: PLC0415  # see above
        import httpx2  # noqa: PLC0415  # see above

        from lakehouse.sources.network import Deadline, PrivateAddressError, VettedBackend  # noqa: PLC0415  # see above

        source = self.source
        backend = VettedBackend(Deadline(source.deadline.total_seconds()), allow_private=source.allow_private)
        try:
            with httpcore2.ConnectionPool(network_backend=backend) as pool, self._answer(pool) as response:
                yield None if response.status == 304 else self._download(response)
        except PrivateAddressError as error:
            raise self._error(f"{error}; set allow_private: true if that is meant") from error
        except httpcore2.TimeoutException as error:
            raise self._error(f"no answer in time ({error or type(error).__name__})", retryable=True) from error
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
            untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in error.args)
            raise self._error(str(error) or type(error).__name__, retryable=not untrusted) from error
        except (httpx2.InvalidURL, httpcore2.UnsupportedProtocol, httpcore2.LocalProtocolError, UnicodeError):
            # Their messages and tracebacks hold the headers.
            raise self._error("cannot be asked for: the address or a header is not valid HTTP") from None

    @contextmanager
    def _answer(self, pool: httpcore2.ConnectionPool) -> Iterator[httpcore2.Response]:
        """The answer after all redirects, its status checked."""
        import httpx2  # noqa: PLC0415  # see above

        url, hops = self.url, 0
        while True:
            target = str(httpx2.URL(_bare(url)))  # as ASCII: the name by IDNA, the rest by percent signs
            with pool.stream("GET", target, headers=self._headers(url), extensions=self._timeouts()) as response:
                location = _header(response, b"location")
                if response.status not in _REDIRECTS or not location:
                    self._check(response)
                    yield response
                    return
            hops += 1
            if hops > _MAX_REDIRECTS:
                raise self._error(f"redirects more than {_MAX_REDIRECTS} times")
            url = self._next(url, location)

    def _next(self, url: str, location: str) -> str:
        try:
            return _url(urljoin(_bare(url), location))
        except ValueError:
            raise self._error(f"redirects to {printable(location[:200])!r}, which is not an http(s) address") from None

    def _headers(self, url: str) -> dict[bytes | str, bytes | str]:
        headers: dict[bytes | str, bytes | str] = {
            "User-Agent": "lakehouse",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        kind, _, value = self.mark.partition(":")
        if kind in ("etag", "last-modified"):
            headers["If-None-Match" if kind == "etag" else "If-Modified-Since"] = value
        if _host(url) == _host(self.url):
            # Only the host itself is told what was meant for it.
            own = urlsplit(self.url)
            if own.username is not None or own.password is not None:
                pair = f"{unquote(own.username or '')}:{unquote(own.password or '')}"
                headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
            headers |= {name: secret.get_secret_value() for name, secret in self.source.headers.items()}
        return headers

    def _timeouts(self) -> dict[str, Any]:
        seconds = self.source.timeout.total_seconds()
        return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)}

    def _check(self, response: httpcore2.Response) -> None:
        status = response.status
        if status == 200 or (status == 304 and self.mark):
            return
        again = status >= 500 or status in _RETRYABLE
        reason = bytes(response.extensions.get("reason_phrase", b"")).decode("ascii", "replace")
        raise self._error(f"the server answered {status} {printable(reason)}".rstrip(), retryable=again)

    def _download(self, response: httpcore2.Response) -> Download:
        length = _header(response, b"content-length")
        known = length.isascii() and length.isdigit() and not _header(response, b"transfer-encoding")
        size = int(length) if known else None
        if size is not None and size > self.source.max_size:
            raise self._too_large()
        told = _disposition(_header(response, b"content-disposition"))
        self.name = self.source._redact(told) or self.name  # noqa: SLF001  # its own source
        etag, changed = _header(response, b"etag"), _header(response, b"last-modified")
        mark = f"etag:{etag}" if etag else f"last-modified:{changed}" if changed else ""
        # A server may say a secret back.
        storable = mark.isprintable() and self.source._redact(mark) == mark  # noqa: SLF001  # its own source
        return Download(chunks=self._chunks(response, size), size=size, modified=mark if storable else "")

    def _chunks(self, response: httpcore2.Response, size: int | None) -> Iterator[bytes]:
        import httpcore2  # noqa: PLC0415  # see above

        done = 0
        try:
            for chunk in response.iter_stream():
                done += len(chunk)
                if done > self.source.max_size:
                    raise self._too_large()
                yield chunk
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.RemoteProtocolError) as error:
            text = f"was cut off after {done:,} bytes" + (f" of {size:,}" if size is not None else "")
            raise self._error(f"{text}: {error or type(error).__name__}", retryable=True) from error

    def _too_large(self) -> SourceError:
        return self._error(f"is larger than max_size ({self.source.max_size:,} bytes)")

    def _error(self, text: str, *, retryable: bool = False) -> SourceError:
        return SourceError(self.source._redact(f"{printable(self.origin)}: {text}"), retryable=retryable)  # noqa: SLF001  # its own source


def safe_name(name: str) -> str:
    """A name that is one name: no folder, no control characters, not empty, at most 255 bytes of UTF-8."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    clean = "".join(c for c in last if c.isprintable() and not "\ud800" <= c <= "\udfff").strip()
    if not clean.strip("."):
        return "download"
    stem, dot, suffix = clean.rpartition(".")
    end = (dot + suffix).encode() if stem and len((dot + suffix).encode()) <= 20 else b""
    body = clean.encode()[: len(clean.encode()) - len(end)]
    return (body[: 255 - len(end)].decode("utf-8", "ignore").encode() + end).decode()


def _disposition(header: str) -> str:
    extended = _EXTENDED.search(header)
    if extended:
        return safe_name(unquote(extended[1]))
    plain = _PLAIN.search(header)
    return safe_name(re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]) if plain else ""


def _bare(url: str) -> str:
    """The address without user, password and fragment."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="", path=parts.path or "/"))


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _header(response: httpcore2.Response, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in response.headers if key.lower() == name), "")
