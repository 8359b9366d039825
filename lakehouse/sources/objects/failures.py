"""What went wrong at a bucket, in our words: the library's own hold addresses and what the server said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

from lakehouse.errors import SourceError
from lakehouse.records import printable

__all__ = ["Failures", "reason"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NAMED = re.compile(r'(?:Path|path) "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Failures:
    """How a source says what failed.

    Attributes:
        redact: takes secrets out of text.
        secrets: what it may not know of: those that were written into the YAML itself.
    """

    redact: Callable[[str], str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def of(self, where: str, error: Exception) -> SourceError:
        """An error of the library."""
        text, retryable = reason(error)
        return self.error(where, text, retryable=retryable)

    def error(self, where: str, text: str, *, retryable: bool = False) -> SourceError:
        """What we found ourselves."""
        shown = self.redact(f"{printable(where)}: {text}")
        for secret in self.secrets:
            shown = shown.replace(secret, "***") if len(secret) > 3 else shown
        return SourceError(shown, retryable=retryable)


def reason(error: Exception) -> tuple[str, bool]:
    """What went wrong and what to do, and whether trying again may help."""
    text = str(error)
    status = int(match[1]) if (match := _STATUS.search(text)) else 0
    code = match[1] if (match := _CODE.search(text)) else ""
    answered = f" (the server answered {' '.join(filter(None, (str(status or ''), code)))})" if status else ""
    if isinstance(error, InvalidPathError):
        named = match[1] if (match := _NAMED.search(text)) else ""
        return (
            f"holds the key '{printable(named)}', which cannot be listed: a part of it is '', '.' or '..', "
            "or it holds a control character; name a folder beside it, or rename the object"
        ), False
    if code in ("NoSuchBucket", "ContainerNotFound"):
        return f"there is no such bucket{answered}; look at path, endpoint and region", False
    if isinstance(error, FileNotFoundError) or status == 404:
        return f"there is no such object or bucket{answered}; look at path and endpoint", False
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or status in (401, 403):
        return f"access denied{answered}; look at the credentials, and whether they may list and read here", False
    if status in (301, 307, 400):
        return f"the request was refused{answered}; look at region and endpoint", False
    if status:
        return f"the request failed{answered}", status >= 500 or status in (408, 425, 429)
    low = text.lower()
    for words, cause, retryable in _CAUSES:
        if any(word in low for word in words):
            return cause, retryable
    return "the request failed", True


_CAUSES = (
    (("invalid list response",), "what the server answered is no listing of objects; look at endpoint", False),
    (
        ("credential", "private_key", "missing", "base64", "decode"),
        "the credentials cannot be used; look how they are written",
        False,
    ),
    (("builder error",), "the address cannot be asked for; look at endpoint", False),
    (("certificate", "unknownissuer"), "the server's certificate is not trusted", False),
    (("dns error", "failed to lookup"), "the name of the server cannot be resolved; look at endpoint and region", True),
    (("timedout", "timed out"), "no answer in time", True),
    (("connect",), "the server cannot be reached", True),
)
