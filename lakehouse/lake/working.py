"""Landing, curating, running."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lakehouse import curation, landing, running
from lakehouse.lake.opened import Opened
from lakehouse.records import Curated, Landed, Ran

__all__ = ["Working"]


class Working(Opened):
    """Landing, curating, running."""

    def land(self, source: str) -> Landed:
        """Copy a source's new files into the raw zone, untouched.

        Raises:
            NotFoundError: no such source.
            SourceError: the source as a whole cannot be read.
            StorageError: the lake's disk refused.
        """
        return self._heard(landing.land(self._site, source))

    def land_file(self, source: str, path: str | Path) -> Landed:
        """Land one local file into a source, whether or not the source would find it."""
        return self._heard(landing.land_file(self._site, source, Path(path)))

    def curate(self, dataset: str, *, again: bool = False, raw: Sequence[str] | None = None) -> Curated:
        """Turn a dataset's pending raw files into rows, in one commit.

        Args:
            dataset: the dataset, ``subject/name``.
            again: take all raw files again; the new rows supersede the old ones.
            raw: take these raw files (by sha256 or its beginning) again.

        Raises:
            NotFoundError: no such dataset or raw file.
            SchemaError: a batch broke its schema as a whole; nothing of it was appended.
        """
        return self._heard(curation.curate(self._site, dataset, again=again, raw=raw))

    def run(self, job: str) -> Ran:
        """Land and curate all datasets of a job; what fails is told in the result and stops nothing else.

        Raises:
            NotFoundError: no such job.
            ConfigError: the function of one of its datasets cannot be loaded.
            CommitError: the job is running already; says who runs it.
        """
        return self._heard(running.run(self._site, job))
