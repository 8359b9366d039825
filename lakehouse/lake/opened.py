"""An open lake's own parts, which all its methods work on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from lakehouse import config as configuration
from lakehouse import environment, openlineage, versions
from lakehouse.config import Config
from lakehouse.errors import ConfigError
from lakehouse.metadata import Ledger
from lakehouse.records import Clock, Curated, Landed, Ran, Report, silent, utc_now
from lakehouse.site import Site
from lakehouse.storage import Storage

__all__ = ["Opened"]

Done = TypeVar("Done", Landed, Curated, Ran)


class Opened:
    """What is open of a lake: its configuration, its files, its ledger."""

    def __init__(
        self,
        configs: str | Path | Config = "configs",
        *,
        env: str | None = None,
        report: Report = silent,
        clock: Clock = utc_now,
        lock: str | Path | None = None,
    ) -> None:
        self.config = configs if isinstance(configs, Config) else configuration.load(Path(configs), env)
        listener = openlineage.listener(self.config, clock)
        storage = Storage(self.config.root, clock)
        known = storage.root if storage.in_use() else None  # a new, empty ledger would hide the data
        ledger = Ledger(self.config.metadata.get_secret_value(), clock, lake=known)
        captured = environment.capture(self.config.project)
        self._site = Site(self.config, storage, ledger, clock, captured, report=report, listener=listener)
        if lock is not None:
            try:
                self._site = replace(self._site, pinned=versions.pinned(self._site, Path(lock)))
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the ledger."""
        self._site.listener.close()
        self._site.ledger.close()

    def _writable(self) -> Site:
        """What operations work on that make versions.

        Raises:
            ConfigError: the lake was opened with a lock: it would not see what they make.
        """
        if self._site.pinned is not None:
            raise ConfigError("this lake was opened with a lock, and only reads; open it without one to land or curate")
        return self._site

    def _heard(self, done: Done) -> Done:
        """What was done, with what went wrong where others were told of it."""
        return replace(done, notes=(*done.notes, *self._site.listener.settle()))
