"""Serving: the newest values of some keys of a feature set, out of the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, overload

import polars as pl

from lakehouse.config import FeatureSet
from lakehouse.errors import ConfigError, NotFoundError, nearest
from lakehouse.features.choosing import chosen
from lakehouse.features.publishing import MOMENT
from lakehouse.online import Found, Publication, Store
from lakehouse.online.values import decoded, key_codes
from lakehouse.site import Site

__all__ = ["EVENT_TIME", "PUBLISHED_AT", "Keys", "Server"]

EVENT_TIME, PUBLISHED_AT = "_event_time", "_published_at"

Keys = Mapping[str, Any] | Sequence[Mapping[str, Any]] | pl.DataFrame

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENTS = pl.Datetime("us", "UTC")
_PLAIN = (pl.Int64, pl.Int32, pl.String)  # kept as what they are


@dataclass(frozen=True, slots=True)
class _Taken:
    """What is taken of one dataset: where its moment stands, and by column where its features do."""

    moment: int
    ttl: int | None  # microseconds
    features: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How rows of a publication become answers."""

    publication: Publication
    keys: Mapping[str, pl.DataType]
    tables: tuple[tuple[str, ...], ...]
    taken: tuple[_Taken, ...]
    columns: Mapping[str, pl.DataType]
    published_at: datetime


class Server:
    """Answers for an open lake. It asks the store alone, never the ledger; several threads may ask at once."""

    def __init__(self, site: Site, store: Store) -> None:
        self._site = site
        self._store = store
        self._plans: dict[str, _Plan] = {}

    @overload
    def online(self, name: str, keys: Keys, into: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def online(self, name: str, keys: Keys, into: Literal["dicts"]) -> list[dict[str, Any]]: ...

    def online(self, name: str, keys: Keys, into: Literal["polars", "dicts"]) -> pl.DataFrame | list[dict[str, Any]]:
        """See `Lake.online`."""
        if into not in ("polars", "dicts"):
            raise ConfigError(f"into: '{into}' is neither 'polars' nor 'dicts'")
        feature_set = self._site.config.feature_set(name)
        given: dict[str, pl.Series] = {}

        def codes(publication: Publication) -> list[Sequence[tuple[Any, ...]]]:
            plan = self._plan(feature_set, publication)
            given.update(_given(keys, plan.keys, name))
            coded = {key: key_codes(values) for key, values in given.items()}
            return [list(zip(*(coded[key] for key in table), strict=True)) for table in plan.tables]

        found = self._store.look_up(name, codes)
        if found is None:
            raise NotFoundError(f"feature set '{name}' is not in the online store; run `lakehouse publish {name}`")
        plan = self._plan(feature_set, found.publication)
        now = (self._site.clock() - _EPOCH) // _MICROSECOND
        kept, oldest = _still_true(plan, _columns(found), now)
        if into == "polars":
            values = [decoded(name, kept[name], dtype, text=self._store.text) for name, dtype in plan.columns.items()]
            true_since = decoded(EVENT_TIME, oldest, _MOMENTS)
            published = pl.Series(PUBLISHED_AT, [plan.published_at], dtype=_MOMENTS).new_from_index(0, len(oldest))
            return pl.DataFrame([*given.values(), *values, true_since, published])
        answers = {
            **{key: values.to_list() for key, values in given.items()},
            **{name: _plain(kept[name], dtype, text=self._store.text) for name, dtype in plan.columns.items()},
            EVENT_TIME: [None if moment is None else _EPOCH + moment * _MICROSECOND for moment in oldest],
            PUBLISHED_AT: [plan.published_at] * len(oldest),
        }
        return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]

    def _plan(self, feature_set: FeatureSet, publication: Publication) -> _Plan:
        plan = self._plans.get(feature_set.name)
        if plan is None or plan.publication is not publication:
            plan = self._plans[feature_set.name] = self._planned(feature_set, publication)
        return plan

    def _planned(self, feature_set: FeatureSet, publication: Publication) -> _Plan:
        """How the rows of a publication answer for the set as it is configured now.

        Raises:
            ConfigError: it was published with other keys, or without a feature that the set has by now.
        """
        name = feature_set.name
        keys = {key: dtype for table in publication.tables for key, dtype in table.keys.items()}
        dtypes = [column for table in publication.tables for column in table.columns.items()]
        places = {column: place for place, (column, _) in enumerate(dtypes)}
        wanted = {one.column: f"{one.dataset}:{one.feature}" for one in chosen(self._site.config, feature_set)}
        missing = next((feature for feature in wanted.values() if feature not in places), None)
        if missing is not None or list(feature_set.entity) != publication.facts["entity"]:
            what = f"without {missing}" if missing is not None else "with other keys"
            raise ConfigError(f"feature set '{name}' was last published {what}; run `lakehouse publish {name}`")
        taken = []
        for dataset in dict.fromkeys(feature.partition(":")[0] for feature in wanted.values()):
            ttl = feature_set.ttl_of(dataset)
            features = {c: places[f] for c, f in wanted.items() if f.partition(":")[0] == dataset}
            age = None if ttl is None else ttl // _MICROSECOND
            taken.append(_Taken(places[f"{dataset}:{MOMENT}"], age, features))
        return _Plan(
            publication,
            {key: keys[key] for key in feature_set.entity if key in keys},
            tuple(tuple(table.keys) for table in publication.tables),
            tuple(taken),
            {column: dtypes[places[feature]][1] for column, feature in wanted.items()},
            datetime.fromisoformat(publication.facts["published_at"]),
        )


def _columns(found: Found) -> list[Sequence[Any]]:
    """What was found, column by column."""
    if found.rows:
        return list(zip(*found.rows, strict=True))
    return [()] * sum(len(table.columns) for table in found.publication.tables)


def _still_true(
    plan: _Plan, columns: Sequence[Sequence[Any]], now: int
) -> tuple[dict[str, Sequence[Any]], list[int | None]]:
    """The features by column, those that are too old left out; and since when the oldest of a row is true."""
    kept: dict[str, Sequence[Any]] = {}
    oldest: list[int | None] = [None] * len(columns[0])
    for taken in plan.taken:
        moments: Sequence[int | None] = columns[taken.moment]
        if taken.ttl is None:
            kept.update({name: columns[place] for name, place in taken.features.items()})
        else:
            first = now - taken.ttl
            moments = [moment if moment is not None and moment >= first else None for moment in moments]
            for name, place in taken.features.items():
                pairs = zip(moments, columns[place], strict=True)
                kept[name] = [None if moment is None else value for moment, value in pairs]
        oldest = list(map(_older, oldest, moments))
    return kept, oldest


def _older(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _plain(kept: Sequence[Any], dtype: pl.DataType, *, text: bool) -> Sequence[Any]:
    """Values as Python's own, most of which are kept as just that."""
    return kept if dtype in _PLAIN else decoded("", kept, dtype, text=text).to_list()


def _given(keys: Keys, dtypes: Mapping[str, pl.DataType], name: str) -> dict[str, pl.Series]:
    """The keys that are asked for, a column each, as the types they were published with.

    Raises:
        ConfigError: one is missing, unknown, or of another type.
    """
    rows = [keys] if isinstance(keys, Mapping) else keys
    named = rows.columns if isinstance(rows, pl.DataFrame) else list(dict.fromkeys(key for row in rows for key in row))
    for key in named:
        if key not in dtypes:
            raise ConfigError(f"'{key}' is no key of feature set '{name}'.{nearest(key, dtypes)}")
    found = {}
    for key, dtype in dtypes.items():
        try:
            if isinstance(rows, pl.DataFrame):
                found[key] = _cast(rows[key], dtype)
            else:
                found[key] = pl.Series(key, [row[key] for row in rows], dtype=dtype, strict=True)
        except (KeyError, pl.exceptions.ColumnNotFoundError):
            raise ConfigError(f"feature set '{name}' is looked up by {', '.join(dtypes)}; '{key}' is missing") from None
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            why = str(error).partition("\n")[0]
            raise ConfigError(
                f"key '{key}' of feature set '{name}' is {dtype}, and what was given is not: {why}"
            ) from None
    return found


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A column of a type as another one; a text as what it says, where it does."""
    if values.dtype != pl.String:
        return values.cast(dtype, strict=True)
    if isinstance(dtype, pl.Datetime):
        return values.str.to_datetime(time_unit=dtype.time_unit, time_zone=dtype.time_zone, strict=True)
    if dtype == pl.Date:
        return values.str.to_date(strict=True)
    if dtype == pl.Boolean:
        return values.replace_strict({"true": True, "false": False}, return_dtype=pl.Boolean)
    return values.cast(dtype, strict=True)
