"""One file behind an address: asked for, continued where the connection was cut, held against its checksum."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from lakehouse.errors import SourceError
from lakehouse.records import printable
from lakehouse.sources import Download, Offer
from lakehouse.sources.http.addresses import bare, disposition, without_query
from lakehouse.sources.http.asking import Answer, Asked, Conversation, moment, translated
from lakehouse.sources.http.checksums import Checksum, Digest, Expected, find

__all__ = ["HttpOffer"]

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_CHECKSUM_BYTES = 16 << 20
_GONE = (404, 410)
_PAUSE = 0.1  # seconds before a cut download goes on; twice as long each time


@dataclass
class HttpOffer(Offer):
    """One address. Its name may become better once the server answered (``Content-Disposition``).

    Attributes:
        asked: the address, and how often it may still be asked for.
        mark: what the server called the bytes that were landed last.
        checksum: where its checksum is told; ``checksum_url`` is the address, when there is one.
        may_be_missing: whether it is awaited, not an error, when there is no such file.
    """

    talk: Conversation
    asked: Asked
    origin: str
    name: str
    max_size: int
    mark: str = ""
    checksum: Checksum | None = None
    checksum_url: str = ""
    may_be_missing: bool = False

    @contextmanager
    def open(self) -> Iterator[Download | None]:
        """Get the address, following redirects; None when the server says that nothing changed."""
        self.awaited = ""
        kind, _, value = self.mark.partition(":")
        header = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}.get(kind)
        fine = {200} | ({304} if header else set()) | (set(_GONE) if self.may_be_missing else set())
        self.talk.begin()
        with ExitStack() as stack:
            answer = self.talk.ask(self.asked, stack, {header: value} if header else {}, fine)
            if answer.status == 304:
                yield None
            elif answer.status in _GONE:
                self.awaited = f"{answer.said}: not there yet; it is asked for again by the next landing"
                yield None
            else:
                yield self._download(answer, stack)

    def _download(self, answer: Answer, stack: ExitStack) -> Download:
        if answer.length is not None and answer.length > self.max_size:
            raise self._too_large()
        self.name = self.asked.redact(disposition(answer.header("content-disposition"))) or self.name
        mark = _mark(answer)
        # A server may say a secret back.
        storable = mark.isprintable() and self.asked.redact(mark) == mark
        download = Download(size=answer.length, modified=mark if storable else "", facts=self._facts(answer))
        download.chunks = self._taken(download, _Body(self, answer, stack))
        return download

    def _facts(self, answer: Answer) -> dict[str, Any]:
        # What a server adds to an address it redirects to is often a signature.
        final = bare(answer.url) if answer.url == self.asked.url else without_query(answer.url)
        facts: dict[str, Any] = {"url": final, "status": answer.status}
        for name in ("content-type", "content-encoding", "etag", "last-modified"):
            if value := answer.header(name):
                facts[name.replace("-", "_")] = printable(value)[:500]
        return {key: self.asked.redact(value) if isinstance(value, str) else value for key, value in facts.items()}

    def _taken(self, download: Download, body: _Body) -> Iterator[bytes]:
        """The body's bytes, counted and hashed as they pass."""
        digest = self._digest()
        for chunk in body.chunks():
            if body.done > self.max_size:
                raise self._too_large()
            if digest:
                digest.update(chunk)
            yield chunk
        if body.resumed:
            download.facts["resumed"] = body.resumed
        if digest and digest.value != digest.expected.value:
            told = f"{digest.expected} was expected, {digest.value} came"
            encoding = body.answer.header("content-encoding")
            hint = f"; the server sent it with Content-Encoding {printable(encoding)}" if encoding else ""
            raise self.asked.error(f"the checksum does not match: {told}{hint}", retryable=True)
        if digest:
            by = self.asked.redact(without_query(self.checksum_url)) if self.checksum_url else "configuration"
            download.facts["checksum"] = {"verified": str(digest.expected), "by": by}

    def _digest(self) -> Digest | None:
        if self.checksum is None:
            return None
        return Digest(self.checksum.known or self._told())

    def _told(self) -> Expected:
        """What the checksum file says."""
        url = self.checksum_url
        shown = f"{self.asked.shown}: its checksum file {bare(url)}"
        file = Asked(url, self.asked.own, shown, max(1, self.asked.left), self.asked.redact)
        text = bytearray()
        with ExitStack() as stack:
            answer = self.talk.ask(file, stack, {}, {200})
            with translated(file):
                for chunk in answer.response.iter_stream():
                    text += chunk
                    if len(text) > _CHECKSUM_BYTES:
                        raise file.error(f"is larger than {_CHECKSUM_BYTES:,} bytes")
        try:
            return find(text.decode("utf-8", "replace"), self.asked.url)
        except ValueError as error:
            raise file.error(printable(str(error))) from None

    def _too_large(self) -> SourceError:
        return self.asked.error(f"is larger than max_size ({self.max_size:,} bytes)")


@dataclass
class _Body:
    """The bytes of a file, from as many answers as it takes.

    Attributes:
        done: bytes that came.
        size: how many there are, as soon as that is known.
        resumed: how often it went on after a cut.
    """

    offer: HttpOffer
    answer: Answer
    stack: ExitStack
    done: int = 0
    resumed: int = 0
    size: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.answer.length

    def chunks(self) -> Iterator[bytes]:
        """All bytes, none twice."""
        import httpcore2  # noqa: PLC0415  # 0.1 s that a configuration without an http source need not spend

        validator = _strong(self.answer)
        parts = self.answer.response.iter_stream()
        while True:
            try:
                for chunk in parts:
                    self.done += len(chunk)
                    yield chunk
                if self.size is None or self.done >= self.size:
                    return
                error: Exception = ValueError("the server ended it")
            except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.RemoteProtocolError) as caught:
                error = caught
            self.stack.close()
            of = f" of {self.size:,}" if self.size is not None else ""
            cut = self._error(f"was cut off after {self.done:,} bytes{of}: {error or type(error).__name__}")
            if not validator or not self.done or not cut.retryable:
                raise cut from error
            parts = self._rest(validator, cut)

    def _rest(self, validator: str, cut: SourceError) -> Iterator[bytes]:
        """What is still to come, from another answer.

        Raises:
            SourceError: the server has no rest of the same file; the download may begin anew.
        """
        self.resumed += 1
        more = {"Range": f"bytes={self.done}-", "If-Range": validator}
        for wait in itertools.count():
            time.sleep(min(_PAUSE * 2**wait, 30))
            try:
                answer = self.offer.talk.ask(self.offer.asked, self.stack, more, {200, 206, 416})
                break
            except SourceError as error:
                if not error.retryable:
                    raise
        if answer.status == 206 and self._goes_on(answer, validator):
            return answer.response.iter_stream()
        if answer.status == 200 and _strong(answer) == validator and answer.length == self.size:
            # The same file from its beginning: what came is passed over, not asked for once more.
            return _after(answer.response.iter_stream(), self.done)
        self.stack.close()
        raise self._error("the server does not go on with the same file; it is begun anew") from cut

    def _goes_on(self, answer: Answer, validator: str) -> bool:
        """Whether a partial answer is what was asked for: the same file, from the next byte on."""
        match = _CONTENT_RANGE.fullmatch(answer.header("content-range"))
        told = answer.header("etag" if validator.endswith('"') else "last-modified")
        encodings = {one.header("content-encoding") for one in (answer, self.answer)}
        if match is None or told not in ("", validator) or len(encodings) > 1:
            return False
        first, last = int(match[1]), int(match[2])
        total = None if match[3] == "*" else int(match[3])
        if first != self.done or last < first or (answer.length is not None and answer.length != last - first + 1):
            return False
        if total is None or last >= total or (self.size is not None and total != self.size):
            return False
        self.size = total
        return True

    def _error(self, text: str) -> SourceError:
        return self.offer.asked.error(text, retryable=True)


def _after(parts: Iterator[bytes], skipped: int) -> Iterator[bytes]:
    for chunk in parts:
        yield chunk[skipped:]
        skipped = max(0, skipped - len(chunk))


def _mark(answer: Answer) -> str:
    etag, changed = answer.header("etag"), answer.header("last-modified")
    return f"etag:{etag}" if etag else f"last-modified:{changed}" if changed else ""


def _strong(answer: Answer) -> str:
    """What names the very bytes of an answer: a strong ETag, or a date that is over; "" when nothing does."""
    etag, changed = answer.header("etag"), answer.header("last-modified")
    if etag.startswith('"') and etag.endswith('"') and len(etag) > 1 and etag.isascii() and etag.isprintable():
        return etag
    then, now = moment(changed), moment(answer.header("date"))
    if etag or then is None or now is None or now - then < timedelta(seconds=1):
        return ""  # the file may have changed twice in that second
    return changed
