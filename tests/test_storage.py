"""The lake's files: names that are safe, content stored once and whole, locks that die with their holder."""

import hashlib
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakehouse.errors import CommitError, NotFoundError, SourceError, StorageError
from lakehouse.storage import Storage, safe_name

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NAMES = st.text(st.characters(), max_size=400) | st.sampled_from(
    ["", ".", "..", "/", "a/..", "\\", "manifest.json", "MANIFEST.json", "\x00", "%", "\udcff", "\ud800", "x" * 300]
)


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path / "lake", lambda: NOW)


def land(storage: Storage, name: str, data: bytes, source: str = "s") -> str:
    staged = storage.stage(source, name, iter([data]), len(data))
    return storage.publish(source, [(staged, {"name": staged.name, "sha256": staged.sha256})])[0]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given(NAMES)
@example("\ud800.csv")
@example("a" * 199 + "é.csv")
@example("." * 300)
def test_a_safe_name_is_one_plain_printable_file_name_whatever_it_is_made_of(name):
    safe = safe_name(name)
    assert safe
    assert safe.isprintable()
    assert 0 < len(safe.encode("utf-8")) <= 255
    assert not set("/\\\x00") & set(safe)
    assert safe not in {".", ".."}
    assert safe.casefold() != "manifest.json"
    assert safe.strip(". ")


@given(st.text(st.characters(codec="utf-8"), max_size=60).filter(lambda s: not set("/\\") & set(s)))
def test_different_short_names_stay_different(name):
    other = f"{name}x"
    assert safe_name(name) != safe_name(other)


@pytest.mark.parametrize(
    "name", ["flights 2013-01.csv", "größe.csv", 'it\'s "so".csv', "a+b=c&d.csv", "日本語.parquet"]
)
def test_a_harmless_name_is_kept_as_it_is(name):
    assert safe_name(name) == name


def test_a_long_name_keeps_its_ending():
    assert safe_name("x" * 400 + ".parquet").endswith("x.parquet")


@pytest.mark.parametrize(
    "name",
    [
        "a b.csv",
        "a%41.csv",
        "a#b?.csv",
        "~[x]{y}*|^`<>\"'.csv",
        "a\nb",
        "..",
        "-",
        "é\u0301.csv",
        "\udcff",
        "../../etc/passwd",
        "manifest.json",
    ],
)
def test_a_file_of_any_name_is_published_and_read_back(storage, name):
    uri = land(storage, name, name.encode("utf-8", "replace"))
    path = storage.path(uri)
    assert path.resolve().is_relative_to((storage.root / "raw/s").resolve())
    assert storage.digest(uri) == sha(name.encode("utf-8", "replace")) == path.parent.name
    assert sorted(p.name for p in path.parent.iterdir()) == sorted([path.name, "manifest.json"])


def test_published_bytes_and_their_manifest_are_read_only_and_nothing_is_left_in_incoming(storage):
    uri = land(storage, "a.csv", b"k\n1\n")
    path = storage.path(uri)
    assert path.read_bytes() == b"k\n1\n"
    assert json.loads((path.parent / "manifest.json").read_text())["name"] == "a.csv"
    assert path.stat().st_mode & 0o222 == 0
    assert (path.parent / "manifest.json").stat().st_mode & 0o222 == 0
    assert list((storage.root / "raw/.incoming/s").iterdir()) == []


def test_the_same_content_twice_is_stored_once_under_its_first_name(storage):
    first, second = land(storage, "a.csv", b"same"), land(storage, "b.csv", b"same")
    assert first == second
    assert first.endswith("/a.csv")
    assert len([p for p in (storage.root / "raw").rglob("*") if p.is_file()]) == 2


def test_the_same_content_twice_in_one_publication_is_stored_once(storage):
    staged = [storage.stage("s", name, iter([b"same"]), None) for name in ("a", "b")]
    uris = storage.publish("s", [(s, {"name": s.name}) for s in staged])
    assert uris[0] == uris[1]
    assert list((storage.root / "raw/.incoming/s").iterdir()) == []


def test_the_same_content_of_two_sources_is_stored_for_each(storage):
    assert land(storage, "a", b"same", "s") != land(storage, "a", b"same", "t")


def test_an_empty_file_is_stored_like_any_other(storage):
    uri = land(storage, "empty.csv", b"")
    assert storage.digest(uri) == sha(b"")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1, (33 << 20) + 7])
def test_a_local_file_of_any_size_is_copied_whole_with_its_hash(storage, tmp_path, size):
    data = os.urandom(1024) * (size // 1024 + 1)
    file = tmp_path / "big.bin"
    file.write_bytes(data[:size])
    staged = storage.stage("s", "big.bin", file, size)
    assert (staged.size, staged.sha256) == (size, sha(data[:size]))
    (uri,) = storage.publish("s", [(staged, {"name": staged.name})])
    assert storage.digest(uri) == staged.sha256


@pytest.mark.parametrize("what", ["nothing", "pipe", "folder"])
def test_a_file_that_is_none_any_more_is_the_sources_failure_and_is_not_waited_for(storage, tmp_path, what):
    path = tmp_path / "a.csv"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    with pytest.raises(SourceError, match=r"'a\.csv'"):
        storage.stage("s", "a.csv", path, 1)


@pytest.mark.parametrize("announced", [0, 3, 5])
def test_more_or_fewer_bytes_than_announced_are_refused_and_may_be_tried_again(storage, announced):
    with pytest.raises(SourceError, match=r"cut short|were announced") as caught:
        storage.stage("s", "a.csv", iter([b"12", b"34"]), announced)
    assert caught.value.retryable
    assert list((storage.root / "raw/.incoming/s").iterdir()) == []


def test_a_source_that_breaks_off_leaves_nothing_visible_and_is_swept(storage):
    def broken():
        yield b"12"
        raise SourceError("gone")

    with pytest.raises(SourceError):
        storage.stage("s", "a.csv", broken(), None)
    assert not list((storage.root / "raw").glob("s/**/*"))
    storage.discard_incoming("s")
    assert not (storage.root / "raw/.incoming/s").exists() or not list((storage.root / "raw/.incoming/s").iterdir())


def test_a_sweep_takes_only_the_own_source(storage):
    storage.stage("s", "a", iter([b"1"]), None)
    storage.stage("t", "a", iter([b"1"]), None)
    assert storage.discard_incoming("s") == 1
    assert storage.discard_incoming("s") == 0
    assert storage.discard_incoming("t") == 1


@pytest.mark.parametrize("uri", ["../x", "/etc/passwd", "raw/../../x", "a/.."])
def test_no_uri_leaves_the_lake(storage, uri):
    with pytest.raises(StorageError, match="outside the lake"):
        storage.path(uri)


def test_reading_what_is_gone_is_not_found(storage):
    land(storage, "a", b"1")
    with pytest.raises(NotFoundError, match="gone"):
        storage.digest("raw/s/ab/abc/a")


def test_changed_bytes_have_another_digest(storage):
    uri = land(storage, "a", b"1")
    path = storage.path(uri)
    path.chmod(0o644)
    path.write_bytes(b"2")
    assert storage.digest(uri) == sha(b"2")


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "lake").write_text("a file, not a folder")
    with pytest.raises(StorageError, match="landing"):
        Storage(tmp_path / "lake", lambda: NOW).stage("s", "a", iter([b"1"]), None)


def test_a_work_folder_is_empty_at_the_start_and_gone_at_the_end(storage):
    left = storage.root / ".work/curate/x/old"
    left.mkdir(parents=True)
    with storage.work("curate/x") as folder:
        assert list(folder.iterdir()) == []
        (folder / "part").write_text("x")
    assert not folder.exists()


def test_a_work_folder_is_gone_after_an_error(storage):
    with pytest.raises(ValueError, match="boom"), storage.work("x") as folder:
        raise ValueError("boom")
    assert not folder.exists()


HOLD = """
import sys, time
from pathlib import Path
from datetime import datetime, UTC
from lakehouse.storage import Storage
with Storage(Path(sys.argv[1]), lambda: datetime(2026, 1, 1, 12, tzinfo=UTC)).lock("dataset", "a/d"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(storage):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(storage.root)], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_lock_keeps_a_second_process_out_and_names_its_holder(storage, holder):
    with pytest.raises(CommitError) as caught, storage.lock("dataset", "a/d", wait=0):
        pass
    assert f"process {holder.pid} on " in str(caught.value)
    assert "since 2026-01-01T12:00:00+00:00" in str(caught.value)
    assert "dataset 'a/d'" in str(caught.value)


def test_a_lock_on_another_name_or_kind_is_free(storage, holder):
    assert holder.poll() is None
    with storage.lock("dataset", "a/e", wait=0), storage.lock("source", "a/d", wait=0):
        pass


def test_a_lock_dies_with_its_killed_holder(storage, holder):
    holder.kill()
    holder.wait()
    with storage.lock("dataset", "a/d", wait=0):
        pass


def test_a_waiting_process_gives_up_after_its_patience(storage, holder):
    assert holder.poll() is None
    started = time.monotonic()
    with pytest.raises(CommitError), storage.lock("dataset", "a/d", wait=0.3):
        pass
    assert 0.3 <= time.monotonic() - started < 5


def test_a_waiting_process_gets_the_lock_when_it_is_let_go(storage, holder):
    holder.kill()
    with storage.lock("dataset", "a/d", wait=10):
        pass


def test_a_lock_can_be_taken_again_after_it_was_let_go_also_after_an_error(storage):
    with pytest.raises(ValueError, match="boom"), storage.lock("dataset", "a/d", wait=0):
        raise ValueError("boom")
    with storage.lock("dataset", "a/d", wait=0):
        pass


def test_the_same_process_cannot_take_a_lock_twice(storage):
    with (
        storage.lock("dataset", "a/d", wait=0),
        pytest.raises(CommitError, match=str(os.getpid())),
        storage.lock("dataset", "a/d", wait=0),
    ):
        pass


@pytest.mark.parametrize("name", ["../x", "a/b/c", "ü %"])
def test_a_lock_of_any_name_stays_in_the_lake(storage, name):
    with storage.lock("dataset", name, wait=0):
        files = [p for p in (storage.root / ".locks").rglob("*") if p.is_file()]
    assert len(files) == 1
    assert not (storage.root.parent / "x").exists()


@pytest.mark.parametrize("damage", ["empty", "manifest only", "no manifest", "wrong size"])
def test_content_whose_folder_is_damaged_is_put_back(storage, damage):
    path = storage.path(land(storage, "a.csv", b"same"))
    if damage in {"empty", "manifest only", "wrong size"}:
        path.unlink()
    if damage in {"empty", "no manifest"}:
        (path.parent / "manifest.json").unlink()
    if damage == "wrong size":
        path.write_bytes(b"sam")
    again = storage.path(land(storage, "b.csv", b"same"))
    assert again.read_bytes() == b"same"
    assert sorted(p.name for p in path.parent.iterdir()) == ["b.csv", "manifest.json"]
    assert json.loads((again.parent / "manifest.json").read_text())["name"] == "b.csv"
    assert list((storage.root / "raw/.incoming/s").iterdir()) == []


def test_an_intact_folder_is_never_touched(storage):
    path = storage.path(land(storage, "a.csv", b"same"))
    before = path.stat(), path.parent.stat()
    land(storage, "b.csv", b"same")
    assert (path.stat(), path.parent.stat()) == before


def test_a_storage_is_in_use_once_something_was_landed_or_curated(storage):
    assert not storage.in_use()
    (storage.root / "raw").mkdir(parents=True)
    assert not storage.in_use()
    land(storage, "a.csv", b"same")
    assert storage.in_use()


def test_a_lock_that_cannot_be_written_says_so(storage):
    (storage.root / ".locks/source/s").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"locking source 's': .*directory"), storage.lock("source", "s"):
        pass
