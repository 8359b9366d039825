"""Log lines and text lines: the number of a row is the number of its line."""

from __future__ import annotations

import pytest
from lines_read import read
from pydantic import ValidationError

from lakehouse.formats import FORMATS

HIT = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326'
BROWSER = ' "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; \\"I\\")"'


def log(pattern):
    return FORMATS["log"].model_validate({"type": "log", "pattern": pattern})


def test_the_common_and_the_combined_log_are_known(tmp_path):
    common = log("common")
    assert common.names == ("host", "ident", "user", "time", "request", "status", "bytes")
    whole, broken = read(common, tmp_path, f"{HIT}\n\nrubbish\n{HIT}\n".encode())
    hit = ("127.0.0.1", "-", "frank", "10/Oct/2000:13:55:36 -0700", "GET /a.gif HTTP/1.0", "200", "2326")
    assert whole == [(*hit, 1), (*hit, 4)]
    assert broken == [(3, "rubbish", "row: does not match 'common'")]
    whole, _ = read(log("combined"), tmp_path, f"{HIT}{BROWSER}\n".encode())
    assert whole == [(*hit, "http://www.example.com/start.html", 'Mozilla/4.08 [en] (Win98; \\"I\\")', 1)]


def test_a_pattern_of_ones_own_must_match_the_whole_line(tmp_path):
    form = log(r"(?P<level>INFO|WARN) (?P<text>.*?)(?: \[(?P<code>[0-9]+)\])?")
    whole, broken = read(form, tmp_path, b"INFO started\nWARN disk [7]\n INFO shifted\nWARN \xff\n")
    assert whole == [("INFO", "started", None, 1), ("WARN", "disk", "7", 2)]
    assert [row[:2] for row in broken] == [(3, " INFO shifted"), (4, "WARN \\xff")]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<a>", "no regular expression"),
        ("(?P<a>x)(?=y)", "look-around"),
        ("[0-9]+", "no named group"),
        ("([0-9]+)", "no named group"),
        ("(?P<_row>x)", "a name the lake keeps"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(pattern, message):
    with pytest.raises(ValidationError, match=message):
        log(pattern)


def test_each_line_of_text_is_a_row(tmp_path):
    lines = FORMATS["lines"]()
    assert read(lines, tmp_path, b"one\r\n\n a,b \nlast") == ([("one", 1), ("", 2), (" a,b ", 3), ("last", 4)], [])
    assert read(lines, tmp_path, b"") == ([], [])
    whole, broken = read(lines, tmp_path, b"a\n" + b"x" * (17 << 20) + b"\nb\n\xff\n")
    assert whole == [("a", 1), ("b", 3)]
    assert [(row[0], len(row[1]) < 70_000) for row in broken] == [(2, True), (4, True)]
    assert broken[0][1].endswith("x … (17,825,793 bytes)")


def test_a_wrong_pattern_is_told_with_its_file_and_key(project):
    project.configure("sources/flights", 'type: files\npath: incoming/*\nformat: {type: log, pattern: "(?P<a>"}')
    with pytest.raises(Exception, match=r"(?s)flights\.yaml.*pattern"), project.lake():
        pass


def test_log_lines_are_curated_and_traced(project):
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: log, pattern: common}")
    project.configure(
        f"datasets/{project.flights}",
        "source: flights\nschema:\n  features:\n    host: {type: string}\n    status: {type: int}",
    )
    project.deliver("access.log", f"{HIT}\nrubbish\n")
    assert project.run().ok
    with project.lake() as lake:
        row = lake.read(project.flights).row(0, named=True)
        assert (row["host"], row["status"]) == ("127.0.0.1", 200)
        assert lake.trace(project.flights, row).text == HIT
    assert [row["_row"] for row in project.quarantine()] == [2]
