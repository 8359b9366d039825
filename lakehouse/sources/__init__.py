"""Where raw files come from: one kind a module, each a frozen pydantic model whose fields are its YAML."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny, model_validator

from lakehouse.formats import Format
from lakehouse.records import Fidelity, Interval, Sighting
from lakehouse.sources import intervals
from lakehouse.units import Timezone

__all__ = ["Download", "Offer", "Seen", "Source"]


class Seen(dict[str, Sighting]):
    """The newest sighting of each origin, and the bytes that were landed then.

    Args:
        sightings: they.
        landed: where the bytes of one lie in the raw zone.
    """

    def __init__(self, sightings: Iterable[Sighting] = (), landed: Callable[[Sighting], Path] | None = None) -> None:
        super().__init__((sighting.origin, sighting) for sighting in sightings)
        self._landed = landed

    def bytes_of(self, origin: str) -> Path:
        """The raw file that lay at an origin when it was last seen; only to be read.

        Raises:
            KeyError: it never was.
            NotFoundError: the lake has lost it.
        """
        sighting = self[origin]
        if self._landed is None:
            raise KeyError(origin)
        return self._landed(sighting)


@dataclass(slots=True)
class Download:
    """The bytes of one offered file, once.

    Exactly one of ``path`` (a local file the kernel can copy) and ``chunks`` is set. What is known only once the bytes
    have come (``modified``, ``facts``, ``told``) may be set while ``chunks`` is drained: it is looked at afterwards.

    Attributes:
        size: bytes the source says there are; None when it does not say. Fewer or more is an error.
        modified: as in `Sighting`.
        fidelity: how near the bytes are to what the source holds.
        facts: what else the manifest is to say of them, as JSON values: a query, column types, a position. No secrets.
        told: what a person should know of how they came; "" where that is plain.
    """

    path: Path | None = None
    chunks: Iterator[bytes] | None = None
    size: int | None = None
    modified: str = ""
    fidelity: Fidelity = "bytes"
    facts: dict[str, Any] = field(default_factory=dict)
    told: str = ""


class Offer(abc.ABC):
    """A file a source has. Opening it may be tried again after a retryable SourceError.

    Attributes:
        origin: its address at the source: a path (below the project's folder where it can be), a URL.
        name: the file's own name, as it will be stored (never a path).
        settling: seconds until it counts as whole; 0 when it does.
        unchanged: the source itself can tell that the newest sighting still holds (same size and mtime).
        awaited: set where ``open`` gives None because the file is not there yet: what to tell of that.
    """

    origin: str
    name: str
    settling: float = 0.0
    unchanged: bool = False
    awaited: str = ""

    @abc.abstractmethod
    def open(self) -> AbstractContextManager[Download | None]:
        """Give the bytes; None when the source answers that nothing changed (HTTP 304), or is `awaited`.

        Raises:
            SourceError: the bytes could not be had, or were cut short.
        """

    def landed(self) -> str:
        """Called once the bytes are landed and recorded, also when they were already; again after a crash.

        Returns:
            What was done then, for people; "" for nothing.

        Raises:
            SourceError: what the source does then failed; the bytes stay landed.
        """
        return ""


class Source(BaseModel, abc.ABC):
    """The base of every source: ``type`` picks the kind, ``format`` says how its files are read.

    A kind whose files have one format only says it as ``own_format``; its YAML needs none then. ``asking`` names the
    fields that may ask for a stretch of time (`intervals`); one that is ``watchable`` tells cheaply whether it has new
    files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    own_format: ClassVar[str | None] = None
    asking: ClassVar[tuple[str, ...]] = ()
    watchable: ClassVar[bool] = False

    type: str
    description: str = ""
    format: SerializeAsAny[Format]
    attempts: int = Field(3, ge=1, le=20, description="tries a file before the source counts as failed")
    timezone: Timezone | None = Field(None, description="of the moments that it is asked for; else the lake's, or UTC")

    _folder: Path = PrivateAttr(default=Path())
    _redact: Callable[[str], str] = PrivateAttr(default=str)
    _zones: tuple[Path, ...] = PrivateAttr(default=())
    _interval: Interval | None = PrivateAttr(default=None)
    _zone: ZoneInfo = PrivateAttr(default=ZoneInfo("UTC"))

    @model_validator(mode="after")
    def _asks_as_one_can(self) -> Self:
        for name in self.asking:
            for text in intervals.texts(getattr(self, name)):
                try:
                    intervals.asked(text)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return self

    @property
    def timed(self) -> bool:
        """Whether it asks for a stretch of time."""
        return any(intervals.asked(text) for name in self.asking for text in intervals.texts(getattr(self, name)))

    def during(self, interval: Interval) -> Self:
        """The same source, asked for a stretch of time."""
        asked = self.model_copy(update={name: self._filled(name, interval) for name in self.asking})
        asked._interval = interval if self.timed else None  # noqa: SLF001  # its own copy
        return asked

    def _filled(self, name: str, interval: Interval) -> Any:
        """A field's value with the moments in it."""
        return intervals.filled(getattr(self, name), interval, self._zone)

    def _span(self) -> str:
        """The stretch of time as part of an origin; "" where none was asked for."""
        if self._interval is None:
            return ""
        ends = self._interval.start.astimezone(UTC), self._interval.end.astimezone(UTC)
        return "..".join(intervals.written(end) for end in ends)

    def within(
        self,
        folder: Path,
        redact: Callable[[str], str] = str,
        zones: tuple[Path, ...] = (),
        timezone: str | None = None,
    ) -> Self:
        """The same source in a project.

        Args:
            folder: where its relative paths start.
            redact: takes secrets out of what it shows: origins, names, messages.
            zones: the lake's own folders, whose files are never offered.
            timezone: the lake's own.
        """
        bound = self.model_copy()
        bound._zone = ZoneInfo(self.timezone or timezone or "UTC")  # noqa: SLF001  # as below
        bound._folder, bound._redact, bound._zones = folder, redact, zones  # noqa: SLF001  # its own copy
        return bound

    def __repr__(self) -> str:
        return self._redact(super().__repr__())

    __str__ = __repr__

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str | dict[str, Any] | None:
        """What a source whose YAML names no format has; None where it must name one.

        Args:
            data: its YAML, not checked yet.
        """
        del data  # most kinds have one, or none
        return cls.own_format

    def unfit(self, history: str) -> str:
        """Why its files cannot feed a dataset with such a ``history``; "" where they can."""
        del history  # most kinds of source can feed every kind of dataset
        return ""

    def places(self) -> tuple[str, ...]:
        """Where its files lie, for catalogs: URIs of folders and files, without secrets; none where it cannot say."""
        return ()

    @abc.abstractmethod
    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """The files that are there now, in order.

        Args:
            seen: the newest sighting of each origin; changes under the source's hands as its files are landed.
            now: the moment (UTC), for ``settle``.

        Raises:
            SourceError: the source as a whole cannot be read.
        """
