"""Online stores: the newest values of every key, to be looked up in a moment. SQLite by default, Redis by URL.

A store holds publications by name. What a publication holds is replaced or updated as a whole: a reader sees what was
there before or what came after, never a part of either. A store is a copy: all it holds can be published again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.online.store import Found, Publication, Store, Table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Found", "Publication", "Store", "Table", "open"]


def open(url: str, redact: Callable[[str], str] = str) -> Store:  # noqa: A001  # online.open is what it does
    """An online store by its URL; nothing is made or connected to before it is used.

    Args:
        url: ``sqlite:///`` and a file's path, or ``redis://`` or ``rediss://`` with a server, and ``?prefix=`` where
            several lakes share one; checked by `config`.
        redact: takes secrets out of what errors say.

    Raises:
        ConfigError: it is Redis, and the extra ``lakehouse[redis]`` is not installed.
    """
    if url.startswith("sqlite:"):
        from lakehouse.online.sqlite import SqliteStore  # noqa: PLC0415  # a lake that serves nothing pays for neither

        return SqliteStore(url)
    from lakehouse.online.redis import RedisStore  # noqa: PLC0415

    return RedisStore(url, redact)
