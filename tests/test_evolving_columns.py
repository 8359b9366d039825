"""Files whose columns change: every policy, in every format, within one batch; and what was left out comes in later."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from writing import WRITERS

from lakehouse.formats import FORMATS

DATASET = """
    source: things
    new_columns: {new}
    missing_columns: {missing}
    schema:
      features:
        id: {{type: int}}
        name: {{type: string, presence: optional}}
        size: {{type: int, presence: optional}}
"""
FILES = {
    "0-plain": [{"id": 1, "name": "a", "size": 10}, {"id": 2, "name": "b", "size": 20}],
    "1-new": [{"id": 11, "name": "a", "size": 10, "extra": 7}, {"id": 12, "name": "b", "size": 20, "extra": 8}],
    "2-missing": [{"id": 21, "size": 10}, {"id": 22, "size": 20}],
    "3-required": [{"name": "a", "size": 10}, {"name": "b", "size": 20}],
    "4-renamed": [{"id": 41, "title": "a", "size": 10}, {"id": 42, "title": "b", "size": 20}],
    "5-reordered": [{"size": 10, "name": "a", "id": 51}, {"size": 20, "name": "b", "id": 52}],
    "6-float": [{"id": 61, "name": "a", "size": 1.5}, {"id": 62, "name": "b", "size": 2.5}],
    "7-text": [{"id": 71, "name": "a", "size": "big"}, {"id": 72, "name": "b", "size": "7"}],
}
EVERY = [1, 2, 11, 12, 21, 22, 41, 42, 51, 52]
"""The rows of files that lack nothing required, whose sizes are whole numbers."""
WHOLE = [*EVERY, 72]
WITH_FLOATS = sorted([*EVERY, 61, 62, 72])


@pytest.fixture(params=[name for name in WRITERS if name in FORMATS])
def things(request, project):
    """All the files at once, in one format."""
    said, write = WRITERS[request.param]
    project.configure("sources/things", f"type: files\npath: incoming/*\nformat: {said}")
    for name, records in FILES.items():
        project.deliver(name, write(records))
    return project


def curated(project, new, missing):
    project.configure("datasets/a/things", DATASET.format(new=new, missing=missing))
    with project.lake() as lake:
        lake.land("things")
        made = lake.curate("a/things")
        return made, lake.read("a/things").sort("id"), lake.quarantine("a/things").collect()


def told(made, kind):
    return sorted(note.message for note in made.notes if note.kind == kind)


def test_new_columns_are_added_and_missing_ones_allowed(things):
    made, rows, bad = curated(things, "add", "allow")
    assert rows["id"].to_list() == WHOLE
    assert (made.refused, made.rejected, made.read) == (1, 3, 14)
    assert sorted(bad["reasons"].list.first().str.contains("size")) == [True] * 3
    known = dict(zip(rows["id"], rows.to_dicts(), strict=True))
    assert (known[1]["extra"], known[11]["extra"], known[12]["extra"]) == (None, "7", "8")
    assert (known[41]["name"], known[41]["title"]) == (None, "a")
    assert (known[51]["name"], known[51]["size"], known[21]["name"]) == ("a", 10, None)
    assert "'3-required' lacks the required column 'id'" in told(made, "refused")[0]
    assert [text.split(":")[0] for text in told(made, "new_column")] == ["new in '1-new'", "new in '4-renamed'"]


def test_columns_that_were_left_out_and_rows_that_did_not_fit_come_in_with_a_wider_schema(things):
    made, rows, _ = curated(things, "ignore", "allow")
    assert rows["id"].to_list() == WHOLE
    assert not {"extra", "title"} & set(rows.columns)
    assert (made.refused, made.rejected) == (1, 3)

    things.change("datasets/a/things", "size: {type: int, ", "size: {type: float, ")
    things.change("datasets/a/things", "", "    extra: {type: int, presence: optional}")
    with things.lake() as lake:
        again = lake.curate("a/things", again=True)
        wider = lake.read("a/things").sort("id")
        assert (again.rejected, wider["id"].to_list()) == (1, WITH_FLOATS)
        assert wider.filter(pl.col("id").is_in([11, 12, 61, 62]))["extra"].to_list() == [7, 8, None, None]
        assert wider.filter(pl.col("id").is_in([2, 61, 72]))["size"].to_list() == [20.0, 1.5, 7.0]
        older = lake.read("a/things", version=0).sort("id")
        assert older["size"].dtype == pl.Int64
        assert older["id"].to_list() == WHOLE
        row = wider.filter(pl.col("id") == 62).row(0, named=True)
        assert "2.5" in lake.trace("a/things", row).text


def test_a_file_with_other_columns_is_refused_alone_where_the_dataset_says_so(things):
    made, rows, _ = curated(things, "reject", "reject")
    assert rows["id"].to_list() == [1, 2, 51, 52, 72]
    assert made.refused == 4
    names = [note.where for note in made.notes if note.kind == "refused"]
    assert sorted(names) == ["1-new", "2-missing", "3-required", "4-renamed"]


def test_columns_with_types_of_their_own_are_taken_along_as_exact_text(project):
    frame = pl.DataFrame(
        {
            "id": [1],
            "price": [Decimal("12345678901234567890.10")],
            "day": [date(2026, 3, 1)],
            "at": [datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)],
            "tags": [["ø", 'say "hi"', None]],
            "place": [{"lat": 59.91, "names": ["Oslo", None]}],
            "whole": [2**63 - 1],
            "share": [0.1],
            "blob": [b"\x00\xff"],
        },
        schema_overrides={"price": pl.Decimal(38, 2)},
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    project.configure("sources/things", "type: files\npath: incoming/*\nformat: parquet")
    project.deliver("one.parquet", buffer.getvalue())
    _, rows, _ = curated(project, "add", "allow")
    row = rows.row(0, named=True)
    assert row["price"] == "12345678901234567890.10"
    assert (row["whole"], row["share"]) == ("9223372036854775807", "0.1")
    assert row["day"] == "2026-03-01"
    assert datetime.fromisoformat(row["at"]) == frame["at"][0]
    assert json.loads(row["tags"]) == ["ø", 'say "hi"', None]
    assert json.loads(row["place"]) == {"lat": 59.91, "names": ["Oslo", None]}
    assert row["blob"] == "AP8="


@pytest.mark.parametrize("name", ["ends in space ", "a;b", "_hidden", "ID"])
def test_a_new_column_whose_name_no_table_can_hold_refuses_its_file_and_not_the_others(project, name):
    project.configure("sources/things", "type: files\npath: incoming/*\nformat: ndjson")
    project.deliver("0.ndjson", json.dumps({"id": 1, "name": "a", "size": 1, "Ærø.2": 5}))
    project.deliver("1.ndjson", json.dumps({"id": 2, "name": "a", "size": 1, name: 5}))
    made, rows, _ = curated(project, "add", "allow")
    assert (rows["id"].to_list(), rows["Ærø.2"].to_list()) == ([1], ["5"])
    assert "cannot be stored under their names" in told(made, "refused")[0]


NAMED = {
    "fixed": "{type: fixed, columns: {id: 2, name: 1, LAST: 1}}",
    "log": "{type: log, pattern: '(?P<id>..)(?P<name>.)(?P<LAST>.)'}",
}
"""Formats that name the columns themselves."""


@pytest.mark.parametrize("kind", NAMED)
def test_a_column_that_the_format_names_is_new_like_one_of_the_file(project, kind):
    project.configure("sources/things", f"type: files\npath: incoming/*\nformat: {NAMED[kind]}")
    project.deliver("one", "11a7\n12b8\n")
    project.configure("datasets/a/things", DATASET.format(new="reject", missing="allow"))
    with project.lake() as lake:
        lake.land("things")
        assert lake.curate("a/things").refused == 1
    _, rows, _ = curated(project, "ignore", "allow")
    assert (rows["id"].to_list(), "LAST" in rows.columns) == ([11, 12], False)
    project.change("datasets/a/things", "new_columns: ignore", "new_columns: add")
    with project.lake() as lake:
        lake.curate("a/things", again=True)
        assert lake.read("a/things").sort("id")["LAST"].to_list() == ["7", "8"]


@pytest.mark.parametrize("kind", NAMED)
def test_a_format_that_names_a_column_otherwise_reads_older_files_again(project, kind):
    project.configure("sources/things", f"type: files\npath: incoming/*\nformat: {NAMED[kind]}")
    project.deliver("one", "11a7\n12b8\n")
    _, rows, _ = curated(project, "ignore", "allow")
    assert rows["size"].to_list() == [None, None]
    project.change("sources/things", "LAST", "size")
    with project.lake() as lake:
        lake.curate("a/things", again=True)
        now = lake.read("a/things").sort("id")
        assert now["size"].to_list() == [7, 8]
        assert "12b8" in lake.trace("a/things", now.row(1, named=True)).text
        assert lake.read("a/things", version=0)["size"].to_list() == [None, None]


def test_a_policy_that_changes_holds_for_older_files_when_they_are_read_again(project):
    project.configure("sources/things", "type: files\npath: incoming/*\nformat: csv")
    for name in ("0-plain", "1-new"):
        project.deliver(name, WRITERS["csv"][1](FILES[name]))
    _, rows, _ = curated(project, "ignore", "allow")
    assert "extra" not in rows.columns
    project.change("datasets/a/things", "new_columns: ignore", "new_columns: add")
    with project.lake() as lake:
        assert any("older configuration" in note.message for note in lake.curate("a/things").notes)
        lake.curate("a/things", again=True)
        assert lake.read("a/things").sort("id")["extra"].to_list() == [None, None, "7", "8"]
        assert "extra" not in lake.read("a/things", version=0).columns


def test_one_source_feeds_datasets_that_read_it_by_formats_of_their_own(project):
    project.configure("sources/things", "type: files\npath: incoming/*\nformat: csv")
    for kind, name in {"lines": "line", "binary": "sha256"}.items():
        said = f"source: things\nformat: {{type: {kind}}}\nnew_columns: add\n"
        project.configure(f"datasets/a/{kind}", f"{said}schema: {{features: {{{name}: {{type: string}}}}}}")
    texts = {name: WRITERS["csv"][1](FILES[name]) for name in ("0-plain", "1-new")}
    for name, text in texts.items():
        project.deliver(name, text)
    _, rows, _ = curated(project, "add", "allow")
    assert rows["extra"].to_list() == [None, None, "7", "8"]
    with project.lake() as lake:
        lake.curate("a/lines")
        lake.curate("a/binary")
        lines, files = lake.read("a/lines"), lake.read("a/binary")
    assert sorted(lines["line"]) == sorted("".join(texts.values()).split())
    assert sorted(zip(files["name"], files["size"], strict=True)) == [(name, str(len(texts[name]))) for name in texts]
    assert set(files["_raw"]) == set(lines["_raw"]) == set(rows["_raw"])
