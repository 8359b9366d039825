"""Features of things: for training as they were known at any time, for serving as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, overload

import polars as pl

from lakehouse import features as feature
from lakehouse.lake.opened import Opened
from lakehouse.online import Store
from lakehouse.online import open as open_store

__all__ = ["Serving"]


class Serving(Opened):
    """Features of things: for training as they were known at any time, for serving as they are now."""

    def features(  # noqa: PLR0913  # by keyword only
        self,
        spine: Any,
        features: str | Sequence[str],
        *,
        time: str | None = None,
        ttl: feature.TTL = None,
        as_known: bool | None = None,
        as_of: datetime | str | None = None,
        tag: str | None = None,
        versions: Mapping[str, int] | None = None,
        save: str | None = None,
    ) -> pl.DataFrame:
        """Join to each row of a spine what was true of its keys at its time: never anything of later.

        Of each dataset the newest row of the same keys whose event time is not after the spine's: of ``events`` by
        their ``event_time``, of ``changes`` and ``snapshots`` by since when a state is valid; of a deleted key nothing.

        Args:
            spine: what features are wanted for: the datasets' keys (without their event time), one column of times,
                and whatever else. A polars DataFrame or LazyFrame, an Arrow table or a pandas DataFrame.
            features: a feature set's name, or ``aviation/weather:temp``, ``aviation/weather:temp as dest_temp``,
                ``aviation/weather:*``.
            time: the spine's column of times (Datetime with a zone, or Date: midnight UTC); None takes
                ``event_time`` or ``event_timestamp``.
            ttl: how old a value may be, in elapsed time: ``"3d"``, a timedelta, or a mapping by dataset; 0 is any age,
                None what the feature set says.
            as_known: join only what the lake showed by a row's time, as reads ``as_of`` that time do; None is what
                the feature set says, else False.
            as_of: of the datasets as they were visible at this moment.
            tag: of the versions that a tag names.
            versions: of these versions, by dataset.
            save: keep the result as a training set of this name; `training_set` finds it again.

        Returns:
            The spine's rows, all of them, in their order, with their columns as they were, then the features; null
            where nothing is known.

        Raises:
            NotFoundError: no such set, dataset, feature, version or column; suggests the nearest.
            ConfigError: a feature's column is there already, or keys or times cannot be compared.
            StorageError: a part of a table is gone or damaged.
        """
        if save is not None:
            feature.usable(save)
        made = feature.assemble(
            self._site,
            spine,
            features,
            time=time,
            ttl=ttl,
            as_known=as_known,
            as_of=as_of,
            tag=tag,
            versions=versions,
        )
        if save is not None:
            feature.save(self._site, made, save)
        return made.frame

    def training_set(self, name: str, number: int | None = None) -> feature.TrainingSet:
        """A spine with its features that `features` saved: what it was made of, and its rows by ``read()``.

        Args:
            name: what it was saved as.
            number: which of that name, counted from 0; None for the newest.

        Raises:
            NotFoundError: there is none; suggests the nearest.
        """
        return feature.find(self._site, name, number)

    def publish(self, feature_set: str, *, again: bool = False) -> feature.Published:
        """Bring the online store up to date with the newest values of a feature set.

        Only keys of which something new is known are written; those who look up see all of it or nothing of it.

        Args:
            feature_set: its name.
            again: write all keys anew, whatever the store holds.

        Raises:
            NotFoundError: no such feature set, or a dataset of it has no version yet.
            CommitError: another publisher of the set is at work; nothing was changed.
            StorageError: the online store refused; it holds what it held.
        """
        return feature.publish(self._site, self._store, feature_set, again=again)

    @overload
    def online(self, feature_set: str, keys: feature.Keys, *, into: Literal["polars"] = "polars") -> pl.DataFrame: ...

    @overload
    def online(self, feature_set: str, keys: feature.Keys, *, into: Literal["dicts"]) -> list[dict[str, Any]]: ...

    def online(
        self, feature_set: str, keys: feature.Keys, *, into: Literal["polars", "dicts"] = "polars"
    ) -> pl.DataFrame | list[dict[str, Any]]:
        """The newest values of some keys, as they were when they were published last.

        Args:
            feature_set: its name.
            keys: a mapping for one key, a list of them, or a DataFrame; each names all of the set's entity.
            into: a DataFrame, or a list of dicts, which is faster for a few keys.

        Returns:
            One row a key, in the keys' order: the entity, the features, ``_event_time`` (Datetime, UTC: since when
            the oldest of the row's values is true) and ``_published_at`` (Datetime, UTC). Features are null of a key
            that is not known, and where they are older now than their ``ttl``.

        Raises:
            NotFoundError: no such feature set, or it was never published.
            ConfigError: the keys are not those of the set.
            StorageError: the online store does not answer.
        """
        return self._server.online(feature_set, keys, into)

    def close(self) -> None:
        """Let go of the ledger and the online store."""
        if "_store" in self.__dict__:
            self._store.close()
        super().close()

    @cached_property
    def _store(self) -> Store:
        return open_store(self.config.online.get_secret_value(), self.config.redact)

    @cached_property
    def _server(self) -> feature.Server:
        return feature.Server(self._site, self._store)
