"""How results look, on a terminal and as lines."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lakehouse.cli import output
from lakehouse.records import Curated, Landed, Note, Ran

# On a terminal


def on_a_terminal(project, *arguments):
    """What a terminal of 100 columns is sent."""
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "lakehouse", *arguments],
        cwd=project.folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    said = b""
    try:
        while part := os.read(master, 4096):
            said += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)
    process.wait(timeout=120)
    return said.decode()


def test_a_terminal_sees_progress_and_then_the_result(project):
    project.deliver("1.csv", project.morning)
    said = on_a_terminal(project, "run", "nightly")
    assert re.search(r"curate aviation/flights.*\d+ B of \d+ B", said)
    assert "1 file of 1 file " in said
    assert "version 0: 1 file, 2 rows read = 2 curated + 0 rejected" in said


def test_an_errors_type_is_red_on_a_terminal(project):
    assert "\x1b[31m\x1b[1mNotFoundError\x1b[0m: no job" in on_a_terminal(project, "run", "nightli")


def test_what_is_wider_than_a_terminal_is_folded_under_its_own_branch(project):
    project.deliver("1.csv", project.morning)
    project.deliver("2.csv", project.noon + "2013-01-01T14:00:00Z,DL,many,LGA,0\n")
    for said in (on_a_terminal(project, "run", "nightly"), on_a_terminal(project, "lineage", "aviation/flights")):
        lines = [click.unstyle(line.rpartition("\r")[2]) for line in said.replace("\r\n", "\n").splitlines()]
        assert max(map(len, lines)) <= 100
    assert any(re.match(r"│ +\S", line) or re.match(r"  +\S", line) for line in lines)


def test_a_rows_provenance_fits_a_terminal_line(project):
    project.deliver("1.csv", project.morning)
    project.run()
    said = on_a_terminal(project, "read", "aviation/flights", "--provenance", "--columns", "carrier,flight,origin")
    assert re.search(r"UA +1545 +EWR +\d+ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", click.unstyle(said))


# Lines


def test_many_notes_of_a_kind_are_a_few_and_a_count():
    notes = [Note("duplicate", f"{n}.csv", "same\ncontent") for n in range(31)] + [Note("empty", "x", "no rows")]
    lines = output.note_lines(notes)
    assert lines[0] == "duplicate: 0.csv: same content"
    assert lines[5:] == ["duplicate: and 26 more", "empty: x: no rows"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2_516_582, "2.4 MiB"), (1 << 42, "4.0 TiB")]
)
def test_sizes_are_readable(count, text):
    assert output.size(count) == text


def test_what_a_landing_did_names_every_count_that_is_not_zero():
    landed = Landed("s", 1, files=9, new=2, unchanged=1, duplicates=3, settling=2, failed=1, size=2048)
    said = "9 files: 2 new, 1 unchanged, 3 with known content, 2 still settling, 1 failed, 2.0 KiB"
    assert output.landed_line(landed) == said


def test_a_run_that_refused_a_file_is_not_called_done():
    ran = Ran("nightly", "nightly/1", curated=(Curated("a/b", 1, 0, files=1, refused=1),))
    assert "finished with problems" in click.unstyle("\n".join(output.ran_lines(ran)))
