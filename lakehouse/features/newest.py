"""The newest values of each key of a dataset, as they are true at a moment; and which keys a new version touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from lakehouse import states, tables, views
from lakehouse.records import Version
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["Facts"]

_MOMENT = "\0moment"  # in the name of a column that no dataset has


@dataclass(frozen=True, slots=True)
class Facts:
    """A dataset's rows at a version, as what was true of something since a moment.

    Attributes:
        keys: what the rows are of: the dataset's keys without its event time.
        event_time: of ``events`` the feature that says since when a row is true; None takes when it was recorded.
    """

    site: Site
    past: Timeline
    version: Version
    keys: tuple[str, ...]
    event_time: str | None

    def rows(self) -> pl.LazyFrame:
        """The rows that count and have a moment and a key, with the moment (us, UTC) in a column of its own."""
        return self._of(views.rows(self.site, self.past, self.version))

    def due(self, after: datetime) -> datetime | None:
        """When the first row becomes true that is not yet at a moment; None where all are."""
        later = self.rows().filter(pl.col(_MOMENT) > after).select(pl.col(_MOMENT).min())
        return later.collect(engine="streaming").item()  # type: ignore[no-any-return]  # of a Datetime column

    def newest(
        self, features: Sequence[str], at: datetime, *, due: datetime | None, among: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """The newest values of each key at a moment; keys that are deleted by then are left out.

        Args:
            features: the columns wanted.
            at: the moment.
            due: what `due` says of it.
            among: only of these keys.

        Returns:
            One row a key, in no order: the keys, the moment since when the values are true, the features.
        """
        keyed = self.version.history != "events"
        if keyed and due is None and self.keys == self.version.keys:
            rows = self._of(views.state(self.site, self.past, self.version))
            return self._among(rows, among).select(self._shown(features)).collect(engine="streaming")
        rows = self._among(self.rows(), among)
        rows = rows if due is None else rows.filter(pl.col(_MOMENT) <= at)
        last = rows.select(*self.keys, _MOMENT).group_by(self.keys).agg(pl.col(_MOMENT).max())
        ties = ("_execution", "_position") if keyed else ("_recorded_at", "_execution", "_raw", "_row")
        wanted = [*self._shown(features), *ties, *(["_change"] if keyed else [])]
        found = (
            rows.join(last, on=[*self.keys, _MOMENT], how="semi", nulls_equal=True)
            .select(list(dict.fromkeys(wanted)))
            .collect(engine="streaming")
        )
        several = found.select(self.keys).is_duplicated()
        if several.any():
            one = found.filter(several).sort(ties, nulls_last=False).unique(self.keys, keep="last")
            found = pl.concat([found.filter(~several), one])
        if keyed:
            found = found.filter(pl.col("_change") != states.DELETE)
        return found.select(self._shown(features))

    def touched(self, before: Version, since: datetime, due: datetime | None) -> pl.DataFrame:
        """The keys of which something else may be true than an older version said.

        Args:
            before: the older version.
            since: the moment that was looked at then.
            due: when the first row becomes true that was not yet then.
        """
        new = pl.col("_execution") > before.execution
        came = self.rows().filter(new if due is None else new | (pl.col(_MOMENT) > since)).select(self.keys)
        frames = [came]
        hidden = self.past.hidden(self.version, after=before.execution)
        for execution, raws in hidden.items():  # what was corrected: the rows that no longer count
            old = tables.scan(self.site.storage.path(self.version.uri)).filter(pl.col("_execution") == execution)
            gone = old if raws is None else old.filter(pl.col("_raw").is_in(sorted(raws)))
            frames.append(gone.select(self.keys))
        return pl.concat(frames).unique().collect(engine="streaming")

    @property
    def moment(self) -> str:
        """The column that holds the moment."""
        return _MOMENT

    def _of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        if self.version.history != "events":
            moment = pl.col("_valid_from")
        else:
            moment = pl.col(self.event_time or "_recorded_at")
        dtype = rows.select(moment).collect_schema().dtypes()[0]
        if dtype == pl.Date:
            moment = moment.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        named = ~pl.all_horizontal(pl.col(key).is_null() for key in self.keys)
        return rows.with_columns(moment.cast(pl.Datetime("us", "UTC")).alias(_MOMENT)).filter(
            named, pl.col(_MOMENT).is_not_null()
        )

    def _among(self, rows: pl.LazyFrame, among: pl.DataFrame | None) -> pl.LazyFrame:
        return rows if among is None else rows.join(among.lazy(), on=list(self.keys), how="semi", nulls_equal=True)

    def _shown(self, features: Sequence[str]) -> list[str]:
        return list(dict.fromkeys([*self.keys, _MOMENT, *features]))
