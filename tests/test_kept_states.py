"""Kept states spare reads the adding up of all rows, and no answer is ever another one because of them."""

import os
import signal
from datetime import UTC, datetime

import pytest

from lakehouse.views import keeping

DATASET = "aviation/planes"
PLANES = """
    source: planes
    history: changes
    keys: [tail]
    event_time: at
    delete_when: seats = 0
    schema:
      features:
        tail: {type: string}
        at: {type: datetime}
        seats: {type: int}
"""
MORE = range(1, 5)
KILLED = "from lakehouse import Lake; from lakehouse.views import keeping; keeping._FEW = 0; lake = Lake()"


@pytest.fixture
def planes(project, monkeypatch):
    """A keyed dataset whose state is kept of however few rows; seven planes, one of them deleted since."""
    monkeypatch.setattr(keeping, "_FEW", 0)
    project.configure("sources/planes", "type: files\npath: planes/*\nformat: {type: csv}")
    project.configure(f"datasets/{DATASET}", PLANES)
    (project.folder / "planes").mkdir()
    add(
        project,
        "a",
        "N1,2020-01-03,10",
        "N2,2020-01-03,20",
        "N3,2020-01-03,30",
        *(f"M{n},2020-01-03,{n}" for n in MORE),
    )
    add(project, "b", "N2,2020-01-05,0", "M1,2020-01-05,1")
    return project


def add(project, name, *rows):
    lines = [f"{tail},{at}T00:00:00Z,{seats}" for tail, at, seats in (row.split(",") for row in rows)]
    (project.folder / f"planes/{name}.csv").write_text("\n".join(["tail,at,seats", *lines]) + "\n")
    with project.lake() as lake:
        lake.land("planes")
        return lake.curate(DATASET)


def kept(project):
    return sorted((project.folder / "data/cache").rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)


def seats(project, **which):
    with project.lake() as lake:
        return dict(lake.read(DATASET, **which).select("tail", "seats").rows())


def used(project, **which):
    """The version whose kept state a read is made of."""
    with project.lake() as lake:
        return lake.files(DATASET, **which).kept


NOW = {"N1": 10, "N3": 30} | {f"M{n}": n for n in MORE}


def test_reads_are_made_of_the_kept_state_and_the_rows_since(planes):
    assert used(planes) == 1
    assert seats(planes) == NOW
    (first, second) = kept(planes)
    add(planes, "c", "N3,2020-01-06,31")  # not a fifth of what is kept
    assert kept(planes) == [first, second]
    assert used(planes) == 1
    assert seats(planes) == NOW | {"N3": 31}
    assert (seats(planes, version=0), used(planes, version=0)) == (NOW | {"N2": 20}, 0)


def test_a_late_row_does_not_bring_back_what_was_deleted_after_it(planes):
    add(planes, "late", "N2,2020-01-04,21")
    assert used(planes) == 1
    assert seats(planes) == NOW
    assert seats(planes, valid_at="2020-01-04T00:00:00Z") == NOW | {"N2": 21}
    assert seats(planes, valid_at="2999-01-01T00:00:00Z") == NOW


def test_a_correction_of_rows_that_a_state_was_made_of_puts_it_out_of_use(planes):
    add(planes, "a", "N1,2020-01-03,11")
    assert seats(planes) == {"N1": 11, "M1": 1}
    assert used(planes) == 2
    assert seats(planes, version=1) == NOW
    for file in kept(planes)[2:]:
        file.unlink()
    assert used(planes) is None
    assert seats(planes) == {"N1": 11, "M1": 1}


def test_a_damaged_one_is_not_read_is_told_and_is_made_again(planes):
    file = kept(planes)[-1]
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert used(planes) == 0
    assert seats(planes) == NOW
    with planes.lake() as lake:
        (told,) = [p for p in lake.check() if "cache/" in p.where]
    assert told.harmless
    assert "hash" in told.message
    add(planes, "c", "N3,2020-01-06,31", "N1,2020-01-06,11")
    assert used(planes) == 2
    assert seats(planes) == NOW | {"N3": 31, "N1": 11}


def test_one_of_another_ledgers_version_of_that_number_is_not_taken_for_it(planes):
    number, mark, rest = kept(planes)[-1].name.split("-")
    other = "0" * 16 if mark != "0" * 16 else "1" * 16
    kept(planes)[-1].rename(kept(planes)[-1].with_name(f"{number}-{other}-{rest}"))
    assert used(planes) == 0
    assert seats(planes) == NOW


def test_those_of_an_older_generation_are_not_taken_for_the_new_ones(planes):
    planes.change(f"datasets/{DATASET}", "seats: {type: int}", "seats: {type: float}")
    with planes.lake() as lake:
        lake.curate(DATASET, again=True)
    assert used(planes) == 2
    assert seats(planes) == {tail: float(number) for tail, number in NOW.items()}
    assert seats(planes, version=1) == NOW


def test_nothing_needs_them(planes):
    for file in kept(planes):
        file.unlink()
    assert used(planes) is None
    assert seats(planes) == NOW
    assert seats(planes, version=0)["N2"] == 20


def test_those_that_were_replaced_are_removed_when_nobody_can_be_reading_them(planes):
    old = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for file in kept(planes):
        os.utime(file, (old, old))
    add(planes, "c", "N1,2020-01-07,1", "N3,2020-01-07,3")
    assert [file.name.partition("-")[0] for file in kept(planes)] == ["2"]


@pytest.mark.parametrize("at", ["state.written", "state.placed"])
def test_a_kill_while_one_is_kept_costs_nothing(planes, at):
    (planes.folder / "planes/c.csv").write_text("tail,at,seats\nN5,2020-01-07T00:00:00Z,5\nN6,2020-01-07T00:00:00Z,6\n")
    code = f"{KILLED}; lake.land('planes'); lake.curate('{DATASET}')"
    process = planes.start("-c", code, LAKEHOUSE_FAIL_AT=at)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert seats(planes) == NOW | {"N5": 5, "N6": 6}
    with planes.lake() as lake:
        lake.curate(DATASET)
        assert [p for p in lake.check() if not p.harmless] == []
    assert seats(planes) == NOW | {"N5": 5, "N6": 6}


def test_a_disk_that_refuses_them_stops_no_curation(planes):
    folder = planes.folder / "data/cache"
    for file in kept(planes):
        file.unlink()
    (folder / DATASET).rmdir()
    (folder / DATASET).write_text("in the way")
    assert add(planes, "c", "N1,2020-01-07,1").version == 2
    assert seats(planes) == NOW | {"N1": 1}
