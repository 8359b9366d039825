"""Addresses and the names files have there: which are taken, how they are shown, how they are changed."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote, unquote, unquote_plus, urljoin, urlsplit, urlunsplit

from pydantic import AfterValidator

__all__ = [
    "Host",
    "Url",
    "bare",
    "checked",
    "disposition",
    "host",
    "joined",
    "safe_name",
    "with_query",
    "without_query",
]

Host = tuple[str, str | None, int | None]
"""Scheme, name and port."""

_EXTENDED = re.compile(r"filename\*\s*=\s*(?:utf-8|iso-8859-1)'[^']*'([^;\s]+)", re.IGNORECASE)
_PLAIN = re.compile(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE)


def checked(value: str) -> str:
    """The address, when it is one of http(s).

    Raises:
        ValueError: it is not.
    """
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError("must be an address that starts with http:// or https:// and names a host")
    return value


Url = Annotated[str, AfterValidator(checked)]


def bare(url: str) -> str:
    """The address without user, password and fragment."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="", path=parts.path or "/"))


def without_query(url: str) -> str:
    """The bare address up to its question mark."""
    return bare(url).partition("?")[0]


def host(url: str) -> Host:
    """Whom an address asks."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def joined(url: str, link: str) -> str:
    """Where a link in the answer of an address leads.

    Raises:
        ValueError: to something that is no http(s) address.
    """
    return checked(urljoin(bare(url), link))


def with_query(url: str, parameter: str, value: str) -> str:
    """The address with one parameter of its query set, everything else as it is."""
    parts = urlsplit(url)
    kept = [one for one in parts.query.split("&") if one and unquote_plus(one.partition("=")[0]) != parameter]
    query = "&".join([*kept, f"{quote(parameter, safe='')}={quote(value, safe='')}"])
    return urlunsplit(parts._replace(query=query))


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


def disposition(header: str) -> str:
    """The file's name in a ``Content-Disposition``; "" when it has none."""
    extended = _EXTENDED.search(header)
    if extended:
        return safe_name(unquote(extended[1]))
    plain = _PLAIN.search(header)
    return safe_name(re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]) if plain else ""
