"""One dataset at a version, as a place to find features in: what it shows now, and what it showed at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from lakehouse import states, timeline, views
from lakehouse.config import Dataset
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.features import spines
from lakehouse.features.joining import point_in_time
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["Source"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = pl.Datetime("us", "UTC")
_FROM, _TO, _PART = "_known_from", "_known_to", "_known_to_of_raw"


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset at a version.

    Attributes:
        names: what is wanted of it: the column of the result to the feature.
    """

    site: Site
    dataset: Dataset
    past: Timeline
    version: Version
    names: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for the features."""
        return tuple(dict.fromkeys([*self._keys(self.version), self._event_time(self.version), *self.names.values()]))

    def joined(self, spine: pl.DataFrame, time: str, ttl: timedelta | None, *, as_known: bool) -> pl.DataFrame:
        """The features, a row for each of the spine's.

        Args:
            spine: the spine.
            time: its column of times.
            ttl: how old a value may be; None is any age.
            as_known: only what reads as of a row's time show.

        Raises:
            NotFoundError: the version has no such feature, or the spine no such key.
            ConfigError: keys or times cannot be compared.
        """
        if not as_known:
            rows = views.rows(self.site, self.past, self.version)
            return self._joined(spine, time, ttl, self.version, rows)
        eras = self._eras()
        if len(eras) == 1:
            return self._known(spine, time, ttl, self.version)
        # Each row looks at the table of its time: a later generation may have other types, keys and features.
        at = spines.asked(spine, {}, time, timezone=self.site.config.timezone)["at"]
        starts = pl.Series([(since - _EPOCH) // spines.MICROSECOND for _, since in eras[1:]])
        era = starts.search_sorted(at.fill_null(0), side="right")
        taken, parts = [], []
        for number, (version, _) in enumerate(eras):
            mine = (era == number).arg_true()
            taken.append(mine)
            parts.append(self._typed(self._known(spine[mine], time, ttl, version), version))
        return pl.concat(parts)[pl.concat(taken).arg_sort()]

    def _joined(
        self,
        spine: pl.DataFrame,
        time: str,
        ttl: timedelta | None,
        version: Version,
        rows: pl.LazyFrame,
        **known: str | None,
    ) -> pl.DataFrame:
        schema = rows.collect_schema()
        missing = [name for name in dict.fromkeys(self.names.values()) if name not in schema]
        if missing and version == self.version:
            raise NotFoundError(
                f"version {version.version} has no feature '{missing[0]}', which came later; "
                f"`lakehouse curate {self.dataset.name} --again` fills it in"
            )
        keyed = version.history != "events"
        made = point_in_time(
            spine,
            rows.with_columns(pl.lit(None).alias(name) for name in missing),
            self.names,
            keys=self._keys(version),
            time=time,
            event_time=self._event_time(version),
            ttl=ttl,
            ties=("_execution", "_position") if keyed else ("_recorded_at", "_execution", "_raw", "_row"),
            deleted=pl.col("_change") == states.DELETE if keyed else None,
            timezone=self.site.config.timezone,
            **known,
        )
        return made.select(*self.names)

    def _known(self, spine: pl.DataFrame, time: str, ttl: timedelta | None, version: Version) -> pl.DataFrame:
        """The features as reads of the table of a version's generation, as of each row's time, show them."""
        moments = {e: at for e, at in self.past.moments.items() if e <= version.execution}
        whole: dict[int, datetime] = {}
        part: dict[tuple[int, str], datetime] = {}
        for execution in self.past.superseding():
            if execution.id not in moments:  # after the version, or it made none
                continue
            at = moments[execution.id]
            for old, raws in timeline.superseded(execution).items():
                if raws is None:
                    whole[old] = min(at, whole.get(old, at))
                for raw in raws or ():
                    part[old, raw] = min(at, part.get((old, raw), at))
        known = pl.LazyFrame(
            [(execution, since, whole.get(execution)) for execution, since in moments.items()],
            {"_execution": pl.Int64, _FROM: _MOMENT, _TO: _MOMENT},
            orient="row",
        )
        rows = timeline.held(self.site, version).join(known, on="_execution")
        if part:
            of_raw = pl.LazyFrame(
                [(execution, raw, until) for (execution, raw), until in part.items()],
                {"_execution": pl.Int64, "_raw": pl.String, _PART: _MOMENT},
                orient="row",
            )
            rows = rows.join(of_raw, on=["_execution", "_raw"], how="left")
            rows = rows.with_columns(pl.min_horizontal(_TO, _PART).alias(_TO))
        return self._joined(spine, time, ttl, version, rows, known_from=_FROM, known_to=_TO if whole or part else None)

    def _eras(self) -> list[tuple[Version, datetime]]:
        """The generations of its table up to the version: the last version of each, and since when it is shown."""
        moments, found = self.past.moments, list[tuple[Version, datetime]]()
        for version in self.past.versions:
            if version.execution <= self.version.execution:
                if found and found[-1][0].uri == version.uri:
                    found[-1] = (version, found[-1][1])
                else:
                    found.append((version, moments[version.execution]))
        return found

    def _typed(self, made: pl.DataFrame, version: Version) -> pl.DataFrame:
        """Features of an older generation with the types that they have now.

        Raises:
            ConfigError: a value of then cannot be one of now.
        """
        schema = timeline.held(self.site, self.version).collect_schema()
        try:
            return made.cast({column: schema[feature] for column, feature in self.names.items()})
        except (pl.exceptions.PolarsError, KeyError) as error:
            why = str(error).partition("\n")[0]
            raise ConfigError(
                f"as_known: what was known before the types changed (version {version.version} and before) does not "
                f"fit them: {why}; take features out, or ask without as_known"
            ) from None

    def _keys(self, version: Version) -> tuple[str, ...]:
        keys = version.keys if version.history != "events" and version.keys else self.dataset.keys
        return tuple(key for key in keys if key != self.dataset.event_time)

    def _event_time(self, version: Version) -> str:
        return "_valid_from" if version.history != "events" else self.dataset.event_time or "_recorded_at"
