"""COPY text: a missing value, an empty text and every escape come back as they were; damage stays its own line's."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import CopyFormat, Count, Raw
from lakehouse.formats.copy_format import escaped


def raw(folder, data, name="a.copy"):
    path = folder / name
    path.write_bytes(data)
    return Raw(name, name, path)


def read(format_, files, folder):
    """All rows, read as a curation does: the fast scan, then what is doubtful with care. Also which were doubted."""
    prepared = [format_.prepare(file, folder) for file in files]
    try:
        frame = format_.scan(prepared).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        doubtful, frame = prepared, None
    else:
        found = frame.group_by("_raw").agg(rows=pl.len(), suspects=pl.col("_suspect").sum())
        counts = {name: Count(rows, suspects) for name, rows, suspects in found.rows()}
        doubtful = format_.doubtful(prepared, counts)
    names = [file.raw.sha256 for file in doubtful]
    parts = [] if frame is None else [frame.drop("_suspect").filter(~pl.col("_raw").is_in(names))]
    broken = []
    for file in doubtful:
        careful = format_.careful(file, folder)
        parts.append(careful.frame.collect(engine="streaming"))
        broken += careful.broken.sort("_row").select("_row", "_text", "_reason").collect().rows()
    return pl.concat(parts).sort("_raw", "_row"), broken, names


def values(format_, data, folder):
    frame, broken, doubted = read(format_, [raw(folder, data)], folder)
    assert not broken
    return frame.drop("_raw", "_row").rows(), bool(doubted)


def test_missing_empty_and_the_text_that_means_missing_are_three_things(tmp_path):
    data = b"a\tb\n\\N\t\n\t\\N\n\\\\N\tNULL\n"
    assert values(CopyFormat(), data, tmp_path) == ([(None, ""), ("", None), ("\\N", "NULL")], False)


def test_usual_escapes_are_undone_by_the_fast_reading(tmp_path):
    data = b"a\tb\n1\\t2\\n3\\r4\\b5\\f6\\v7\\\\n\t\"'\n"
    assert values(CopyFormat(), data, tmp_path) == ([("1\t2\n3\r4\b5\f6\v7\\n", "\"'")], False)


def test_octal_hexadecimal_and_needless_escapes_are_read_as_postgresql_reads_them(tmp_path):
    data = b"a\tb\n\\101\\x42\\x4g\\q\tx\\Ny\n\\303\\251\t\\xc3\\xa9\n\\1019\t\\.\n"
    rows, doubted = values(CopyFormat(), data, tmp_path)
    assert rows == [("AB\x04gq", "xNy"), ("é", "é"), ("A9", ".")]
    assert doubted


def test_a_line_end_and_a_tab_behind_a_backslash_are_of_the_value_as_mysql_writes_them(tmp_path):
    data = b"1\tone\\\ntwo\\\n\tx\n2\ta\\\tb\\0\ty\\\r\n"
    rows, _ = values(CopyFormat(header=False, columns=("n", "t", "u")), data, tmp_path)
    assert rows == [("1", "one\ntwo\n", "x"), ("2", "a\tb\0", "y\r")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "row: 1 value, expected 2"),
        (b"", "row: 1 value, expected 2"),
        (b"1\t2\t", "row: 3 values, expected 2"),
        (b"1\t2\\", "row: a lone backslash at its end"),
        (b"1\t\xff2", "row: 'b' is not UTF-8 at byte 1"),
        (b"1\t\\377", "row: 'b' is not UTF-8 at byte 1"),
    ],
)
def test_a_damaged_line_is_broken_alone_and_the_rows_keep_their_numbers(tmp_path, line, reason):
    frame, broken, _ = read(CopyFormat(), [raw(tmp_path, b"a\tb\n0\t\n" + line + b"\n3\tx\n")], tmp_path)
    assert frame.drop("_raw").rows() == [("0", "", 1), ("3", "x", 3)]
    assert broken == [(2, line.decode("utf-8", "backslashreplace"), reason)]


def test_one_short_and_one_long_line_do_not_make_up_for_one_another(tmp_path):
    frame, broken, _ = read(CopyFormat(), [raw(tmp_path, b"a\tb\n1\n1\t2\t3\n4\t5\n")], tmp_path)
    assert frame.drop("_raw").rows() == [("4", "5", 3)]
    assert [row for row, *_ in broken] == [1, 2]


@pytest.mark.parametrize("end", [b"\\.\n", b"\\.", b"\\.\r\n"])
def test_the_marker_that_ends_a_script_is_no_record(tmp_path, end):
    ending = b"\r\n" if end.endswith(b"\r\n") else b"\n"
    assert values(CopyFormat(), ending.join([b"a", b"1", b"", end]), tmp_path)[0] == [("1",), ("",)]


def test_a_byte_order_mark_that_is_data_stays(tmp_path):
    data = "a\tb\n\ufeff1\t2\n".encode()
    assert values(CopyFormat(), data, tmp_path)[0] == [("\ufeff1", "2")]
    assert values(CopyFormat(), b"\xef\xbb\xbf" + data, tmp_path)[0] == [("\ufeff1", "2")]


def test_carriage_returns_are_data_unless_they_end_every_line(tmp_path):
    assert values(CopyFormat(), b"a\tb\n\r\tx\r\n", tmp_path)[0] == [("\r", "x\r")]
    assert values(CopyFormat(), b"a\tb\r\n1\tx\r\n2\ty\r\n", tmp_path)[0] == [("1", "x"), ("2", "y")]


def test_another_text_may_stand_for_missing(tmp_path):
    assert values(CopyFormat(null=""), b"a\tb\n\t\\N\n", tmp_path)[0] == [(None, "N")]
    assert values(CopyFormat(null="NULL"), b"a\tb\nNULL\t\n1\t\\101\n", tmp_path)[0] == [(None, ""), ("1", "A")]


def test_names_are_escaped_too_and_may_be_given_instead(tmp_path):
    file = raw(tmp_path, b"a\\tb\tc\n1\t2\n")
    assert CopyFormat().prepare(file, tmp_path).columns == ("a\tb", "c")
    assert CopyFormat(columns=("x", "y")).prepare(file, tmp_path).columns == ("x", "y")
    assert CopyFormat(header=False).prepare(file, tmp_path).columns == ("column_1", "column_2")
    with pytest.raises(FormatError, match="2 names, 'columns' 1"):
        CopyFormat(columns=("x",)).prepare(file, tmp_path)
    with pytest.raises(FormatError, match="columns of the same name: 'a'"):
        CopyFormat().prepare(raw(tmp_path, b"a\ta\n"), tmp_path)


def test_many_files_are_one_scan_and_a_damaged_one_is_told_apart(tmp_path):
    files = [
        raw(tmp_path, data, f"{n}.copy") for n, data in enumerate([b"a\tb\n1\t2\n", b"a\tb\n4\t5\n3\n", b"a\tb\n6\t\n"])
    ]
    frame, broken, doubted = read(CopyFormat(), files, tmp_path)
    assert frame.rows() == [("1", "2", "0.copy", 1), ("4", "5", "1.copy", 1), ("6", "", "2.copy", 1)]
    assert [row for row, *_ in broken] == [2]
    assert doubted == ["1.copy"]


def test_a_record_is_found_by_its_number(tmp_path):
    file = raw(tmp_path, b"a\tb\n1\tx\\\ny\n2\n3\tz\n")
    assert CopyFormat().locate(file, 1, tmp_path)[:2] == (2, "1\tx\\\ny")
    assert CopyFormat().locate(file, 3, tmp_path)[:2] == (5, "3\tz")
    with pytest.raises(NotFoundError, match="there is no record 4; it has 3"):
        CopyFormat().locate(file, 4, tmp_path)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["\\N", "", "\\", "\t", "\\.", "\ufeff", "\r"]
)


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[st.none() | TEXTS] * n), min_size=1, max_size=6)))
@settings(max_examples=60, deadline=None)
def test_any_table_comes_back_as_it_was_and_every_record_is_found(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("copy")
    lines = [b"\t".join(escaped(None if v is None else v.encode()) for v in row) for row in rows]
    names = [f"c{n}" for n in range(len(rows[0]))]
    data = "\t".join(names).encode() + b"\n" + b"".join(line + b"\n" for line in lines)
    assert values(CopyFormat(), data, folder) == (rows, rows[0][0] is not None and rows[0][0].startswith("\ufeff"))
    found = CopyFormat().locate(raw(folder, data), len(rows), folder)
    assert found[:2] == (len(rows) + 1, lines[-1].decode())


def test_rows_are_curated_and_the_broken_one_is_quarantined_with_its_text(project):
    project.change("sources/flights", "{type: csv, null_values: [NA]}", "{type: copy}")
    project.deliver(
        "a.copy",
        "time_hour\tcarrier\tflight\torigin\tdep_delay\n"
        "2013-01-01T05:00:00Z\tU\\tA\t1545\tEWR\t\\N\n2013-01-01T06:00:00Z\tAA\n",
    )
    project.run()
    assert project.read().select("carrier", "dep_delay").rows() == [("U\tA", None)]
    assert project.quarantine()[0]["text"] == "2013-01-01T06:00:00Z\tAA"
