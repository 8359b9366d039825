"""The files source: what is offered, in which order, and what never is."""

import os
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lakehouse.errors import SourceError
from lakehouse.formats import FORMATS
from lakehouse.records import Sighting
from lakehouse.sources.files import FilesSource, storable

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def source(folder, path, **fields):
    made = FilesSource(type="files", format=FORMATS["csv"](type="csv"), path=path, **fields)
    return made.within(Path(folder))


def names(made, seen=None):
    return [offer.name for offer in made.offers(seen or {}, NOW)]


def write(folder, *paths):
    for path in paths:
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def sighting(path, **changes):
    status = path.stat()
    seen = Sighting("s", path.name, status.st_size, str(status.st_mtime_ns), "0" * 64, NOW)
    return {path.name: replace(seen, **changes)}


def test_an_origin_moves_with_the_project_but_not_from_outside_it(tmp_path):
    write(tmp_path, "project/d/a.csv", "outside/b.csv")
    offers = source(tmp_path / "project", ["d/*.csv", str(tmp_path / "outside/*.csv")]).offers({}, NOW)
    assert sorted(o.origin for o in offers) == sorted(["d/a.csv", str(tmp_path / "outside/b.csv")])


def test_a_glob_gives_its_files_in_the_order_of_their_bytes(tmp_path):
    write(tmp_path, "d/b.csv", "d/a.csv", "d/B.csv", "d/ä.csv", "d/a.txt", "d/10.csv", "d/9.csv")
    assert names(source(tmp_path, "d/*.csv")) == ["10.csv", "9.csv", "B.csv", "a.csv", "b.csv", "ä.csv"]


def test_two_stars_go_into_every_folder(tmp_path):
    write(tmp_path, "d/1.csv", "d/x/2.csv", "d/x/y/3.csv", "d/x/.hidden/4.csv", "d/.5.csv")
    assert names(source(tmp_path, "d/**/*.csv")) == ["1.csv", "2.csv", "3.csv"]
    assert names(source(tmp_path, "d/**")) == ["1.csv", "2.csv", "3.csv"]
    assert names(source(tmp_path, "d/**/y/*")) == ["3.csv"]


def test_a_folder_in_a_glob_may_have_wildcards(tmp_path):
    write(tmp_path, "a1/f.csv", "a2/f.csv", "b1/f.csv")
    assert len(names(source(tmp_path, "a?/f.csv"))) == 2


def test_a_list_of_paths_gives_each_file_once(tmp_path):
    write(tmp_path, "a.csv", "b.csv")
    assert names(source(tmp_path, ["b.csv", "*.csv", "./a.csv"])) == ["a.csv", "b.csv"]


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    write(tmp_path, "a.csv")
    assert names(source("/nowhere", str(tmp_path / "*.csv"))) == ["a.csv"]


def test_excluded_files_are_left_out(tmp_path):
    write(tmp_path, "d/a.csv", "d/a_old.csv", "d/x/b.csv")
    assert names(source(tmp_path, "d/**/*.csv", exclude=["*_old.csv", "d/x/*"])) == ["a.csv"]


def test_a_glob_that_matches_nothing_offers_nothing(tmp_path):
    assert names(source(tmp_path, "nowhere/*.csv")) == []


def test_a_missing_plain_path_names_the_nearest(tmp_path):
    write(tmp_path, "flights.csv")
    with pytest.raises(SourceError, match=r"flihgts\.csv'. Did you mean 'flights\.csv'") as caught:
        names(source(tmp_path, "flihgts.csv"))
    assert not caught.value.retryable


def test_a_folder_as_a_path_says_how_to_name_its_files(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(SourceError, match=r"is a folder; write .*/d/\*'"):
        names(source(tmp_path, "d"))


def test_a_name_with_brackets_is_found_as_it_stands(tmp_path):
    write(tmp_path, "data[1].csv", "data1.csv")
    assert names(source(tmp_path, "data[1].csv")) == ["data[1].csv"]


def test_the_projects_own_folder_may_hold_brackets(tmp_path):
    write(tmp_path, "[x] *proj/d/a.csv")
    assert names(source(tmp_path / "[x] *proj", "d/*.csv")) == ["a.csv"]


@pytest.mark.parametrize(
    "name", ["a b.csv", 'it\'s "q".csv', "new\nline.csv", "ünï.csv", "back\\slash.csv", "-rf.csv", "🛫.csv"]
)
def test_any_name_is_offered_and_opens(tmp_path, name):
    write(tmp_path, name)
    [offer] = source(tmp_path, "*.csv").offers({}, NOW)
    with offer.open() as download:
        assert download.path.read_bytes() == b"x"
    offer.origin.encode()


def test_a_name_that_is_not_utf_8_has_a_storable_origin(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    [offer] = source(tmp_path, "*.csv").offers({}, NOW)
    assert offer.name == "caf\\xe9.csv"
    assert offer.origin.encode().endswith(b"caf\\xe9.csv")
    with offer.open() as download:
        assert download.path.read_bytes() == b"x"


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_two_paths_never_share_a_storable_text(one, other):
    texts = {storable(os.fsdecode(path)) for path in {one, other}}
    assert len(texts) == len({one, other})
    assert all(text.encode() for text in texts if text)


def test_folders_pipes_and_sockets_are_passed_over_without_hanging(tmp_path):
    write(tmp_path, "a.csv")
    (tmp_path / "d.csv").mkdir()
    os.mkfifo(tmp_path / "p.csv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.csv"))
        assert names(source(tmp_path, "*.csv")) == ["a.csv"]
    with pytest.raises(SourceError, match="not a regular file"):
        names(source(tmp_path, "p.csv"))


def test_a_pipe_put_in_the_files_place_is_refused_without_hanging(tmp_path):
    write(tmp_path, "a.csv")
    [offer] = source(tmp_path, "*.csv").offers({}, NOW)
    (tmp_path / "a.csv").unlink()
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(SourceError, match="not a regular file"), offer.open():
        pass


def test_linked_files_are_followed_and_linked_folders_do_not_loop(tmp_path):
    write(tmp_path, "real/a.csv")
    (tmp_path / "real/link.csv").symlink_to(tmp_path / "real/a.csv")
    (tmp_path / "real/loop").symlink_to(tmp_path)
    assert names(source(tmp_path, "real/**/*.csv")) == ["a.csv", "link.csv"]
    assert names(source(tmp_path, "real/loop/real/*.csv")) == ["a.csv", "link.csv"]


def test_a_broken_link_fails_alone(tmp_path):
    write(tmp_path, "a.csv")
    (tmp_path / "b.csv").symlink_to("nowhere")
    good, broken = source(tmp_path, "*.csv").offers({}, NOW)
    with good.open():
        pass
    with pytest.raises(SourceError, match=r"b\.csv' cannot be read"), broken.open():
        pass


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_is_offered(tmp_path):
    write(tmp_path, "d/a.csv")
    (tmp_path / "loop").symlink_to("loop")
    good, closed = source(tmp_path, ["d/*.csv", "loop/*.csv"]).offers({}, NOW)
    assert good.name == "a.csv"
    with pytest.raises(SourceError, match=r"loop' cannot be read: Too many levels"), closed.open():
        pass


def test_a_file_is_unchanged_by_size_and_time_together(tmp_path):
    write(tmp_path, "a.csv")
    path = tmp_path / "a.csv"
    made = source(tmp_path, "a.csv")
    assert [o.unchanged for o in made.offers(sighting(path), NOW)] == [True]
    assert [o.unchanged for o in made.offers(sighting(path, size=2), NOW)] == [False]
    assert [o.unchanged for o in made.offers(sighting(path, modified="1"), NOW)] == [False]
    assert [o.unchanged for o in made.offers({}, NOW)] == [False]


def test_an_older_file_that_appears_late_is_new(tmp_path):
    write(tmp_path, "a.csv", "b.csv")
    os.utime(tmp_path / "a.csv", (1, 1))
    offers = list(source(tmp_path, "*.csv").offers(sighting(tmp_path / "b.csv"), NOW))
    assert [(o.name, o.unchanged) for o in offers] == [("a.csv", False), ("b.csv", True)]


def test_a_fresh_file_settles_and_an_old_one_has(tmp_path):
    write(tmp_path, "a.csv")
    made = source(tmp_path, "a.csv", settle="1m")
    at = NOW.timestamp()
    os.utime(tmp_path / "a.csv", (at - 10, at - 10))
    assert [o.settling for o in made.offers({}, NOW)] == [50]
    assert [o.settling for o in made.offers({}, NOW + timedelta(minutes=1))] == [0]
    os.utime(tmp_path / "a.csv", (at + 9999, at + 9999))
    assert [o.settling for o in made.offers({}, NOW)] == [60]


def test_a_file_that_grows_while_it_is_copied_is_refused_for_now(tmp_path):
    write(tmp_path, "a.csv")
    [offer] = source(tmp_path, "a.csv").offers({}, NOW)
    with pytest.raises(SourceError, match="still being written") as caught, offer.open() as download:
        download.path.write_bytes(b"more")
    assert caught.value.retryable
    with offer.open() as download:
        assert download.size == 4


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_refused(tmp_path):
    write(tmp_path, "a.csv", "b.csv")
    for name in ("a.csv", "b.csv"):
        os.utime(tmp_path / name, (5, 5))
    [offer] = source(tmp_path, "a.csv").offers({}, NOW)
    with pytest.raises(SourceError, match="still being written"), offer.open():
        (tmp_path / "b.csv").replace(tmp_path / "a.csv")


def test_a_file_that_vanished_fails_alone(tmp_path):
    write(tmp_path, "a.csv")
    [offer] = source(tmp_path, "*.csv").offers({}, NOW)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match="No such file"), offer.open():
        pass


def test_an_empty_file_is_offered(tmp_path):
    (tmp_path / "a.csv").touch()
    [offer] = source(tmp_path, "*.csv").offers({}, NOW)
    with offer.open() as download:
        assert download.size == 0


def fail_after_removing(path):
    path.unlink()
    raise ZeroDivisionError


def test_an_error_inside_the_copy_is_not_replaced(tmp_path):
    write(tmp_path, "a.csv")
    [offer] = source(tmp_path, "a.csv").offers({}, NOW)
    with pytest.raises(ZeroDivisionError), offer.open() as download:
        fail_after_removing(download.path)


@pytest.mark.parametrize("path", [[], "", [""], 5, None])
def test_no_path_is_refused(path):
    with pytest.raises(ValidationError):
        source(".", path)


def test_the_oldest_come_first_where_that_is_asked_for(tmp_path):
    write(tmp_path, "d/a.csv", "d/b.csv", "d/c.csv")
    for name, when in (("a", 300), ("b", 100), ("c", 200)):
        os.utime(tmp_path / f"d/{name}.csv", (when, when))
    assert names(source(tmp_path, "d/*.csv", order_by="modified")) == ["b.csv", "c.csv", "a.csv"]


def test_files_that_grow_while_they_are_watched_are_settling_whatever_their_times_say(tmp_path, monkeypatch):
    write(tmp_path, "d/whole.csv", "d/growing.csv", "d/gone.csv")
    for file in tmp_path.glob("d/*"):
        os.utime(file, (100, 100))
    waits = []

    def meanwhile(seconds):
        waits.append(seconds)
        (tmp_path / "d/growing.csv").write_bytes(b"xx")
        os.utime(tmp_path / "d/growing.csv", (100, 100))
        (tmp_path / "d/gone.csv").unlink()

    monkeypatch.setattr("lakehouse.sources.files.time.sleep", meanwhile)
    offers = {offer.name: offer.settling for offer in source(tmp_path, "d/*", watch="2s").offers({}, NOW)}
    assert offers == {"gone.csv": 2.0, "growing.csv": 2.0, "whole.csv": 0.0}
    assert waits == [2.0]
    seen = {f"d/{name}": sighting(tmp_path / f"d/{name}")[name] for name in ("whole.csv", "growing.csv")}
    list(source(tmp_path, "d/*", watch="2s").offers(seen, NOW))
    assert waits == [2.0]  # nothing new: nothing to wait for


@pytest.fixture
def moving(project):
    project.change("sources/flights", "path: incoming/*", "path: incoming/**/*.csv\nmove_to: done")
    return project


def lie(project):
    return {
        p.relative_to(project.folder).as_posix() for p in project.folder.glob("*/**/*.csv") if "data" not in p.parts
    }


def test_a_landed_file_is_moved_as_it_lay_and_told(moving):
    (moving.folder / "incoming/a/b").mkdir(parents=True)
    moving.deliver("a/b/morning.csv", moving.morning)
    with moving.lake() as lake:
        done = lake.land("flights")
    assert lie(moving) == {"done/a/b/morning.csv"}
    assert "moved to" in done.notes[-1].message
    assert (moving.folder / "done/a/b/morning.csv").read_text() == moving.morning


def test_a_moved_file_is_never_put_over_another_and_is_not_kept_twice(moving):
    for text in (moving.morning, moving.noon, moving.noon, moving.morning):
        moving.deliver("day.csv", text)
        with moving.lake() as lake:
            assert lake.land("flights").failed == 0
    assert lie(moving) == {"done/day.csv", "done/day.1.csv"}
    assert (moving.folder / "done/day.csv").read_text() == moving.morning
    assert (moving.folder / "done/day.1.csv").read_text() == moving.noon


def test_killed_between_record_and_move_the_next_run_moves_it(moving):
    moving.deliver("day.csv", moving.morning)
    moving.start("-m", "lakehouse", "land", "flights", LAKEHOUSE_FAIL_AT="land.recorded").communicate()
    assert lie(moving) == {"incoming/day.csv"}
    with moving.lake() as lake:
        assert lake.land("flights").unchanged == 1
    assert lie(moving) == {"done/day.csv"}


def test_a_file_that_is_another_by_now_stays(tmp_path):
    write(tmp_path, "d/a.csv")
    [offer] = source(tmp_path, "d/a.csv", move_to="done").offers({}, NOW)
    with offer.open():
        pass
    (tmp_path / "d/a.csv").write_bytes(b"newer")
    assert offer.landed() == ""
    assert (tmp_path / "d/a.csv").read_bytes() == b"newer"
    assert not list((tmp_path / "done").glob("*"))


def test_a_file_that_is_to_be_moved_is_read_first_whatever_its_size_and_time(moving):
    blocked = moving.folder / "done"
    blocked.write_bytes(b"in the way")
    file = moving.deliver("day.csv", moving.morning)
    with moving.lake() as lake:
        assert lake.land("flights").failed == 1
    before = file.stat()
    file.write_text(moving.morning.replace("UA", "AA"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    blocked.unlink()
    with moving.lake() as lake:
        assert lake.land("flights").new == 1
    assert not file.exists()


def test_a_file_moves_to_another_disk_whole_and_once(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(18, "another disk")

    monkeypatch.setattr("lakehouse.sources.moving.os.link", refuse)
    for content, expected in ((b"x", ["a.csv"]), (b"y", ["a.1.csv", "a.csv"]), (b"x", ["a.1.csv", "a.csv"])):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d/a.csv").write_bytes(content)
        [offer] = source(tmp_path, "d/a.csv", move_to="done").offers({}, NOW)
        with offer.open():
            pass
        offer.landed()
        assert sorted(file.name for file in (tmp_path / "done").iterdir()) == expected
        assert not (tmp_path / "d/a.csv").exists()


@pytest.mark.parametrize(("path", "folder"), [("d/*.csv", "d"), ("d/**/*.csv", "d/done"), (["d/*", "d/*/*"], "d/done")])
def test_the_folder_to_move_to_is_none_that_files_are_found_in(tmp_path, path, folder):
    write(tmp_path, "d/a.csv", "d/done/b.csv")
    with pytest.raises(SourceError, match="move_to"):
        names(source(tmp_path, path, move_to=folder))
    with pytest.raises(SourceError, match="the lake itself"):
        names(source(tmp_path, "d/*.csv", move_to="raw/x").within(tmp_path, zones=(tmp_path / "raw",)))
