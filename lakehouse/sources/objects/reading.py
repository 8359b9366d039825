"""Reading objects, each only as long as it is the one that was listed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import AzureStore, GCSStore, S3Store

from lakehouse.errors import SourceError
from lakehouse.sources import Download, Offer
from lakehouse.sources.objects.failures import Failures, reason

__all__ = ["ObjectOffer", "Store", "mark"]

_CHUNK = 1 << 20
_GONE = "is gone since it was listed, or its key ends in '/', which cannot be read"

Store: TypeAlias = S3Store | GCSStore | AzureStore


@dataclass
class ObjectOffer(Offer):
    """One object as it was listed."""

    failures: Failures
    store: Store
    meta: obstore.ObjectMeta
    origin: str
    name: str
    unchanged: bool = False

    @contextmanager
    def open(self) -> Iterator[Download]:
        """Get just the object that was listed; what came in its place since is listed anew for the next try."""
        key, tag = self.meta["path"], self.meta["e_tag"]
        try:
            found = obstore.get(self.store, key, options={"if_match": tag} if tag else None)
            if mark(found.meta) != mark(self.meta) or found.meta["size"] != self.meta["size"]:
                self.meta = found.meta
                raise self._changed()
        except PreconditionError:
            self._look_again(key)
            raise self._changed() from None
        except FileNotFoundError:
            raise self.failures.error(self.origin, _GONE) from None
        except BaseError as error:
            raise self.failures.of(self.origin, error) from None
        meta = found.meta
        facts = {"etag": tag, "version": meta["version"], "last_modified": meta["last_modified"].isoformat()}
        yield Download(
            chunks=self._chunks(found, meta["size"]),
            size=meta["size"],
            modified=mark(meta),
            facts={name: value for name, value in facts.items() if value is not None},
        )

    def _look_again(self, key: str) -> None:
        try:
            self.meta = obstore.head(self.store, key)
        except FileNotFoundError:
            raise self.failures.error(self.origin, _GONE) from None
        except BaseError as error:
            raise self.failures.of(self.origin, error) from None

    def _chunks(self, found: obstore.GetResult, size: int) -> Iterator[bytes]:
        done = 0
        try:
            for chunk in found.stream(min_chunk_size=_CHUNK):
                done += len(chunk)
                yield chunk
        except (BaseError, OSError) as error:
            why, _ = reason(error)
            text = f"was cut off after {done:,} of {size:,} bytes: {why}"
            raise self.failures.error(self.origin, text, retryable=True) from None

    def _changed(self) -> SourceError:
        return self.failures.error(self.origin, "was replaced while it was read", retryable=True)


def mark(meta: obstore.ObjectMeta) -> str:
    """What tells two states of an object apart."""
    return meta["e_tag"] or meta["last_modified"].isoformat()
