"""Landing, curating, running."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from lakehouse import curation, landing, running, scheduling
from lakehouse.errors import ConfigError
from lakehouse.lake.opened import Opened
from lakehouse.moments import moment
from lakehouse.records import Curated, Interval, Landed, Ran

__all__ = ["Working"]


class Working(Opened):
    """Landing, curating, running."""

    def land(self, source: str, *, start: datetime | str | None = None, end: datetime | str | None = None) -> Landed:
        """Copy a source's new files into the raw zone, untouched.

        Args:
            source: the source.
            start: where the stretch of time begins that the source is asked for, where it says ``{start}``.
            end: where it ends, itself left out.

        Raises:
            NotFoundError: no such source.
            ConfigError: the source asks for a stretch of time, and none was given.
            SourceError: the source as a whole cannot be read.
            StorageError: the lake's disk refused.
        """
        site = replace(self._writable(), interval=self._interval(start, end))
        return self._heard(landing.land(site, source))

    def land_file(self, source: str, path: str | Path) -> Landed:
        """Land one local file into a source, whether or not the source would find it."""
        return self._heard(landing.land_file(self._writable(), source, Path(path)))

    def land_bytes(self, source: str, name: str, stream: bytes | BinaryIO | Iterable[bytes]) -> Landed:
        """Land bytes that are pushed: all of a stream, or nothing when it breaks.

        The same bytes under the same name again change nothing; other bytes under it take the place of the rows of
        the older ones (unless the dataset says ``on_changed_file: append``).

        Args:
            source: the source, of any type; ``push`` is one that has no files of its own.
            name: what the file is called; never a path.
            stream: bytes, a file opened in binary mode, or the bytes in pieces.

        Raises:
            NotFoundError: no such source.
            ConfigError: no file can have that name.
            StorageError: the lake's disk refused.
        """
        return self._heard(landing.land_bytes(self._writable(), source, name, stream))

    def curate(
        self,
        dataset: str,
        *,
        again: bool = False,
        raw: Sequence[str] | None = None,
        since: datetime | str | None = None,
    ) -> Curated:
        """Turn a dataset's pending raw files into rows, in one commit; or derive it anew from its inputs.

        Args:
            dataset: the dataset, ``subject/name``.
            again: take all raw files again; the new rows supersede the old ones.
            raw: take these raw files (by sha256 or its beginning) again.
            since: take the raw files again that were landed at this moment or later.

        Raises:
            NotFoundError: no such dataset or raw file.
            SchemaError: a batch broke its schema as a whole; nothing of it was appended.
        """
        return self._heard(curation.curate(self._writable(), dataset, again=again, raw=raw, since=since))

    def run(
        self,
        job: str,
        *,
        downstream: bool = False,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
    ) -> Ran:
        """Land and curate all datasets of a job, each after those that it is made from.

        What fails is told in the result and stops nothing else.

        Args:
            job: the job.
            downstream: derive the datasets outside the job too that are made from its own.
            start: where the stretch of time begins that its sources are asked for; without it, where one asks and the
                job has a schedule or ``every``, that of the newest time it was due.
            end: where it ends, itself left out.

        Raises:
            NotFoundError: no such job.
            ConfigError: the function of one of its datasets cannot be loaded.
            CommitError: the job is running already; says who runs it.
        """
        interval = self._interval(start, end) or scheduling.newest_interval(self._site, job)
        return self._heard(running.run(self._writable(), job, downstream=downstream, interval=interval))

    def _interval(self, start: datetime | str | None, end: datetime | str | None) -> Interval | None:
        """A stretch of time as it was given.

        Raises:
            ConfigError: one end alone, one that is no moment, or both the wrong way round.
        """
        if start is None and end is None:
            return None
        if start is None or end is None:
            raise ConfigError("a stretch of time has two ends: give start and end (--from and --to)")
        begin, stop = (moment(m, self.config.timezone, name) for m, name in ((start, "start"), (end, "end")))
        if begin >= stop:
            raise ConfigError(f"the stretch of time ends ({stop.isoformat()}) before it begins ({begin.isoformat()})")
        return Interval(begin, stop)
