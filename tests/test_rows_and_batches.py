"""What a batch's statistics say and what its rows were judged to be are one and the same."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import Schema, generate_statistics, validate_statistics
from lakehouse.validation import Mapping, check

SCHEMA = Schema.model_validate(
    {
        "features": {
            "n": {"type": "int", "domain": {"min": 0, "max": 9}},
            "x": {"type": "float", "presence": "optional", "domain": {"min": 0}},
            "f": {"type": "float", "presence": "optional", "domain": {"finite": True}},
            "code": {"type": "string", "domain": ["A", "B"]},
            "tail": {"type": "string", "presence": "optional", "domain": {"regex": "N[0-9]+", "length": {"max": 3}}},
            "day": {"type": "date", "presence": "optional", "domain": {"min": "2013-01-01"}},
            "late": {"type": "bool", "presence": "optional"},
            "price": {"type": "decimal", "scale": 2, "presence": "optional", "domain": {"max": "1.5"}},
        }
    }
)
VALUES = {
    "n": ["0", "9", "10", "-1", "2.5", "3.0", "many"],
    "x": ["0", "0.5", "-0.5", "nan", "inf", "-inf", "none"],
    "f": ["1.5", "nan", "inf", "-inf", "none"],
    "code": ["A", "B", "C"],
    "tail": ["N1", "N12", "N123", "X1"],
    "day": ["2013-01-01", "2012-12-31", "yesterday"],
    "late": ["true", "no", "maybe", "2"],
    "price": ["1.5", "1.51", "1.555", "free"],
}
row = st.fixed_dictionaries({name: st.sampled_from([None, *values]) for name, values in VALUES.items()})


@settings(max_examples=12, deadline=None)
@given(st.lists(row, min_size=1, max_size=6))
def test_the_same_rules_are_broken_by_rows_and_by_their_statistics(rows):
    frame = pl.DataFrame(rows, schema=dict.fromkeys(VALUES, pl.String))
    from_values = validate_statistics(generate_statistics(frame), SCHEMA)
    from_rows = validate_statistics(generate_statistics(frame, schema=SCHEMA), SCHEMA)
    assert {(a.path, a.rule) for a in from_values.anomalies} == {(a.path, a.rule) for a in from_rows.anomalies}

    marked = frame.with_columns(_raw=pl.lit("f" * 64), _row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    split = check(marked.lazy(), dict(frame.schema), Mapping(SCHEMA))
    rejected = split.rejected.collect(engine="streaming")
    assert bool(from_rows.anomalies) == bool(rejected.height)
    told = {path for reasons in rejected["reasons"] for path in (reason.split(": ")[0] for reason in reasons)}
    assert told == {a.path for a in from_rows.anomalies}
