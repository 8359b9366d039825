"""The lake: the one object users hold. Each method calls one operation; the methods stand by what they are for."""

from __future__ import annotations

from pathlib import Path

from lakehouse import config as configuration
from lakehouse import repair, scaffold
from lakehouse.lake.evolving import Evolving
from lakehouse.lake.explaining import Explaining
from lakehouse.lake.keeping import Keeping
from lakehouse.lake.reading import Reading
from lakehouse.lake.scheduling import Scheduling
from lakehouse.lake.serving import Serving
from lakehouse.lake.working import Working
from lakehouse.records import Clock, Repaired, Report, silent, utc_now
from lakehouse.storage import Storage

__all__ = ["Lake"]


class Lake(Working, Scheduling, Reading, Evolving, Explaining, Keeping, Serving):
    """A lake, opened by its configuration.

    Args:
        configs: the folder with ``lakehouse.yaml``, ``sources/``, ``datasets/`` and ``jobs/``; or a configuration that
            was read already, as `Lake.config` is.
        env: which of the configuration's environments; None takes ``LAKEHOUSE_ENV``, else none.
        report: told about progress.
        clock: gives the moments that are recorded; aware, UTC.
        lock: a file that `pin` wrote: what is read without a version, moment or tag is what that pins. Such a lake
            lands and curates nothing, as it would not see what that makes.

    Raises:
        ConfigError: the configuration says something impossible; every problem at once. Or the lock is none.
        MetadataError: the ledger cannot be opened.
        NotFoundError: the lock is not there, or pins what the lake does not hold.
        IntegrityError: a version is not the one that was pinned.
    """

    @staticmethod
    def init(folder: str | Path = ".", *, from_: str | Path | None = None) -> scaffold.Scaffolded:
        """Write a new lake's configuration into a folder: a small starting set, or one for the user's own files.

        Args:
            folder: the project's folder; made where there is none.
            from_: a file or folder to write sources, datasets and schemas for.

        Raises:
            ConfigError: files would be overwritten, or ``from_`` holds nothing readable; nothing was written.
            StorageError: the disk refused.
        """
        return scaffold.init(Path(folder), None if from_ is None else Path(from_))

    @staticmethod
    def repair(
        configs: str | Path = "configs", *, env: str | None = None, report: Report = silent, clock: Clock = utc_now
    ) -> Repaired:
        """Make a lost or damaged ledger again from what the lake holds, and mend what `check` says this mends.

        Takes no open lake, as a lake without its ledger does not open. A damaged ledger is set aside, never
        thrown away; raw bytes and tables are not touched.

        Args:
            configs: as for a lake.
            env: as for a lake.
            report: told about progress.
            clock: as for a lake.

        Raises:
            CommitError: somebody is at work in the lake just now; nothing was changed.
            MetadataError: a ledger on a server is not whole, or it is one in memory; nothing was changed.
        """
        config = configuration.load(Path(configs), env)
        return repair.repair(config, Storage(config.root, clock), clock, report)
