"""Our row rules against dataframely's: the same rules over the same rows set the same rows apart."""

import dataframely as dy
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.schema import Schema
from lakehouse.validation import Mapping, check

DTYPES = {"whole": pl.Int64, "number": pl.Float64, "code": pl.String, "kind": pl.String, "parts": pl.List(pl.Int64)}
SCHEMA = Schema(
    features={
        "whole": {"type": "int", "domain": {"min": -2, "max": 3}},
        "number": {"type": "float", "presence": "optional", "domain": {"min": 0, "max": 2, "finite": True}},
        "code": {"type": "string", "domain": {"regex": "[ab]+c?", "length": {"min": 2, "max": 3}}},
        "kind": {"type": "string", "presence": "optional", "domain": ["x", "y"]},
        "parts": {"type": "list[int]", "presence": "optional", "valency": {"min": 1, "max": 2}, "domain": {"max": 5}},
    },
    checks={"ordered": "number >= whole"},
)


class Peer(dy.Schema):
    """The same rules in dataframely's words. Its lengths are bytes, its regex need only be contained."""

    at = dy.Int64(nullable=False)
    whole = dy.Int64(nullable=False, min=-2, max=3)
    number = dy.Float64(nullable=True, min=0, max=2)
    code = dy.String(nullable=False, regex=r"^(?:[ab]+c?)$", min_length=2, max_length=3)
    kind = dy.String(nullable=True, check=lambda value: value.is_in(["x", "y"]))
    parts = dy.List(dy.Int64(nullable=False, max=5), nullable=True, min_length=1, max_length=2)

    @dy.rule()
    def ordered(cls) -> pl.Expr:  # noqa: N805  # dataframely's form
        """A row where either is missing passes."""
        return pl.col("number") >= pl.col("whole")


def mostly(right, values):
    """Right three times of four: a row should break one rule, or none, as often as several."""
    return st.one_of(*[st.sampled_from(right)] * 3, values)


ROWS = st.lists(
    st.tuples(
        mostly([-2, 0], st.none() | st.integers(-4, 5)),
        mostly([0.5, 1.0, None], st.sampled_from([-1.0, 0.0, 2.0, 2.5, float("nan"), float("inf"), float("-inf")])),
        mostly(["ab", "aac"], st.sampled_from([None, "", "a", "aabc", "cc", "abb", "bac"])),
        mostly(["x", "y", None], st.sampled_from(["z", ""])),
        mostly([[1], [2, 5], None], st.sampled_from([[], [1, 2, 3], [6], [5, 6], [None]])),
    ),
    min_size=1,
    max_size=30,
)


def ours(frame: pl.DataFrame) -> list[int]:
    """The numbers of the rows that we take."""
    rows = frame.with_columns(_raw=pl.lit("f" * 64), _row=pl.int_range(pl.len(), dtype=pl.Int64)).lazy()
    checked = check(rows, dict(frame.schema), Mapping(SCHEMA))
    good, bad = pl.collect_all([checked.valid, checked.rejected], engine="streaming")
    assert good.height + bad.height == frame.height
    return sorted(good["_row"])


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_the_same_rows_pass(rows):
    frame = pl.DataFrame(rows, schema=DTYPES, orient="row")
    theirs, _ = Peer.filter(frame.with_columns(at=pl.int_range(pl.len(), dtype=pl.Int64)))
    assert ours(frame) == sorted(theirs["at"])
