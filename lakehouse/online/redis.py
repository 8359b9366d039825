"""An online store on a Redis server: a hash a publication, a field a key, a command a look-up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import polars as pl

from lakehouse.errors import ConfigError, StorageError
from lakehouse.faults import point
from lakehouse.online.store import Found, Publication, Store, Table
from lakehouse.online.values import encoded, key_codes

try:
    import redis
except ImportError as error:
    raise ConfigError("an online store on Redis needs the extra: pip install 'lakehouse[redis]'") from error

__all__ = ["RedisStore"]

_PIECE = 5_000  # fields written at once
_TOLD = ""  # the field that holds what the publication is; those of keys are never empty
_UNFINISHED = 24 * 3600  # seconds after which what a killed publisher wrote goes
_TRIES = 10  # how often a look-up follows a publication that is replaced under it
_TIMEOUT = 30.0  # seconds for an answer


class RedisStore(Store):
    """An online store on a server.

    A publication is a hash, ``prefix:name:stamp``, and ``prefix:name`` says which one counts. What the publication is
    stands in a field of the same hash, so that one command answers with rows and what they are of.
    """

    text = True

    def __init__(self, url: str, redact: Callable[[str], str] = str) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        self._prefix = query.pop("prefix", "lakehouse")
        self._redact = redact
        self._where = f"{parts.hostname or '127.0.0.1'}:{parts.port or 6379}"
        options: dict[str, Any] = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": 5.0}
        try:
            self._server: Any = redis.Redis.from_url(urlunsplit(parts._replace(query=urlencode(query))), **options)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"online: the URL of the Redis server is none: {redact(str(error))}") from None
        self._known: dict[str, tuple[str, bytes, Publication]] = {}

    def publication(self, name: str) -> Publication | None:
        """See `Store`."""
        with self._translated():
            found = self._current(name)
            return None if found is None else found[2]

    def count(self, name: str) -> int:
        """See `Store`."""
        with self._translated():
            found = self._current(name)
            return 0 if found is None else max(0, int(self._server.hlen(found[0])) - 1)

    def replace(self, publication: Publication, rows: Sequence[Iterable[pl.DataFrame]]) -> None:
        """See `Store`."""
        with self._translated():
            place = f"{self._prefix}:{publication.name}:{publication.stamp}"
            self._server.unlink(place)
            self._server.hset(place, _TOLD, publication.to_json())
            self._server.expire(place, _UNFINISHED)
            for number, (table, pieces) in enumerate(zip(publication.tables, rows, strict=True)):
                for piece in pieces:
                    for part in piece.iter_slices(_PIECE):
                        self._server.hset(place, mapping=_fields(number, table, part))
            point("online.written")
            old = self._server.get(self._pointer(publication.name))
            with self._server.pipeline(transaction=True) as together:
                together.persist(place)
                together.set(self._pointer(publication.name), place)
                if old is not None and old != place.encode():
                    together.unlink(old)
                together.execute()

    def update(self, publication: Publication, rows: Sequence[pl.DataFrame], gone: Sequence[pl.DataFrame]) -> None:
        """See `Store`."""
        with self._translated():
            old = self._current(publication.name)
            if old is None or old[2].tables != publication.tables:
                raise StorageError(f"{self} no longer holds '{publication.name}' as it was published; publish it again")
            place = old[0]
            with self._server.pipeline(transaction=True) as together:
                for number, table in enumerate(publication.tables):
                    leaving = _names(number, (gone[number][name] for name in table.keys))
                    for start in range(0, len(leaving), _PIECE):
                        together.hdel(place, *leaving[start : start + _PIECE])
                    for part in rows[number].iter_slices(_PIECE):
                        together.hset(place, mapping=_fields(number, table, part))
                together.hset(place, _TOLD, publication.to_json())
                point("online.written")
                together.execute()

    def look_up(self, name: str, keys: Callable[[Publication], Sequence[Sequence[Sequence[Any]]]]) -> Found | None:
        """See `Store`."""
        with self._translated():
            for _ in range(_TRIES):
                known = self._known.get(name) or self._current(name)
                if known is None:
                    return None
                place, told, publication = known
                given = keys(publication)
                fields = [_TOLD, *(_name(number, key) for number, table in enumerate(given) for key in table)]
                answer = self._server.hmget(place, fields)
                if answer[0] is None:  # replaced since it was last looked up
                    self._known.pop(name, None)
                    continue
                if answer[0] != told:
                    publication = Publication.from_json(answer[0])
                    self._known[name] = (place, answer[0], publication)
                return Found(publication, _rows(publication, answer[1:], len(given[0])))
        raise StorageError(f"{self} does not hold '{name}' for as long as a look-up takes; try again")

    def close(self) -> None:
        """See `Store`."""
        self._server.close()

    def __str__(self) -> str:
        return f"the online store on Redis at {self._where}"

    def _pointer(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    def _current(self, name: str) -> tuple[str, bytes, Publication] | None:
        """Where the publication of a name is, what is told of it there, and that read."""
        for _ in range(_TRIES):
            pointed = self._server.get(self._pointer(name))
            if pointed is None:
                return None
            told = self._server.hget(pointed.decode(), _TOLD)
            if told is not None:
                found = self._known[name] = (pointed.decode(), told, Publication.from_json(told))
                return found
            if self._server.get(self._pointer(name)) == pointed:  # evicted, or taken away by somebody else
                return None
        return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StorageError(f"{self}: {self._redact(str(error))}") from None


def _name(table: int, key: Iterable[Any]) -> str:
    return json.dumps([table, *key], ensure_ascii=False, separators=(",", ":"))


def _names(number: int, keys: Iterable[pl.Series]) -> list[str]:
    codes = [key_codes(values) for values in keys]
    return [_name(number, key) for key in zip(*codes, strict=True)]


def _fields(number: int, table: Table, rows: pl.DataFrame) -> Mapping[str, str]:
    columns = [encoded(rows[name], text=True) for name in table.columns]
    kept = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in zip(*columns, strict=True))
    return dict(zip(_names(number, (rows[name] for name in table.keys)), kept, strict=True))


def _rows(publication: Publication, answer: Sequence[bytes | None], keys: int) -> list[tuple[Any, ...]]:
    parts = []
    for number, table in enumerate(publication.tables):
        nothing = (None,) * len(table.columns)
        of_table = answer[number * keys : (number + 1) * keys]
        parts.append([nothing if row is None else tuple(json.loads(row)) for row in of_table])
    return [tuple(value for part in row for value in part) for row in zip(*parts, strict=True)]
