"""What holds for a batch as a whole: its rows, its keys, its checks, how fresh it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from lakehouse.schema import Ratio, Rule, Schema
from lakehouse.validation.anomalies.found import Anomaly
from lakehouse.validation.anomalies.judged import Finding, make
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import counted, few, number
from lakehouse.validation.statistics import Statistics

__all__ = ["checks", "freshness", "keys", "rows", "unreadable"]


def rows(n: int, schema: Schema, previous: Statistics | None, previous_version: Statistics | None) -> Iterator[Finding]:
    """Too few or too many rows, by themselves or against the batch and the version before."""
    bounds = schema.rows
    if bounds is None:
        return
    if bounds.min is not None and n < bounds.min:
        yield _rows(schema, Kind.DATASET_LOW_NUM_EXAMPLES, "min", n, bounds.min)
    if bounds.max is not None and n > bounds.max:
        yield _rows(schema, Kind.DATASET_HIGH_NUM_EXAMPLES, "max", n, bounds.max)
    if bounds.drift is not None and previous is not None:
        yield from _ratio(n, schema, "drift", bounds.drift, previous.rows)
    if bounds.version is not None and previous_version is not None:
        yield from _ratio(n, schema, "version", bounds.version, previous_version.rows)


def _rows(schema: Schema, kind: Kind, key: str, n: int, bound: int) -> Anomaly:
    few_, least = ("few", "at least") if key == "min" else ("many", "at most")
    return make(
        schema,
        "",
        kind,
        Rule.ROWS,
        f"too {few_} rows",
        f"The batch has {counted(n, 'row')}; {least} {bound:,} are asked for."
        f" See whether the source gave everything{'' if key == 'min' else ' once'}, or change rows: {key}.",
        {"rows": n, key: bound},
        f"rows: {{{key}: {n}}}",
    )


def _ratio(n: int, schema: Schema, key: str, asked: Ratio, before: int) -> Iterator[Finding]:
    against = "the batch before" if key == "drift" else "the version before"
    if not before:
        yield f"rows: {against} has no rows: how many times as many there are now cannot be said."
        return
    ratio = n / before
    told = f"The batch has {counted(n, 'row')}, {against} had {before:,}"
    figures = {"rows": n, "before": before, "ratio": ratio}
    high = asked.max_fraction
    if high is not None and ratio > high:
        yield make(
            schema,
            "",
            Kind.COMPARATOR_HIGH_NUM_EXAMPLES,
            Rule.ROWS,
            f"many more rows than {against}",
            f"{told}: {number(ratio)} times as many; at most {number(high)} times as many are asked for."
            f" See whether the source gave something twice, or change rows: {key}.",
            {**figures, "max_fraction": high},
        )
    low = asked.min_fraction
    if low is not None and ratio < low:
        yield make(
            schema,
            "",
            Kind.COMPARATOR_LOW_NUM_EXAMPLES,
            Rule.ROWS,
            f"far fewer rows than {against}",
            f"{told}: {number(ratio)} times as many; at least {number(low)} times as many are asked for."
            f" See whether the source gave everything, or change rows: {key}.",
            {**figures, "min_fraction": low},
        )


def keys(schema: Schema, doubled: int | None, names: Sequence[str], n: int) -> Iterator[Finding]:
    """Rows that share their keys with an earlier one."""
    if schema.keys is None:
        return
    named = ", ".join(names) or "the keys"
    if doubled is None:
        yield "keys: whether rows share their keys is known from the rows only, and was not looked at."
    elif doubled:
        yield make(
            schema,
            "",
            Kind.KEYS_NOT_UNIQUE,
            Rule.KEYS,
            f"{counted(doubled, 'row')} with keys that an earlier row has",
            f"{counted(doubled, 'row')} of {n:,} {'has' if doubled == 1 else 'have'} the same {named} as an earlier row"
            " of the batch. See whether the source gave rows twice, or name keys that tell rows apart.",
            {"rows": n, "doubled": doubled, "keys": list(names)},
        )


def checks(statistics: Statistics, schema: Schema, n: int) -> Iterator[Finding]:
    """Rows that break a check across columns."""
    for name, check in schema.checks.items():
        path = f"checks.{name}"
        found = [broken for broken in statistics.broken if broken.path == path]
        if found:
            broken_rows = sum(broken.rows for broken in found)
            examples = [example for broken in found for example in broken.examples]
            shown = f", such as {few(examples)}" if examples else ""
            why = f" {check.description.rstrip('.')}." if check.description else ""
            yield make(
                schema,
                path,
                Kind.CHECK_BROKEN,
                Rule.CHECK,
                f"{counted(broken_rows, 'row')} break{'s' if broken_rows == 1 else ''} the check",
                f"{counted(broken_rows, 'row')} of {n:,} {'does' if broken_rows == 1 else 'do'} not meet"
                f" {check.sql}{shown}.{why} Mend the source, or change the check.",
                {"rows": broken_rows, "of": n, "sql": check.sql},
            )
        elif not statistics.judged:
            yield f"{path}: whether rows meet {check.sql} is known from the rows only, and was not looked at."


def unreadable(statistics: Statistics, schema: Schema) -> Iterator[Anomaly]:
    """Records that could not be split into fields."""
    for broken in statistics.broken:
        if not broken.path:
            yield make(
                schema,
                "",
                Kind.UNREADABLE_ROWS,
                broken.rule,
                f"{counted(broken.rows, 'row')} could not be read",
                f"{counted(broken.rows, 'record')} could not be split into fields ({broken.reason}). Mend the source.",
                {"rows": broken.rows, "reason": broken.reason},
            )


def freshness(schema: Schema, newest: datetime | None, at: datetime | None) -> Iterator[Finding]:
    """Events that are older than the schema allows."""
    allowed = schema.freshness
    if allowed is None:
        return
    if newest is None or at is None:
        yield "freshness: how old the newest event is was not told, and so was not looked at."
    elif at - newest > allowed:
        yield make(
            schema,
            "",
            Kind.STALE,
            Rule.FRESHNESS,
            f"newest event is {_age(at - newest)} old",
            f"The newest event is of {newest:%Y-%m-%d %H:%M:%S} UTC, {_age(at - newest)} before {at:%Y-%m-%d %H:%M:%S}"
            f" UTC; at most {_age(allowed)} is asked for. See whether the source still delivers, or change freshness.",
            {"newest": newest.isoformat(), "at": at.isoformat(), "seconds": (at - newest).total_seconds()},
        )


def _age(delta: timedelta) -> str:
    """``2 days 3 hours``, the two largest units."""
    left = int(delta.total_seconds())
    parts = []
    for noun, seconds in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        n, left = divmod(left, seconds)
        if n:
            parts.append(counted(n, noun))
    return " ".join(parts[:2]) or "less than a second"
