"""JSON and NDJSON: every value as it was written, every broken record apart."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import Count, JsonFormat, NdjsonFormat, Raw
from lakehouse.formats.json_lines import NotAnObjectError, tokens


def raw_of(folder, data, name="file.json"):
    path = folder / name
    path.write_bytes(data)
    return Raw(f"sha-{name}", name, path)


def read(form, folder, data):
    """The rows as (values by column, number), the broken ones, and whether the fast scan sufficed."""
    file = form.prepare(raw_of(folder, data), folder)
    if not file.columns:
        return [], [], True
    frame = form.scan([file]).collect(engine="streaming")
    counted = {"sha-file.json": Count(frame.height, frame["_suspect"].sum())}
    fast = not form.doubtful([file], counted)
    broken = []
    if not fast:
        found = form.careful(file, folder)
        frame = found.frame.collect(engine="streaming")
        broken = [row[1:] for row in found.broken.collect().sort("_row").rows()]
    rows = frame.sort("_row").select(*file.columns, "_row").rows(named=True)
    return (
        [({key: row[key] for key in file.columns if row[key] is not None}, row["_row"]) for row in rows],
        broken,
        fast,
    )


def test_values_stay_as_they_are_written(tmp_path):
    data = rb"""{"a":1.10,"b":12345678901234567890,"c":"x\n\"\u00e9","d":{"k": 1.0},"e":[1, 2.50],"f":true,"g":null}
{"a":1e400,"b":-0,"c":"\ud83d\ude00","d":{},"e":[],"f":false,"g":"null"}
"""
    rows, broken, fast = read(NdjsonFormat(), tmp_path, data)
    assert fast
    assert not broken
    assert rows == [
        (
            {"a": "1.10", "b": "12345678901234567890", "c": 'x\n"é', "d": '{"k": 1.0}', "e": "[1, 2.50]", "f": "true"},
            1,
        ),
        ({"a": "1e400", "b": "-0", "c": "😀", "d": "{}", "e": "[]", "f": "false", "g": "null"}, 2),
    ]


def test_a_key_that_comes_late_is_a_column(tmp_path):
    lines = [b'{"a":%d}' % number for number in range(5000)]
    lines[4000] = b'{"a":1,"late":"here"}'
    rows, broken, fast = read(NdjsonFormat(), tmp_path, b"\n".join(lines))
    assert (len(rows), broken, fast) == (5000, [], False)
    assert rows[4000] == ({"a": "1", "late": "here"}, 4001)
    assert rows[4999] == ({"a": "4999"}, 5000)


def test_each_broken_line_stands_apart(tmp_path):
    data = b"\n".join([
        b'{"a":1}', b'{"a":1', b"", b"[1]", b'{"a":1,"a":2}', b'{"a":"\xff"}', b'{"a":NaN}', b'{"a":"\\ud800"}',
        b'{"a":"\\q"}',
        b'{"a":01}', b'{"a":1,}', b'{,"a":1}', b'{"a":1}}', b'{"a" 1}', b"{}", b'{"a":[{"b":[1.50]}]}', b"  ",
    ])  # fmt: skip
    form = NdjsonFormat()
    rows, broken, _ = read(form, tmp_path, data)
    assert rows == [({"a": "1"}, 1), ({}, 14), ({"a": '[{"b":[1.50]}]'}, 15)]
    assert [number for number, _, _ in broken] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16]
    reasons = {number: (text, reason) for number, text, reason in broken}
    assert reasons[4] == ('{"a":1,"a":2}', "row: the key 'a' stands twice")
    assert reasons[5][0] == '{"a":"\\xff"}'
    assert reasons[3] == ("[1]", "row: not a JSON object")
    for number, text, reason in broken:
        assert reason.startswith("row: ")
        assert form.locate(raw_of(tmp_path, data), number, tmp_path).text == text
    assert form.locate(raw_of(tmp_path, data), 3, tmp_path).line == 4
    with pytest.raises(NotFoundError, match="it has 16"):
        form.locate(raw_of(tmp_path, data), 17, tmp_path)


PIECES = [
    "{",
    "}",
    '"a"',
    '"b"',
    ":",
    ",",
    "1",
    "1.50",
    "-0",
    '"x"',
    '"\\n"',
    '"\\u0041"',
    "null",
    "true",
    "[",
    "]",
    " ",
    "e",
    '{"a":1}',
    '{"b":2}',
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), max_size=6))
@example(['{"a":1,"b":[1,2]}', '{"a":[1,{}]}', '{"b":1,"a":2}'])
def test_every_line_is_one_record_or_one_broken_one_as_the_standard_library_says(tmp_path, lines):
    lines = ['{"a":0}', *lines]
    rows, broken, _ = read(NdjsonFormat(), tmp_path, "\n".join(lines).encode())
    expected, bad = [], []
    for number, line in enumerate((line for line in lines if line), 1):
        pairs = []
        try:
            pairs = json.loads(line, object_pairs_hook=lambda found: ("object", found), parse_int=str, parse_float=str)
            assert pairs[0] == "object"
            assert len(dict(pairs[1])) == len(pairs[1])
        except (ValueError, AssertionError, TypeError, IndexError):
            bad.append(number)
            continue
        expected.append(({key for key, value in pairs[1] if value is not None}, number))
    assert [(set(values), number) for values, number in rows] == expected
    assert [number for number, _, _ in broken] == bad


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\', max_size=3), inner, max_size=2),
    max_leaves=6,
)
objects = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "Ø", "x y", 'q"']), values, min_size=1, max_size=4),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects, st.booleans(), st.booleans())
def test_what_json_writes_is_read_back_from_lines_and_from_an_array(tmp_path, records, ascii_only, indented):
    def text(value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=ascii_only)

    expected = [{key: text(value) for key, value in record.items() if value is not None} for record in records]
    lines = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    rows, broken, _ = read(NdjsonFormat(), tmp_path, lines.encode())
    assert (rows, broken) == ([(values, number) for number, values in enumerate(expected, 1)], [])
    array = json.dumps(records, ensure_ascii=ascii_only, indent=2 if indented else None)
    rows, broken, _ = read(JsonFormat(), tmp_path, array.encode())
    assert [set(values) for values, _ in rows] == [set(values) for values in expected]
    assert not broken
    if not indented:
        assert [values for values, _ in rows] == expected


def test_files_of_one_layout_share_a_scan_and_keep_their_numbers(tmp_path):
    form = NdjsonFormat()
    files = [form.prepare(raw_of(tmp_path, b'{"a":%d}\n\n{"a":2}\n' % n, f"{n}*.json"), tmp_path) for n in range(5)]
    other = form.prepare(raw_of(tmp_path, b'{"b":1}', "other.json"), tmp_path)
    assert form.groups([*files, other]) == [files, [other]]
    rows = form.scan(files).collect(engine="streaming")
    assert rows.select("a", "_raw", "_row").rows()[2:4] == [("1", "sha-1*.json", 1), ("2", "sha-1*.json", 2)]


def test_the_array_may_lie_deeper_and_its_elements_over_many_lines(tmp_path):
    form = JsonFormat(records="result.items")
    data = b'{"n": 1,\n "result": {"x": [], "items": [\n {"a": 1.10,\n  "b": [1,\n2]},\n {"a": 2}]}, "end": null}'
    rows, broken, fast = read(form, tmp_path, data)
    assert (broken, fast) == ([], True)
    assert rows == [({"a": "1.10", "b": "[1, 2]"}, 1), ({"a": "2"}, 2)]
    assert form.locate(raw_of(tmp_path, data), 1, tmp_path)[:2] == (3, '{"a": 1.10,\n  "b": [1,\n2]}')
    assert form.locate(raw_of(tmp_path, data), 2, tmp_path).line == 6


def test_an_array_longer_than_one_block_is_read_whole(tmp_path):
    data = json.dumps([{"id": number, "text": "x" * 100} for number in range(30_000)], indent=1).encode()
    rows, broken, _ = read(JsonFormat(), tmp_path, data)
    assert [values["id"] for values, _ in rows] == [str(number) for number in range(30_000)]
    assert not broken
    assert JsonFormat().locate(raw_of(tmp_path, data), 20_001, tmp_path).line == 80_002


def test_one_object_is_one_record_and_odd_elements_are_broken(tmp_path):
    assert read(JsonFormat(), tmp_path, b' {"a": 1} ')[0] == [({"a": "1"}, 1)]
    rows, broken, _ = read(JsonFormat(), tmp_path, b'[{"a":1}, 3, {"a":"\xff"}, {"a":2}]')
    assert rows == [({"a": "1"}, 1), ({"a": "2"}, 4)]
    assert broken[0] == (2, "3", "row: not a JSON object")
    assert broken[1][:2] == (3, '{"a":"\\xff"}')


@pytest.mark.parametrize("form", [JsonFormat(), NdjsonFormat()])
@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf"])
def test_a_file_without_anything_has_no_columns_and_no_rows(tmp_path, form, data):
    file = form.prepare(raw_of(tmp_path, data), tmp_path)
    assert (file.columns, file.rows) == ((), 0)


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        (JsonFormat(), b'[{"a":1},{"a"', "truncated JSON"),
        (JsonFormat(), b'[{"a":1},{"a":"xy', "truncated JSON"),
        (JsonFormat(), b'[{"a":1},', "truncated JSON"),
        (JsonFormat(), b'[{"a":1}', "truncated JSON"),
        (JsonFormat(), b'[{"a":1}\n {"a":2}]', "not JSON at line 2"),
        (JsonFormat(), b'[{"a":1},]', "not JSON at line 1"),
        (JsonFormat(), b'{"a":1}\n{"a":2}', "type: ndjson"),
        (JsonFormat(), b"<html>", "neither an array"),
        (JsonFormat(records="resul"), b'{"result":[]}', "Did you mean 'result'"),
        (JsonFormat(records="a.b"), b'{"a":[]}', "'a' is no object"),
        (NdjsonFormat(), b"<html>\n<body>", "no record in it"),
        (NdjsonFormat(), b'{"_row":1}', "the lake keeps"),
        (NdjsonFormat(), b'{"":1}', "has no name"),
    ],
)
def test_a_file_that_is_not_of_its_format_is_refused_by_name(tmp_path, form, data, message):
    with pytest.raises(FormatError, match=f"file.json: .*{message}"):
        form.prepare(raw_of(tmp_path, data), tmp_path)


def test_more_columns_than_an_expression_can_hold_are_still_read(tmp_path):
    record = {f"column {number}": number for number in range(3000)}
    rows, broken, _ = read(NdjsonFormat(), tmp_path, json.dumps(record).encode())
    assert (rows, broken) == ([({key: str(value) for key, value in record.items()}, 1)], [])


def test_a_deeply_nested_line_is_no_crash():
    with pytest.raises(NotAnObjectError, match="nested too deeply"):
        tokens('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


def test_a_scan_gives_the_promised_types(tmp_path):
    form = NdjsonFormat()
    frame = form.scan([form.prepare(raw_of(tmp_path, b'{"a":1}\n'), tmp_path)])
    assert dict(frame.collect_schema()) == {"a": pl.String, "_raw": pl.String, "_row": pl.Int64, "_suspect": pl.Boolean}


@pytest.mark.parametrize("form", [JsonFormat, NdjsonFormat])
def test_objects_become_columns_as_deep_as_flatten_says_and_values_stay_as_written(tmp_path, form):
    data = b'{"a":{"b":1.10,"c":{"d":[1.0]}},"e":{},"f":"x"}'
    rows, _, _ = read(form(flatten=1), tmp_path, data)
    assert rows == [({"a.b": "1.10", "a.c": '{"d":[1.0]}', "e": "{}", "f": "x"}, 1)]
    rows, _, _ = read(form(flatten=9, separator="_"), tmp_path, data)
    assert rows == [({"a_b": "1.10", "a_c_d": "[1.0]", "e": "{}", "f": "x"}, 1)]


def test_flattened_keys_that_meet_are_a_broken_record_and_not_a_lost_value(tmp_path):
    rows, broken, _ = read(NdjsonFormat(flatten=1), tmp_path, b'{"a":{"b":1}}\n{"a.b":1,"a":{"b":2}}\nno\n')
    assert rows == [({"a.b": "1"}, 1)]
    assert [(row, reason) for row, _, reason in broken] == [
        (2, "row: the key 'a.b' stands twice"),
        (3, "row: not a JSON object"),
    ]
