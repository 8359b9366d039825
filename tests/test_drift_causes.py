"""Which raw files brought a drift: the planted one is named first, and shares are what the formula says."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import Schema, generate_statistics, validate_statistics
from lakehouse.validation.anomalies import explain

BAD = 6


def raw(n: int) -> str:
    return f"{n:064x}"


def batch(values, bad) -> pl.DataFrame:
    """Ten files of the same values but for one."""
    files = [pl.DataFrame({"a": bad if n == BAD else values}).with_columns(_raw=pl.lit(raw(n))) for n in range(10)]
    return pl.concat(files)


def drifts(feature: dict, rows: pl.DataFrame, before: pl.DataFrame):
    schema = Schema.model_validate({"features": {"a": feature}})
    previous = generate_statistics(before)
    found = validate_statistics(generate_statistics(rows.drop("_raw")), schema, previous_statistics=previous)
    return found.anomalies, previous


USUAL = ["AA"] * 60 + ["B6"] * 40
NUMBERS = list(range(100))
CASES = {
    "a value that grew": ({"type": "string", "drift": {"infinity_norm": 0.01}}, USUAL, ["AA"] * 10 + ["B6"] * 90),
    "a value that is new": ({"type": "string", "drift": {"infinity_norm": 0.01}}, USUAL, ["ZZ"] * 100),
    "strings by divergence": ({"type": "string", "drift": {"jensen_shannon": 0.001}}, USUAL, ["B6"] * 100),
    "counts": ({"type": "string", "drift": {"normalized_absolute_difference": 0.01}}, USUAL, ["B6"] * 100),
    "numbers by ranges": ({"type": "int", "drift": {"jensen_shannon": 0.001}}, NUMBERS, [900] * 100),
    "numbers within the range": ({"type": "int", "drift": {"jensen_shannon": 0.001}}, NUMBERS, [5] * 100),
    "numbers that are names": (
        {"type": "int", "categorical": True, "drift": {"jensen_shannon": 0.001}},
        [1] * 50 + [2] * 50,
        [2] * 100,
    ),
    "nan": ({"type": "float", "drift": {"jensen_shannon": 0.001}}, [1.5, 2.5] * 50, [float("nan")] * 100),
    "dates": (
        {"type": "date", "drift": {"jensen_shannon": 0.001}},
        [date(2013, 1, 1) + timedelta(days=i) for i in range(100)],
        [date(1970, 1, 1)] * 100,
    ),
    "lists": (
        {"type": "list[string]", "drift": {"infinity_norm": 0.01}},
        [["AA", "B6"]] * 100,
        [["AA", "AA", "AA"]] * 100,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_one_bad_file_among_ten_is_named_first(name):
    feature, usual, bad = CASES[name]
    rows = batch(usual, bad)
    (anomaly,), previous = drifts(feature, rows, pl.DataFrame({"a": usual}))
    first, *others = explain(anomaly, rows.lazy(), previous, {raw(BAD): "bad.csv"})
    assert (first.raw, first.name, first.rows) == (raw(BAD), "bad.csv", 100)
    assert first.share == pytest.approx(1.0)
    assert all(other.share == pytest.approx(0, abs=1e-9) for other in others)


def test_a_field_of_a_struct_is_explained_by_its_path():
    rows = batch(USUAL, ["B6"] * 100).select("_raw", s=pl.struct(x="a"))
    before = pl.DataFrame({"s": [{"x": value} for value in USUAL]})
    fields = {"x": {"type": "string", "drift": {"infinity_norm": 0.01}}}
    schema = Schema.model_validate({"features": {"s": {"type": "struct", "fields": fields}}})
    previous = generate_statistics(before)
    (anomaly,) = validate_statistics(
        generate_statistics(rows.drop("_raw")), schema, previous_statistics=previous
    ).anomalies
    assert anomaly.path == "s.x"
    assert explain(anomaly, rows.lazy(), previous)[0].raw == raw(BAD)


def test_files_that_all_drift_alike_share_the_blame_by_their_values():
    rows = pl.concat(
        [pl.DataFrame({"a": ["B6"] * n}).with_columns(_raw=pl.lit(raw(i))) for i, n in enumerate((30, 10, 60))]
    )
    (anomaly,), previous = drifts({"type": "string", "drift": {"max": 0.1}}, rows, pl.DataFrame({"a": USUAL}))
    causes = explain(anomaly, rows.lazy(), previous)
    assert [(cause.raw, cause.rows) for cause in causes] == [(raw(2), 60), (raw(0), 30), (raw(1), 10)]
    assert [cause.share for cause in causes] == pytest.approx([0.6, 0.3, 0.1])


def test_missing_values_are_rows_of_a_file_and_no_part_of_the_drift():
    rows = pl.concat(
        [
            pl.DataFrame({"a": [None] * 50 + ["B6"] * 50}).with_columns(_raw=pl.lit(raw(0))),
            pl.DataFrame({"a": USUAL}).with_columns(_raw=pl.lit(raw(1))),
        ]
    )
    feature = {"type": "string", "presence": "optional", "drift": {"max": 0.1}}
    (anomaly,), previous = drifts(feature, rows, pl.DataFrame({"a": USUAL}))
    (cause, *_) = explain(anomaly, rows.lazy(), previous)
    assert (cause.raw, cause.rows) == (raw(0), 100)
    assert cause.share == pytest.approx(1.0)


def test_what_is_no_drift_has_no_cause():
    rows = batch(USUAL, USUAL)
    (anomaly,), previous = drifts({"type": "string", "domain": ["AA"]}, rows, pl.DataFrame({"a": USUAL}))
    assert explain(anomaly, rows.lazy(), previous) == ()


counts = st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any)


@settings(max_examples=25)
@given(st.lists(counts, min_size=1, max_size=4), counts)
def test_shares_are_what_the_formula_says(files, before):
    def words(counted):
        return [f"w{i}" for i, n in enumerate(counted) for _ in range(n)]

    rows = pl.concat([pl.DataFrame({"a": words(own)}).with_columns(_raw=pl.lit(raw(i))) for i, own in enumerate(files)])
    anomalies, previous = drifts(
        {"type": "string", "drift": {"jensen_shannon": 0.0}}, rows, pl.DataFrame({"a": words(before)})
    )
    if not anomalies:
        return
    total = sum(map(sum, files))
    p = [sum(column) / total for column in zip(*files, strict=True)]
    q = [n / sum(before) for n in before]
    pull = [(x - y) / (x + y) if x + y else 0 for x, y in zip(p, q, strict=True)]
    whole = sum(a * (x - y) for a, x, y in zip(pull, p, q, strict=True))
    shares = [
        sum(a * (n / total - sum(own) / total * y) for a, n, y in zip(pull, own, q, strict=True)) / whole
        for own in files
    ]
    assert sum(shares) == pytest.approx(1)
    told = {cause.raw: cause.share for cause in explain(anomalies[0], rows.lazy(), previous)}
    assert told == pytest.approx({raw(i): share for i, share in enumerate(shares) if share > 1e-6}, abs=1e-9)
