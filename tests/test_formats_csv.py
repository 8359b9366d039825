"""CSV: what the fast scan calls fine is exactly the file; what is damaged stands apart, alone."""

from __future__ import annotations

import csv
import gzip
import io

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import Count, CsvFormat, Raw, csv_format, delimiter_hint


def raw_of(folder, data, name="file.csv"):
    path = folder / name
    path.write_bytes(data)
    return Raw(f"sha-{name}", name, path)


def prepared(folder, data, name="file.csv", **options):
    return CsvFormat(**options).prepare(raw_of(folder, data, name), folder)


def fast(csv, files):
    """The rows of a scan, and the files it says not to trust (all of them where it fails)."""
    try:
        frame = csv.scan(files).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None, list(files)
    counted = frame.group_by("_raw").agg(pl.len(), pl.col("_suspect").sum())
    return frame.drop("_suspect"), list(
        csv.doubtful(files, {raw: Count(rows, bad) for raw, rows, bad in counted.rows()})
    )


def careful(csv, file, folder):
    """Whole rows as (values, number), broken ones as (number, text, reason)."""
    found = csv.careful(file, folder)
    whole = [(row[:-2], row[-1]) for row in found.frame.collect(engine="streaming").rows()]
    return whole, [row[1:] for row in found.broken.collect().sort("_row").rows()]


def reference_fields(line):
    """The fields of one line by RFC 4180, a byte at a time; None where a quote is not closed rightly."""
    fields, at = [], 0
    while True:
        if line[at : at + 1] == b'"':
            value, at = b"", at + 1
            while True:
                close = line.find(b'"', at)
                if close < 0:
                    return None
                value, at = value + line[at:close], close + 1
                if line[at : at + 1] != b'"':
                    break
                value, at = value + b'"', at + 1
            fields.append(value)
            if at == len(line):
                return fields
            if line[at : at + 1] != b",":
                return None
            at += 1
        else:
            comma = line.find(b",", at)
            fields.append((line[at:] if comma < 0 else line[at:comma]) or None)
            if comma < 0:
                return fields
            at = comma + 1


def reference(data, columns):
    """Slow and plain: whole rows as (values, number), and the numbers of the broken ones."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    at = number = 0
    whole, broken = [], []
    while at < len(lines):
        if lines[at] in (b"", b"\r"):
            at += 1
            continue
        number += 1
        for stop in range(at + 1, len(lines) + 1):
            fields = reference_fields(b"\n".join(lines[at:stop]).removesuffix(b"\r"))
            if fields is not None:
                break
        if fields is None:
            broken.append(number)
            at += 1
            continue
        at = stop
        try:
            values = tuple(None if field is None else field.decode() for field in fields)
        except UnicodeDecodeError:
            values = ()
        if len(values) == columns:
            whole.append((values, number))
        else:
            broken.append(number)
    return whole, broken


PIECES = [
    b"a",
    b",",
    b",",
    b'"',
    b"\n",
    b"\n",
    b"\r\n",
    b'"a"',
    b'""',
    b"a,a\n",
    b"a,a\n",
    b"\xff",
    b'",',
    b',"',
    b"\r",
    b" ",
]
damaged = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged)
@example(b"a,a\na,a,")
@example(b'a,"a"a"\na,a\n')
@example(b'a,"a\na,"a",a\n')
@example(b"a,\r\r\n\r,a\n")
@example(b'a,a"a\na,a"a\n')
def test_a_scan_that_is_not_doubted_gives_exactly_the_records_of_the_file(tmp_path, body):
    data = b"p,q\n" + body
    csv, file = CsvFormat(), prepared(tmp_path, data)
    whole, broken = reference(body, 2)
    frame, doubted = fast(csv, [file]) if file.rows != 0 else (None, [])
    if not doubted and frame is not None:
        assert not broken
        assert [(row[:-2], row[-1]) for row in frame.rows()] == whole
    found, set_apart = careful(csv, file, tmp_path)
    assert found == whole
    assert [number for number, _, _ in set_apart] == broken


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged)
def test_locate_finds_every_record_under_the_number_the_reading_gave_it(tmp_path, body):
    csv, raw = CsvFormat(), raw_of(tmp_path, b"p,q\n" + body)
    whole, broken = careful(csv, csv.prepare(raw, tmp_path), tmp_path)
    for number, text, _ in broken:
        assert csv.locate(raw, number, tmp_path).text == text
    for values, number in whole:
        fields = reference_fields(csv.locate(raw, number, tmp_path).text.encode())
        assert tuple(None if field is None else field.decode() for field in fields) == values
    with pytest.raises(NotFoundError, match=f"no record {len(whole) + len(broken) + 1}"):
        csv.locate(raw, len(whole) + len(broken) + 1, tmp_path)


def test_each_damaged_row_stands_apart_with_its_number_its_text_and_the_reason(tmp_path):
    body = b'1,2\n3\n\n4,5,6\n7,\xff\n"6"z,1\n6,"q\n7,x"y\n8,"l\nm"\n9,10,'
    csv, file = CsvFormat(), prepared(tmp_path, b"a,b\n" + body)
    whole, broken = careful(csv, file, tmp_path)
    assert whole == [(("1", "2"), 1), (("7", 'x"y'), 7), (("8", "l\nm"), 8)]
    assert broken == [
        (2, "3", "row: 1 field, expected 2"),
        (3, "4,5,6", "row: 3 fields, expected 2"),
        (4, "7,\\xff", "row: not UTF-8 at byte 3; encoding latin-1?"),
        (5, '"6"z,1', "row: text after a closing quote"),
        (6, '6,"q', "row: unclosed quote"),
        (9, "9,10,", "row: 3 fields, expected 2"),
    ]
    assert csv.locate(file.raw, 9, tmp_path)[:2] == (12, "9,10,")
    assert csv.locate(file.raw, 8, tmp_path)[:2] == (10, '8,"l\nm"')


def test_an_unclosed_quote_in_a_large_file_takes_one_row_with_it(tmp_path):
    rows = [b"%d,name %d" % (number, number) for number in range(150_000)]
    rows[70_000] = b'70000,"open'
    csv, file = CsvFormat(), prepared(tmp_path, b"id,name\n" + b"\n".join(rows))
    whole, broken = careful(csv, file, tmp_path)
    assert len(whole) == 149_999
    assert broken == [(70_001, '70000,"open', "row: unclosed quote")]
    assert whole[70_000] == (("70001", "name 70001"), 70_002)


def test_a_quoted_field_may_run_over_many_reading_blocks(tmp_path):
    long = b"line\n" * 300_000
    file = prepared(tmp_path, b'a,b\n1,"' + long + b'"\n2,x\n')
    whole, broken = careful(CsvFormat(), file, tmp_path)
    assert [values[0] for values, _ in whole] == ["1", "2"]
    assert whole[0][0][1] == long.decode()
    assert not broken


def test_many_files_in_one_scan_keep_their_own_name_and_numbers(tmp_path):
    bodies = [b"a,b\n" + b"".join(b"%d,%d\n" % (file, row) for row in range(file % 4)) for file in range(9)]
    bodies[5] = bodies[5].rstrip(b"\n")
    files = [prepared(tmp_path, body, f"{number}*.csv") for number, body in enumerate(bodies)]
    csv = CsvFormat()
    assert len(csv.groups(files)) == 1
    frame, doubted = fast(csv, files)
    assert not doubted
    expected = [(str(f), str(r), f"sha-{f}*.csv", r + 1) for f in range(9) for r in range(f % 4)]
    assert frame.rows() == expected


def test_a_file_whose_rows_cannot_be_counted_is_scanned_alone(tmp_path):
    plain, folded = prepared(tmp_path, b"a,b\n1,2\n"), prepared(tmp_path, b'a,b\n1,"x\ny"\n2,3\n', "f.csv")
    commented = prepared(tmp_path, b"a,b\n#no\n1,2\n", "c.csv", comment="#")
    csv = CsvFormat(comment="#")
    assert [len(group) for group in csv.groups([plain, folded, commented, plain])] == [2, 1, 1]
    frame, doubted = fast(csv, [commented])
    assert (frame.rows(), doubted) == ([("1", "2", "sha-c.csv", 1)], [])
    assert fast(csv, [folded])[1] == [folded]


def test_one_damaged_file_among_many_is_doubted_alone(tmp_path):
    files = [prepared(tmp_path, b'a,b\n1,"2"\n', f"{n}.csv") for n in range(5)]
    files[3] = prepared(tmp_path, b'a,b\n1,"2"3""\n', "3.csv")
    _, doubted = fast(CsvFormat(), files)
    assert doubted == [files[3]]


def test_a_short_row_is_told_from_an_empty_last_value(tmp_path):
    csv, empty, short = CsvFormat(), prepared(tmp_path, b"a,b\n1,\n"), prepared(tmp_path, b"a,b\n1\n", "s.csv")
    assert fast(csv, [empty])[1] == []
    assert fast(csv, [short])[1] == [short]


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("utf-8", "\ufeffname,Ort\nÅse,Tromsø\n".encode()),
        ("utf-8", "name,Ort\nÅse,Tromsø\n".encode("utf-16")),
        ("utf-16", "name,Ort\nÅse,Tromsø\n".encode("utf-16")),
        ("latin-1", "name,Ort\nÅse,Tromsø\n".encode("latin-1")),
        ("cp865", "name,Ort\nÅse,Tromsø\n".encode("cp865")),
        ("utf-8", "name,Ort\rÅse,Tromsø\r".encode()),
        ("utf-8", "name,Ort\r\nÅse,Tromsø\r\n".encode()),
    ],
)
def test_an_encoding_and_its_line_ends_are_read(tmp_path, encoding, data):
    csv = CsvFormat(encoding=encoding)
    file = csv.prepare(raw_of(tmp_path, data), tmp_path)
    frame, doubted = fast(csv, [file])
    assert (file.columns, frame.rows(), doubted) == (("name", "Ort"), [("Åse", "Tromsø", "sha-file.csv", 1)], [])
    assert csv.locate(file.raw, 1, tmp_path)[:2] == (2, "Åse,Tromsø")


def test_bytes_that_are_no_text_in_the_encoding_break_their_own_row(tmp_path):
    csv = CsvFormat(encoding="utf-16-le")
    data = "a,b\n1,2\n3,".encode("utf-16-le") + b"\x00\xd8" + "\n5,6\n".encode("utf-16-le")
    whole, broken = careful(csv, csv.prepare(raw_of(tmp_path, data), tmp_path), tmp_path)
    assert [number for _, number in whole] == [1, 3]
    assert [number for number, _, _ in broken] == [2]


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\r\n\n"])
def test_a_file_without_anything_has_no_columns_and_no_rows(tmp_path, data):
    file = prepared(tmp_path, data)
    assert (file.columns, file.rows, CsvFormat().groups([file])) == ((), 0, [])


def test_a_file_with_its_header_only_has_columns_and_no_rows(tmp_path):
    file = prepared(tmp_path, b"a,b\n")
    assert (file.columns, file.rows) == (("a", "b"), 0)
    assert fast(CsvFormat(), [file])[0].rows() == []


def test_lines_before_the_header_are_passed_over_and_counted_as_lines(tmp_path):
    csv = CsvFormat(skip=2, comment="#", delimiter=";")
    file = csv.prepare(raw_of(tmp_path, b'report "x\nof today\n\n#units\nA;B\n#more\n1;2\n'), tmp_path)
    assert file.columns == ("A", "B")
    assert fast(csv, [file])[0].rows() == [("1", "2", "sha-file.csv", 1)]
    assert csv.locate(file.raw, 1, tmp_path)[:2] == (7, "1;2")


def test_a_file_without_a_header_gets_names(tmp_path):
    assert prepared(tmp_path, b"1,2\n", header=False).columns == ("column_1", "column_2")
    assert prepared(tmp_path, b"1,2\n", header=False, columns=["x", "y"]).columns == ("x", "y")
    assert prepared(tmp_path, b"a,b\n1,2\n", columns=["x", "y"]).columns == ("x", "y")
    with pytest.raises(FormatError, match=r"has 2 fields, 'columns' names 1"):
        prepared(tmp_path, b"a,b\n", columns=["x"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,a,b\n", "columns of the same name: 'a'"),
        (b"a,,b\n", "column 2 has no name"),
        (b"a,_row\n", "'_row' is a name the lake keeps"),
        (b"\x89PNG\0\0\0", "binary data"),
        ("a,b\n1,2\n".encode("utf-16-le"), "perhaps utf-16"),
        (b" <!DOCTYPE html><html>", "HTML"),
        (b"n\xe4me,b\n", "perhaps latin-1"),
        (b'a,"b\n1,2\n', "quote that is not closed"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "truncated gzip"),
    ],
)
def test_a_file_that_is_plainly_no_csv_is_refused_by_name(tmp_path, data, message):
    with pytest.raises(FormatError, match=f"file.csv: .*{message}"):
        prepared(tmp_path, data)


def test_a_header_in_one_piece_hints_at_its_delimiter():
    assert delimiter_hint(["a;b;c"]) == ";"
    assert delimiter_hint(["a\tb"]) == "\t"
    assert delimiter_hint(["a"]) is None
    assert delimiter_hint(["a;b", "c"]) is None


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": '"'},
        {"delimiter": "é"},
        {"delimiter": ",,"},
        {"encoding": "base64"},
        {"encoding": "utf8x"},
        {"columns": ["a", "a"]},
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValidationError):
        CsvFormat(**options)


def test_quotes_can_be_plain_text(tmp_path):
    csv = CsvFormat(quote="none", delimiter="tab")
    file = csv.prepare(raw_of(tmp_path, b'a\tb\n1\t"x\n2\t6"\n'), tmp_path)
    frame, doubted = fast(csv, [file])
    assert (frame["b"].to_list(), doubted) == (['"x', '6"'], [])


def test_large_files_are_scanned_alone_and_still_proven(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_format, "_ALONE", 8)
    files = [prepared(tmp_path, b'a,b\n1,"2"\n', "1.csv"), prepared(tmp_path, b'a,b\n1,"2"3""\n', "2.csv")]
    csv = CsvFormat()
    assert csv.groups(files) == [[files[0]], [files[1]]]
    assert [fast(csv, [file])[1] for file in files] == [[], [files[1]]]


def test_a_line_too_long_is_broken_alone(tmp_path):
    csv = CsvFormat(skip=1)
    file = prepared(tmp_path, b"note\na,b\n1,2\n3," + b"x" * (17 << 20) + b"\n5,6\n", skip=1)
    assert fast(csv, [file])[1] == [file]
    whole, broken = careful(csv, file, tmp_path)
    assert whole == [(("1", "2"), 1), (("5", "6"), 3)]
    ((number, text, reason),) = broken
    assert (number, reason, len(text) < 70_000) == (2, "row: a line longer than 16 MiB", True)
    assert text.endswith("x ... (17825794 bytes)")
    assert csv.locate(file.raw, 3, tmp_path)[:2] == (5, "5,6")


def test_a_byte_order_mark_within_a_file_is_text(tmp_path):
    csv, file = CsvFormat(), prepared(tmp_path, "a,b\n\ufeff1,2\n3,4\n".encode())
    assert fast(csv, [file])[1] == [file]
    assert careful(csv, file, tmp_path) == ([(("\ufeff1", "2"), 1), (("3", "4"), 2)], [])


def test_a_header_of_several_lines_is_joined(tmp_path):
    csv = CsvFormat(header_lines=2)
    file = csv.prepare(raw_of(tmp_path, b'temp,,"rain"\nmin,day,\n1,2,3\n'), tmp_path)
    assert file.columns == ("temp min", "day", "rain")
    assert fast(csv, [file])[0].rows() == [("1", "2", "3", "sha-file.csv", 1)]
    assert csv.locate(file.raw, 1, tmp_path)[:2] == (3, "1,2,3")
    with pytest.raises(FormatError, match="line 2, has 1 fields, its first line 2; correct 'header_lines'"):
        csv.prepare(raw_of(tmp_path, b"a,b\nc\n"), tmp_path)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n"])
def test_lines_at_the_end_are_no_records(tmp_path, end):
    csv = CsvFormat(footer=2)
    raw = raw_of(tmp_path, b"a,b\n1,2\ntotal\nof 1 row" + end)
    file = csv.prepare(raw, tmp_path)
    assert fast(csv, [file])[0].rows() == [("1", "2", "sha-file.csv", 1)]
    assert raw.path.read_bytes().endswith(b"of 1 row" + end)


texts = st.text(st.sampled_from('ab,"\\\n;N '), max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_is_written_with_escapes_comes_back(tmp_path, rows, quoting):
    rows = [(one, other) for one, other in rows if "\\N" not in (one, other)]
    text = io.StringIO()
    writer = csv.writer(text, escapechar="\\", doublequote=False, quoting=quoting, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    form = CsvFormat(escape="\\")
    file = form.prepare(raw_of(tmp_path, text.getvalue().encode()), tmp_path)
    whole, broken = careful(form, file, tmp_path)
    assert (broken, [tuple(value or "" for value in row) for row, _ in whole]) == ([], rows)


def test_escapes_make_plain_text_and_broken_lines_stay(tmp_path):
    form = CsvFormat(escape="\\")
    data = b'a,b\n1,"x\\"y"\n2,p\\,q\n3,\\N\n4,"z\n5,c\\\\\r\n'
    file = form.prepare(raw_of(tmp_path, data), tmp_path)
    whole, broken = careful(form, file, tmp_path)
    assert whole == [(("1", 'x"y'), 1), (("2", "p,q"), 2), (("3", "\\N"), 3), (("5", "c\\"), 5)]
    assert broken == [(4, '4,"z', "row: unclosed quote")]
    with pytest.raises(ValidationError, match="escape"):
        CsvFormat(escape='"')


def test_an_option_at_its_default_leaves_hashes_as_they_were():
    assert set(CsvFormat().model_dump(mode="json")) == {
        "type",
        "compression",
        "null_values",
        "delimiter",
        "quote",
        "encoding",
        "header",
        "columns",
        "comment",
        "skip",
    }
