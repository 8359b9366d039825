"""Asking servers: one request after the other, redirects followed, what belongs to one host told to no other.

Never sends cookies, never uses a proxy from the environment: a proxy would resolve names itself, and so undo the
check that an address is public.
"""

from __future__ import annotations

import base64
import re
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, model_validator

from lakehouse.errors import SourceError
from lakehouse.records import printable
from lakehouse.sources.http.addresses import Host, bare, host, joined
from lakehouse.units import written

if TYPE_CHECKING:  # 0.1 s that a configuration without an http source need not spend
    import httpcore2

__all__ = [
    "Answer",
    "Asked",
    "Auth",
    "Conversation",
    "Headers",
    "Manners",
    "Rate",
    "moment",
    "retry_after",
    "translated",
]

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRYABLE = (408, 425, 429)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = ("host", "content-length", "transfer-encoding", "accept-encoding", "connection", "range")
_RATE = re.compile(r"([1-9][0-9]{0,5})/([smh])")


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


def _rate(value: str) -> str:
    if not _RATE.fullmatch(value):
        raise ValueError("is a number of requests a second, minute or hour: 5/s, 100/m, 1000/h")
    return value


def _bearer(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without blanks")
    return value


def _user(value: str) -> str:
    if ":" in value or not value.isprintable():
        raise ValueError("must be printable, without a colon")
    return value


Headers = Annotated[dict[str, SecretStr], AfterValidator(_headers)]
Rate = Annotated[str, AfterValidator(_rate)]


class Basic(BaseModel):
    """A name and a password."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    user: Annotated[str, AfterValidator(_user)]
    password: SecretStr


class Auth(BaseModel):
    """How a host knows who asks; one of both.

    Attributes:
        basic: a name and a password.
        bearer: a token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    basic: Basic | None = None
    bearer: Annotated[SecretStr, AfterValidator(_bearer)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Auth:
        if (self.basic is None) == (self.bearer is None):
            raise ValueError("needs basic: {user: …, password: …} or bearer: a token")
        return self

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        if self.basic:
            return _basic(self.basic.user, self.basic.password.get_secret_value())
        return f"Bearer {self.bearer.get_secret_value()}" if self.bearer else ""


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Manners:
    """How a source asks: its fields, without those that say for what. Durations in seconds.

    Attributes:
        max_wait: the longest wait a server may ask for.
        pause: the time between two requests.
    """

    headers: dict[str, SecretStr]
    auth: Auth | None
    timeout: float
    deadline: float
    max_wait: float
    pause: float
    allow_private: bool

    @staticmethod
    def pause_of(rate: str | None) -> float:
        """Seconds between two requests at a rate such as ``5/s``."""
        match = _RATE.fullmatch(rate or "")
        return {"s": 1, "m": 60, "h": 3600}[match[2]] / int(match[1]) if match else 0.0


@dataclass
class Asked:
    """One address that is asked for, as often as it may be.

    Attributes:
        url: the address itself, secrets and all.
        own: the address whose host is told the headers, the password and the token.
        shown: what messages call it.
        left: requests that may still be made, redirects not counted.
    """

    url: str
    own: str
    shown: str
    left: int
    redact: Callable[[str], str]

    def error(self, text: str, *, retryable: bool = False) -> SourceError:
        """What went wrong with it; no longer retryable when no request is left."""
        message = self.redact(f"{printable(self.shown)}: {text}")
        return SourceError(message, retryable=retryable and self.left > 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is still to come.

    Attributes:
        url: who gave it, after all redirects.
    """

    response: httpcore2.Response
    url: str

    @property
    def status(self) -> int:
        """The status code."""
        return self.response.status

    def header(self, name: str) -> str:
        """A header's first value; "" when there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        key = name.lower().encode()
        return [value.decode("latin-1").strip() for one, value in self.response.headers if one.lower() == key]

    @property
    def length(self) -> int | None:
        """How many bytes are to come; None when the server does not say."""
        text = self.header("content-length")
        known = text.isascii() and text.isdigit() and not self.header("transfer-encoding")
        return int(text) if known else None

    @property
    def said(self) -> str:
        """The status as it is shown."""
        reason = bytes(self.response.extensions.get("reason_phrase", b"")).decode("ascii", "replace")
        return f"the server answered {self.status} {printable(reason)}".rstrip()


class Conversation:
    """What is asked of servers during one landing.

    Every request has a connection of its own: what a server sends beyond the length it announced would be taken for
    the answer to the next request.
    """

    def __init__(self, manners: Manners) -> None:
        import httpcore2  # noqa: PLC0415  # see above

        from lakehouse.sources.http.network import Deadline, VettedBackend  # noqa: PLC0415  # see above

        self._manners = manners
        self._deadline = Deadline(manners.deadline)
        backend = VettedBackend(self._deadline, allow_private=manners.allow_private)
        self._pool = httpcore2.ConnectionPool(network_backend=backend, max_keepalive_connections=0)
        self._next = 0.0  # on the monotonic clock
        self._refused: dict[Host, str] = {}

    def turned_away(self, url: str) -> bool:
        """Whether the host asked to be left alone for longer than anybody waits."""
        return host(url) in self._refused

    def begin(self) -> None:
        """Begin a download, whatever it takes to get it: the deadline counts from here."""
        self._deadline.begin()

    def ask(self, asked: Asked, stack: ExitStack, more: dict[str, str], fine: Collection[int]) -> Answer:
        """Ask until there is an answer that is not "come back later".

        Args:
            asked: for what.
            stack: closing it ends the answer.
            more: more headers.
            fine: statuses that are an answer.

        Raises:
            SourceError: there is none, or its status is another.
        """
        while True:
            if self.turned_away(asked.url):
                raise asked.error(self._refused[host(asked.url)])
            self._keep_to_the_rate()
            asked.left -= 1
            with translated(asked):
                answer = stack.enter_context(self._answer(asked, more))
            if answer.status in fine:
                return answer
            again = answer.status >= 500 or answer.status in _RETRYABLE
            later = retry_after(answer.header("retry-after"), answer.header("date")) if again else None
            stack.close()
            if later is None:
                raise asked.error(answer.said, retryable=again)
            if later > self._manners.max_wait or not self._deadline.allows(later):
                self._refused[host(asked.url)] = self._refused[host(answer.url)] = _come_back(answer, later)
                raise asked.error(_come_back(answer, later))
            if asked.left <= 0:
                raise asked.error(answer.said)
            time.sleep(later)

    def _keep_to_the_rate(self) -> None:
        wait = self._next - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._next = time.monotonic() + self._manners.pause

    @contextmanager
    def _answer(self, asked: Asked, more: dict[str, str]) -> Iterator[Answer]:
        """The answer after all redirects."""
        import httpx2  # noqa: PLC0415  # see above

        url, hops = asked.url, 0
        while True:
            target = str(httpx2.URL(bare(url)))  # as ASCII: the name by IDNA, the rest by percent signs
            headers = self._headers(url, asked.own) | more
            with self._pool.stream("GET", target, headers=headers, extensions=self._timeouts()) as response:  # type: ignore[arg-type]  # a dict of text is fine
                answer = Answer(response, url)
                location = answer.header("location")
                if answer.status not in _REDIRECTS or not location:
                    yield answer
                    return
            hops += 1
            if hops > _MAX_REDIRECTS:
                raise asked.error(f"redirects more than {_MAX_REDIRECTS} times")
            try:
                url = joined(url, location)
            except ValueError:
                told = printable(
                    re.sub("//[^/?#]*@", "//", location).partition("?")[0][:200]
                )  # no secrets of the server
                raise asked.error(f"redirects to {told!r}, which is not an http(s) address") from None

    def _headers(self, url: str, own: str) -> dict[str, str]:
        headers = {"User-Agent": "lakehouse", "Accept": "*/*", "Accept-Encoding": "identity"}
        if host(url) == host(own):
            # Only the host itself is told what was meant for it.
            parts = urlsplit(own)
            if parts.username is not None or parts.password is not None:
                headers["Authorization"] = _basic(unquote(parts.username or ""), unquote(parts.password or ""))
            if self._manners.auth is not None:
                headers["Authorization"] = self._manners.auth.header
            headers |= {name: secret.get_secret_value() for name, secret in self._manners.headers.items()}
        return headers

    def _timeouts(self) -> dict[str, Any]:
        return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._manners.timeout)}


@contextmanager
def translated(asked: Asked) -> Iterator[None]:
    """Errors of the network, as errors of the source."""
    import httpcore2  # noqa: PLC0415  # see above
    import httpx2  # noqa: PLC0415  # see above

    from lakehouse.sources.http.network import PrivateAddressError  # noqa: PLC0415  # see above

    try:
        yield
    except PrivateAddressError as error:
        raise asked.error(f"{error}; set allow_private: true if that is meant") from error
    except httpcore2.TimeoutException as error:
        raise asked.error(f"no answer in time ({error or type(error).__name__})", retryable=True) from error
    except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
        untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in error.args)
        raise asked.error(str(error) or type(error).__name__, retryable=not untrusted) from error
    except (httpx2.InvalidURL, httpcore2.UnsupportedProtocol, httpcore2.LocalProtocolError, UnicodeError):
        # Their messages and tracebacks hold the headers.
        raise asked.error("cannot be asked for: the address or a header is not valid HTTP") from None


def retry_after(value: str, date: str = "") -> float | None:
    """How many seconds a server asks to wait.

    Args:
        value: its ``Retry-After``: seconds, or a moment.
        date: its ``Date``, by which a moment is taken; else this machine's clock counts.

    Returns:
        None when it does not ask, or not in a way that is known.
    """
    if value.isascii() and value.isdigit():
        return float(value[:10])
    then = moment(value)
    if then is None:
        return None
    return max(0.0, (then - (moment(date) or datetime.now(UTC))).total_seconds())


def moment(value: str) -> datetime | None:
    """An HTTP date; None when it is none."""
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _come_back(answer: Answer, later: float) -> str:
    wait = timedelta(seconds=int(later))
    return f"{answer.said} and asks to come back in {written(wait)}, which is too long to wait (max_wait, deadline)"
