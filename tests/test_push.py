"""Bytes that are pushed: all of them or none, under a safe name, whatever hands them over."""

import contextlib
import io
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from lakehouse.cli import program
from lakehouse.errors import ConfigError, NotFoundError, SourceError


@pytest.fixture
def pushed(project):
    project.configure("sources/flights", "type: push\nformat: {type: csv, null_values: [NA]}")
    return project


def push(project, name, data):
    with project.lake() as lake:
        return lake.land_bytes("flights", name, data)


@pytest.mark.parametrize(
    "made",
    [
        lambda data: data,
        io.BytesIO,
        lambda data: io.BufferedReader(io.BytesIO(data)),
        lambda data: (data[at : at + 7] for at in range(0, len(data), 7)),
    ],
)
def test_bytes_files_and_pieces_are_landed_alike(pushed, made):
    done = push(pushed, "morning.csv", made(pushed.morning.encode()))
    assert (done.new, done.size) == (1, len(pushed.morning))
    assert pushed.run().ok
    assert len(pushed.read()) == 2
    with pushed.lake() as lake:
        [raw] = lake.show("flights").raw
        row = lake.read(pushed.flights).row(0, named=True)
        assert raw.name == "morning.csv"
        assert lake.trace(pushed.flights, row).origins == ("push:morning.csv",)


def test_the_same_again_changes_nothing_and_other_bytes_take_its_place(pushed):
    push(pushed, "day.csv", pushed.morning.encode())
    assert push(pushed, "day.csv", pushed.morning.encode()).unchanged == 1
    pushed.run()
    assert push(pushed, "day.csv", pushed.noon.encode()).new == 1
    pushed.run()
    assert pushed.read()["carrier"].to_list() == ["B6", "DL"]


def test_a_stream_that_breaks_leaves_nothing(pushed):
    def broken():
        yield pushed.morning.encode()
        raise ValueError("the sender went away")

    with pytest.raises(ValueError, match="went away"):
        push(pushed, "day.csv", broken())
    with pytest.raises(TypeError, match="binary mode"):
        push(pushed, "day.csv", io.StringIO("text"))
    assert not list((pushed.folder / "data" / "raw").glob("flights/*/*"))
    assert not list((pushed.folder / "data" / "raw" / ".incoming" / "flights").glob("*"))
    assert push(pushed, "day.csv", pushed.morning.encode()).new == 1


@pytest.mark.parametrize("error", [ConnectionResetError(104, "gone"), SourceError("no more"), OSError("gone")])
def test_what_a_stream_raises_is_what_its_sender_sees(pushed, error):
    def broken():
        yield b"half"
        raise error

    with pytest.raises(type(error)) as caught:
        push(pushed, "day.csv", broken())
    assert caught.value is error
    with pushed.lake() as lake:
        assert not lake.show("flights").raw


def test_a_pipe_given_as_a_file_is_refused_with_a_way_out_and_never_waited_for(pushed):
    os.mkfifo(pushed.folder / "pipe")
    with pushed.lake() as lake:
        done = lake.land_file("flights", pushed.folder / "pipe")
    assert (done.new, done.failed) == (0, 1)
    assert "--file - --name NAME" in done.notes[-1].message


@pytest.mark.parametrize("name", ["", ".", "..", "../day.csv", "a/b.csv", "/etc/passwd", "a\0b", "\ud800"])
def test_no_path_is_a_name(pushed, name):
    with pytest.raises(ConfigError, match="cannot be the name of a file"):
        push(pushed, name, b"x")


def test_an_unknown_source_is_named(pushed):
    with pushed.lake() as lake, pytest.raises(NotFoundError, match="flights"):
        lake.land_bytes("flihgts", "a.csv", b"")


def test_any_source_takes_what_is_pushed_and_push_alone_lands_nothing(project, pushed):
    ran = pushed.run()
    assert ran.ok
    assert ran.landed[0].files == 0
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: csv}")
    assert push(project, "morning.csv", project.morning.encode()).new == 1


def _cli(project, *arguments, given=b""):
    command = [sys.executable, "-m", "lakehouse", "land", "flights", *arguments]
    return subprocess.run(command, cwd=project.folder, input=given, capture_output=True, check=False)


def test_the_command_takes_files_and_standard_input(pushed):
    done = _cli(pushed, "--file", "-", "--name", "day.csv", given=pushed.morning.encode())
    assert done.returncode == 0, done.stderr
    assert b"1 new" in done.stdout
    pushed.deliver("noon.csv", pushed.noon)
    assert b"1 new" in _cli(pushed, "--file", "incoming/noon.csv").stdout
    with contextlib.chdir(pushed.folder):
        assert "--name" in CliRunner().invoke(program, ["land", "flights", "--file", "-"]).output
    shell = f'exec "{sys.executable}" -m lakehouse land flights --file - --name x <&-'
    closed = subprocess.run(["sh", "-c", shell], cwd=pushed.folder, capture_output=True, check=False)
    assert (closed.returncode, b"standard input is closed" in closed.stderr) == (2, True)
