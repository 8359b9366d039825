"""Statistics of batches add up to the statistics of all their rows, however the rows are cut."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce
from operator import add

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lakehouse.validation.statistics import Statistics, counting, feature, generate_statistics, making, registers

_SCHEMA = {
    "i": pl.Int64(),
    "u": pl.UInt64(),
    "f": pl.Float64(),
    "d": pl.Decimal(20, 3),
    "s": pl.String(),
    "x": pl.Binary(),
    "b": pl.Boolean(),
    "day": pl.Date(),
    "at": pl.Datetime("us", "UTC"),
    "l": pl.List(pl.Float64()),
    "t": pl.Struct({"n": pl.Int64(), "w": pl.String()}),
    "lt": pl.List(pl.Struct({"c": pl.Int64()})),
    "nothing": pl.String(),
}
_QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink these rows takes minutes
_MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
_NUMBERS = st.floats(allow_subnormal=True) | st.sampled_from(
    [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.8e308]
)


def _maybe(values):
    return st.none() | values


_ROW = st.fixed_dictionaries(
    {
        "i": _maybe(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)),
        "u": _maybe(st.integers(0, 2**64 - 1)),
        "f": _maybe(_NUMBERS),
        "d": _maybe(st.decimals(-(10**16), 10**16, places=3)),
        "s": _maybe(st.text(max_size=3)),
        "x": _maybe(st.binary(max_size=3)),
        "b": _maybe(st.booleans()),
        "day": _maybe(st.dates()),
        "at": _maybe(_MOMENTS),
        "l": _maybe(st.lists(_maybe(_NUMBERS), max_size=3)),
        "t": _maybe(st.fixed_dictionaries({"n": _maybe(st.integers(-9, 9)), "w": _maybe(st.text(max_size=2))})),
        "lt": _maybe(st.lists(st.fixed_dictionaries({"c": _maybe(st.integers(0, 5))}), max_size=2)),
        "nothing": st.none(),
    }
)
_ROWS = st.lists(_ROW, max_size=30)


def _frame(rows):
    return pl.DataFrame(rows, schema=_SCHEMA)


def _figures(statistics: Statistics):
    """All that is exact of features, counted or not: everything but the most frequent values' counts."""
    return {
        path: (
            one.type,
            one.rows,
            one.count,
            one.values,
            one.complete,
            one.valency,
            one.distinct,
            repr(one.numbers),
            one.lengths,
            one.moments,
            one.quantile(0.3),
        )
        for path, one in statistics.features.items()
    }


@settings(max_examples=15, deadline=None, phases=_QUICK)
@given(rows=_ROWS, cuts=st.lists(st.integers(0, 30), max_size=3))
def test_batches_add_up_to_exactly_what_all_rows_together_give(rows, cuts):
    frame, edges = _frame(rows), sorted({0, *(min(cut, len(rows)) for cut in cuts), len(rows)})
    parts = [generate_statistics(frame[a:b]) for a, b in itertools.pairwise(edges)]
    whole = generate_statistics(frame)
    assert reduce(add, [generate_statistics(frame[:0]), *parts]) == whole
    assert reduce(add, reversed([generate_statistics(frame[:0]), *parts, Statistics(0, {})])) == whole
    again = Statistics.read(whole.to_bytes())
    assert again == whole
    assert _figures(again) == _figures(whole)
    assert (
        [one.top(9) for one in again.features.values()] == [one.top(9) for one in whole.features.values()]
        or any(map(math.isnan, frame["f"].drop_nulls()))
        or any(map(math.isnan, frame["l"].explode().drop_nulls()))
    )


@settings(max_examples=15, deadline=None, phases=_QUICK)
@given(rows=st.lists(_ROW, min_size=3, max_size=30), cut=st.integers(0, 30))
def test_sketches_add_up_to_those_of_all_rows_together(rows, cut):
    frame = _frame(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "BOUND", 2)
        patch.setattr(making, "LISTED", 2)
        one, other = generate_statistics(frame[:cut]), generate_statistics(frame[cut:])
        whole, added = generate_statistics(frame), one + other
        assert _figures(added) == _figures(whole)
        assert other + one == added
        assert Statistics.read(added.to_bytes()) == added
    for path, kept in added.features.items():
        column = _values(frame, path)
        if column is None or kept.complete:
            continue
        true = dict(column.value_counts().iter_rows())
        for value, count in kept.top(99):
            if value == value:  # noqa: PLR0124  # NaN is no key
                assert count <= true[value] <= count + kept.undercount
        listed = {value for value, _ in kept.top(99)}
        assert all(count <= kept.unlisted for value, count in true.items() if value not in listed and value == value)  # noqa: PLR0124


@settings(max_examples=15, deadline=None, phases=_QUICK)
@given(rows=_ROWS)
def test_rows_are_counted_in_pieces_as_they_are_at_once(rows):
    frame = _frame(rows)
    whole = generate_statistics(frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_FIRST", 1)
        patch.setattr(counting, "_FASTER", 2)
        patch.setattr(counting, "_LAST", 8)
        assert generate_statistics(frame) == whole


@settings(max_examples=15, deadline=None, phases=_QUICK)
@given(rows=st.lists(_ROW, min_size=3, max_size=30), counted=st.integers(3, 30))
def test_what_is_counted_and_condensed_is_what_is_sketched(rows, counted):
    frame = _frame(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "BOUND", 2)
        whole = generate_statistics(frame)
        patch.setattr(counting, "_FIRST", 2)
        patch.setattr(counting, "_LAST", 4)
        patch.setattr(counting, "_COUNTED", counted)
        given_up = generate_statistics(frame)
    assert _figures(given_up) == _figures(whole)
    for path, one in whole.features.items():
        assert repr(given_up.features[path].histogram()) == repr(one.histogram())


def _values(frame, path):
    if "." in path or frame[path].dtype.is_nested():
        return None
    return frame[path].drop_nulls()


@settings(max_examples=40, deadline=None, phases=_QUICK)
@given(st.lists(_NUMBERS | st.floats(-1000, 1000), min_size=1, max_size=60))
def test_figures_of_numbers_are_those_of_exact_arithmetic(numbers):
    from fractions import Fraction

    found = generate_statistics(pl.DataFrame({"n": numbers}, schema={"n": pl.Float64()})).features["n"].numbers
    finite = [Fraction(number) for number in numbers if math.isfinite(number)]
    assert (found.count, found.nan) == (len(finite), sum(map(math.isnan, numbers)))
    assert found.infinite == len(numbers) - found.count - found.nan
    if not finite:
        assert found.mean is None
        return
    mean = sum(finite) / len(finite)
    variance = sum((number - mean) ** 2 for number in finite) / len(finite)
    assert found.mean == float(mean)
    assert (found.min, found.max, found.zeros) == (min(finite), max(finite), finite.count(0))
    if 1e-300 < variance < 1e300:
        assert found.std == pytest.approx(math.sqrt(variance), rel=1e-15)


@settings(max_examples=40, deadline=None, phases=_QUICK)
@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=80), st.floats(0, 1))
def test_a_quantile_of_a_sketch_is_as_near_as_is_said(numbers, q):
    frame = pl.DataFrame({"n": numbers}, schema={"n": pl.Float64()})
    true = generate_statistics(frame).features["n"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "BOUND", 0)
        kept = generate_statistics(frame).features["n"]
    assert (true.numbers.error, kept.complete) == (0.0, False)
    place = q * (len(numbers) - 1)
    ends = [sorted(numbers)[rank] for rank in (math.floor(place), math.ceil(place))]
    slack = max(abs(end) for end in ends) * kept.numbers.error + 1e-300
    assert ends[0] - slack <= kept.quantile(q) <= ends[1] + slack
    assert sum(kept.histogram().counts) == pytest.approx(len(numbers))
    assert sum(true.histogram().counts) == len(numbers)


@pytest.mark.parametrize("many", [20_000, 132_000, 200_000])
def test_distinct_values_beyond_the_bound_are_estimated_within_the_error_told(many):
    numbers = pl.int_range(many, eager=True)
    frame = pl.DataFrame({"i": numbers, "f": numbers * 0.5, "s": numbers.cast(pl.String)})
    found = generate_statistics(frame).features
    for one in found.values():
        assert (one.complete, one.distinct.exact, one.distinct.error) == (False, False, registers.ERROR)
        assert one.distinct.count == pytest.approx(many, rel=4 * registers.ERROR)


def test_the_bound_decides_by_the_number_of_distinct_values_alone():
    full = pl.DataFrame({"n": pl.int_range(feature.BOUND, eager=True)})
    assert generate_statistics(full).features["n"].complete
    more = pl.concat([full, pl.DataFrame({"n": [-1]})])
    found = generate_statistics(more).features["n"]
    assert not found.complete
    added = generate_statistics(full) + generate_statistics(pl.DataFrame({"n": [-1]}))
    assert _figures(added) == _figures(generate_statistics(more))
    assert added.features["n"].unlisted >= 1


def test_decimals_and_integers_beyond_doubles_keep_their_ends():
    frame = pl.DataFrame(
        {"i": [2**53 + 1, 2**62 + 1], "d": [Decimal("0.1"), Decimal("12345678901234567.891")]},
        schema={"i": pl.Int64(), "d": pl.Decimal(20, 3)},
    )
    found = (generate_statistics(frame[:1]) + generate_statistics(frame[1:])).features
    assert (found["i"].numbers.min, found["i"].numbers.max) == (2**53 + 1, 2**62 + 1)
    assert found["d"].numbers.max == Decimal("12345678901234567.891")


def test_days_without_values_are_found_across_batches():
    one = generate_statistics(pl.DataFrame({"day": [date(2013, 1, 1), date(2013, 1, 20)]}))
    other = generate_statistics(pl.DataFrame({"day": [date(2013, 1, 10), date(2013, 1, 11)]}))
    gap = (one + other).features["day"].moments.gap
    assert (gap.after, gap.before, gap.days) == (date(2013, 1, 1), date(2013, 1, 10), 8)
