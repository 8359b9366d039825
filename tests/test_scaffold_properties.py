"""Whatever lies in a folder: what `init` writes for it takes in every row of it, and says each value back."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse import Lake
from lakehouse.config.flow import flow
from lakehouse.config.yaml import parse

NULLS = ["", "NA", "NULL", "null", "-", r"\N", "N/A", "nan", "NaN"]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=12)
WORDS = st.sampled_from(
    [
        "NO",
        "on",
        "yes",
        "007",
        "1e3",
        "0x1F",
        "A",
        "B",
        "a,b",
        'say "hi"',
        "two\nlines",
        " x ",
        "+47 1",
        "1_0",
        "12:30",
        "٣",
    ]
)
CELLS = [
    TEXT,
    WORDS,
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 3000).map(str),
    st.integers(0, 99999).map("{:05}".format),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**9), 10**9, places=2).map(str),
    st.decimals(-(10**20), 10**20, places=4).map(str),
    st.sampled_from(["1e400", "1.0", "5", ".5", "5.", "-0", "-0.0", "1e5"]),
    st.sampled_from(["true", "false", "True", "0", "1"]),
    st.sampled_from(["Y", "N"]),
    st.dates().map(str),
    st.dates().map(lambda day: f"{day.day}.{day.month}.{day.year:04}"),
    st.dates().map(lambda day: f"{day.month:02}/{day.day:02}/{day.year:04}"),
    st.dates().map("{:%Y%m%d}".format),
    st.datetimes().map(lambda moment: moment.isoformat(" ")),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.datetimes().map(lambda moment: f"{moment.day:02}.{moment.month:02}.{moment.year:04} {moment:%H:%M}"),
    st.datetimes().map(lambda moment: f"{moment.year:04}-01-31T10:00:00.123456789+0530"),
]
NAMES = st.one_of(
    st.sampled_from(
        ["id", "Id", "date", "a b", "Amount (NOK)", "_x", "Født", "y", "no", "1st", "x=y", "", "${HOME}", "a#b"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=8).filter(
        lambda name: name != "*"
    ),
)


@st.composite
def tables(draw):
    """Column names and rows; each column of one kind, or two, some values missing."""
    header = draw(st.lists(NAMES, min_size=1, max_size=5))
    kinds = []
    for _ in header:
        kind = draw(st.sampled_from(CELLS))
        if draw(st.booleans()):
            kind = st.one_of(kind, st.sampled_from(draw(st.lists(st.sampled_from(NULLS), min_size=1, max_size=2))))
        if draw(st.integers(0, 5)) == 0:
            kind = st.one_of(kind, draw(st.sampled_from(CELLS)))
        kinds.append(kind)
    rows = draw(st.lists(st.tuples(*kinds), min_size=1, max_size=12))
    return ["line no", *header], [(str(number), *row) for number, row in enumerate(rows)]


def written(table, delimiter: str) -> str:
    header, rows = table
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def lake_over(folder: Path, top: Path):
    made = Lake.init(top / "project", from_=folder)
    with Lake(top / "project" / "configs") as lake:
        ran = lake.run("nightly")
        rejected = [row for one in ran.curated if one.rejected for row in lake.quarantine(one.dataset).collect().rows()]
        yaml = "\n".join(path.read_text() for path in made.written if path.parent.name != "project")
        return made, ran, f"{ran.errors}\n{ran.curated}\n{rejected}\n{yaml}"


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.lists(tables(), min_size=4, max_size=10), st.sampled_from([",", ";", "\t", "|"]))
def test_no_row_of_a_csv_that_was_read_wholly_is_rejected(tables, delimiter):
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, "files")
        folder.mkdir()
        for number, table in enumerate(tables):
            (folder / f"{chr(97 + number)}.csv").write_text(written(table, delimiter), encoding="utf-8", newline="")
        made, ran, told = lake_over(folder, Path(top))
        assert not made.skipped, told
        assert ran.ok, told
        assert [one.rejected for one in ran.curated] == [0] * len(tables), told
        assert all(
            one.read in (len(rows), len(rows) + 1) for one, (_, rows) in zip(ran.curated, tables, strict=True)
        ), told


JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    WORDS,
    st.dates().map(str),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(TEXT, st.integers(), max_size=2),
)


@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(
            st.dictionaries(
                NAMES.filter(lambda name: name not in ("", "_raw", "_row", "_suspect")), JSON, min_size=1, max_size=5
            ),
            min_size=1,
            max_size=8,
        ),
        min_size=2,
        max_size=6,
    )
)
def test_no_object_of_json_lines_that_were_read_wholly_is_rejected(files):
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, "files")
        folder.mkdir()
        for number, objects in enumerate(files):
            text = "".join(
                json.dumps(one, ensure_ascii=number % 2 == 0) + "\n"
                for one in ({"line no": 1, **one} for one in objects)
            )
            (folder / f"{chr(97 + number)}.ndjson").write_text(text, encoding="utf-8", newline="")
        _, ran, told = lake_over(folder, Path(top))
        assert ran.ok, told
        assert [one.rejected for one in ran.curated] == [0] * len(files), told


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), TEXT, WORDS, st.integers(-9, 9)),
        lambda inner: st.lists(inner) | st.dictionaries(TEXT.filter(bool), inner),
        max_leaves=8,
    )
)
def test_values_written_as_yaml_are_read_back_by_both_kinds_of_reader(value):
    text = f"value: {flow(value)}"
    assert yaml.safe_load(text) == {"value": value}
    assert parse(text).data == {"value": value}


@pytest.mark.parametrize(
    "text", ["NO", "on", "2013-01-01", "1e3", "007", "12:30", "0o17", "y", "~", "", ".5", "null", "- a", "a: b", "a #b"]
)
def test_a_string_that_looks_like_something_else_stays_a_string(text):
    assert flow(text).startswith('"')


def test_a_parquet_file_keeps_its_values(tmp_path):
    frame = pl.DataFrame(
        {
            "i": [1, None, 3],
            "u": pl.Series([2**64 - 1, 1, 2], dtype=pl.UInt64),
            "f": [1.5, 2.5, None],
            "b": [True, None, False],
            "s": ["x", "", None],
            "c": pl.Series(["p", "q", "p"], dtype=pl.Categorical),
            "d": pl.Series(["2020-01-01"] * 3).str.to_date(),
            "t": pl.Series([1, 2, 3]).cast(pl.Datetime("us")),
            "ns": pl.Series([1, 2, 3]).cast(pl.Datetime("ns", "UTC")),
            "m": pl.Series(["1.10", "2.20", "3.30"]).cast(pl.Decimal(10, 2)),
        }
    )
    (tmp_path / "files").mkdir()
    frame.write_parquet(tmp_path / "files" / "all.parquet")
    _, ran, told = lake_over(tmp_path / "files", tmp_path)
    assert ran.ok, told
    assert ran.curated[0].rejected == 0, told
    with Lake(tmp_path / "project" / "configs") as lake:
        read = lake.read("files/all")
    assert read.select("i", "f", "b", "s", "d", "m").rows() == frame.select("i", "f", "b", "s", "d", "m").rows()
