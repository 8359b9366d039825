"""Archives: the members of one raw file are its rows, numbered through; nothing an archive says can do harm."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zipfile

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lakehouse.cli import program
from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import FORMATS, Raw, reader, unpacking
from lakehouse.scaffold.sampling import sample

CSV = b"a,b\n1,2\n3,4\n"


def zip_of(*members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_of(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


PACKERS = {
    "zip": zip_of,
    "tar": tar_of,
    "tar.zst": lambda *members: pa.compress(tar_of(*members), codec="zstd", asbytes=True),
    "tar.xz": lambda *members: lzma.compress(tar_of(*members)),
}


def raw_of(folder, data):
    path = folder / "given.archive"
    path.write_bytes(data)
    return Raw("sha", "given.archive", path)


def reading(kind, **options):
    return reader(FORMATS[options.pop("type", "csv")].model_validate({"unpack": kind.split(".")[0], **options}))


def rows(form, folder, data):
    """Whole rows with their numbers, and (number, text) of broken ones."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    file = form.prepare(raw_of(folder, data), work)
    if not file.columns:
        return [], []
    careful = form.careful(file, work)
    whole = careful.frame.sort("_row").collect()
    assert whole["_raw"].to_list() == ["sha"] * len(whole)
    broken = careful.broken.sort("_row").collect().select("_row", "_text").rows()
    assert len(whole) + len(broken) == file.rows
    return whole.drop("_raw").rows(), broken


def refused(kind, folder, data, message, **options):
    with pytest.raises(FormatError, match=rf"given\.archive.*{message}"):
        rows(reading(kind, **options), folder, data)


@pytest.mark.parametrize("kind", PACKERS)
def test_rows_are_numbered_through_all_members(tmp_path, kind):
    form = reading(kind)
    data = PACKERS[kind](("1.csv", CSV), ("in/2.csv", b"a,b\n5,6\n7\n8,9\n"), ("3.csv", CSV))
    whole, broken = rows(form, tmp_path, data)
    assert [row[-1] for row in whole] == [1, 2, 3, 5, 6, 7]
    assert [row[0] for row in whole] == ["1", "3", "5", "8", "1", "3"]
    assert broken == [(4, "7")]
    raw = raw_of(tmp_path, data)
    assert form.locate(raw, 4, tmp_path) == (3, "7", "in/2.csv")
    assert form.locate(raw, 7, tmp_path) == (3, "3,4", "3.csv")
    with pytest.raises(NotFoundError, match="it has 7"):
        form.locate(raw, 8, tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_picked_by_name_or_glob(tmp_path, kind):
    data = PACKERS[kind](("in/stops.txt", CSV), ("in/trips.csv", CSV), ("__MACOSX/in/._stops.txt", b"\0\0"))
    assert [row[-1] for row in rows(reading(kind, members="stops.txt"), tmp_path, data)[0]] == [1, 2]
    assert len(rows(reading(kind, members=["in/*"]), tmp_path, data)[0]) == 4
    assert len(rows(reading(kind), tmp_path, data)[0]) == 4
    refused(kind, tmp_path, data, r"no member is 'stop\.txt'; it has 'in/stops\.txt'", members="stop.txt")


def test_members_need_an_archive():
    with pytest.raises(ValidationError, match="say 'unpack: zip'"):
        FORMATS["csv"].model_validate({"members": "*.csv"})


@pytest.mark.parametrize(
    "name", ["../../out.csv", "/tmp/out.csv", "..\\out.csv", "C:\\out.csv", "a\x1b[31m\nb.csv", "."]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_name_is_ever_written_to(tmp_path, kind, name):
    (tmp_path / "work").mkdir()
    whole, _ = rows(reading(kind), tmp_path, PACKERS[kind]((name, CSV)))
    assert len(whole) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"given.archive", "work"}
    assert all(path.name.startswith("sha") for path in (tmp_path / "work").iterdir())
    member = reading(kind).locate(raw_of(tmp_path, PACKERS[kind]((name, CSV))), 1, tmp_path / "work").member
    assert member.isprintable()


def test_links_devices_and_folders_are_passed_over(tmp_path):
    odd = []
    for number, kind in enumerate(
        (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    ):
        info = tarfile.TarInfo(f"{number}.csv")
        info.type, info.linkname = kind, "/etc/passwd"
        odd.append((info, b""))
    assert len(rows(reading("tar"), tmp_path, tar_of(*odd, ("a.csv", CSV)))[0]) == 2
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    assert len(rows(reading("zip"), tmp_path, zip_of((link, "/etc/passwd"), ("a.csv", CSV)))[0]) == 2


def test_an_encrypted_member_is_named(tmp_path):
    data = bytearray(zip_of(("secret.csv", CSV)))
    for magic, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + at] |= 1
    refused("zip", tmp_path, bytes(data), r"its member 'secret\.csv' is encrypted")


def test_more_members_than_allowed_are_refused(tmp_path):
    for kind in ("zip", "tar"):
        data = PACKERS[kind](*((f"{number}.csv", CSV) for number in range(4)))
        refused(kind, tmp_path, data, "more than 3 members", max_members=3)


@pytest.mark.parametrize("kind", PACKERS)
def test_all_members_together_are_bounded(tmp_path, kind):
    data = PACKERS[kind](*((f"{number}.csv", CSV * 400) for number in range(4)))
    refused(kind, tmp_path, data, "unpacks to more than 10,000 bytes", max_unpacked=10_000)


def test_an_archive_that_becomes_hundreds_of_times_larger_is_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_OF_RATIO", 1 << 20)
    for kind, times in (("zip", "500"), ("tar.xz", "2,000")):
        refused(kind, tmp_path, PACKERS[kind](("a.csv", b"a\n" + b"0" * (16 << 20))), f"more than {times} times its")


def test_members_that_overlap_are_a_bomb(tmp_path):
    data = bytearray(zip_of(("1.csv", CSV), ("2.csv", CSV)))
    second = data.rindex(b"PK\1\2")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    refused("zip", tmp_path, bytes(data), "members overlap")


@pytest.mark.parametrize("kind", PACKERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_archive_cut_anywhere_is_refused(tmp_path, kind, data):
    whole = PACKERS[kind](("1.csv", CSV * 50), ("2.csv", CSV * 50))
    if kind == "tar":
        whole = whole[: 2 * 512 + 2 * 1024 + 512]  # one block of the end is enough
    cut = data.draw(st.integers(0, len(whole) - 513 if kind == "tar" else len(whole) - 1))
    with pytest.raises(FormatError, match=r"given\.archive"):
        rows(reading(kind), tmp_path, whole[:cut])


def test_what_is_no_archive_is_refused(tmp_path):
    refused("zip", tmp_path, CSV, "no zip file")
    refused("tar", tmp_path, CSV, "no tar file")
    refused("zip", tmp_path, zip_of(("a.csv", CSV), ("b.csv", b"\0\0")), r"b\.csv: binary data")


def test_members_of_one_name_or_one_content_are_each_read_and_told(tmp_path):
    data = tar_of(("a.csv", CSV), ("a.csv", CSV))
    form = reading("tar")
    assert [row[-1] for row in rows(form, tmp_path, data)[0]] == [1, 2, 3, 4]
    assert "each is read: a.csv" in form.prepare(raw_of(tmp_path, data), tmp_path).told


def test_columns_that_not_all_members_have_are_missing_and_told(tmp_path):
    form, data = reading("zip"), zip_of(("1.csv", CSV), ("2.csv", b"b,c\n5,6\n"), ("3.csv", b""))
    whole, _ = rows(form, tmp_path, data)
    assert whole == [("1", "2", None, 1), ("3", "4", None, 2), (None, "5", "6", 3)]
    told = form.prepare(raw_of(tmp_path, data), tmp_path).told
    assert "'a' is not in 2.csv, 'c' is not in 1.csv" in told


def test_every_format_works_in_archives(tmp_path):
    buffer = io.BytesIO()
    pl.DataFrame({"n": [1, 2]}).write_parquet(buffer)
    parquet = zip_of(("1.parquet", buffer.getvalue()), ("2.parquet", buffer.getvalue()))
    assert rows(reading("zip", type="parquet"), tmp_path, parquet)[0] == [(1, 1), (2, 2), (1, 3), (2, 4)]
    ndjson = zip_of(("1.ndjson", b'{"a": 1}\n{"a": \n'), ("2.ndjson", b'{"b": 2}\n'))
    assert rows(reading("zip", type="ndjson"), tmp_path, ndjson) == ([("1", None, 1), (None, "2", 3)], [(2, '{"a": ')])
    lines = zip_of(("1", b"x\n"), ("2", b"y\n"))
    assert rows(reading("zip", type="lines"), tmp_path, lines)[0] == [("x", 1), ("y", 2)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.sampled_from([b"1,2\n", b"3\n", b'"x\n', b"\n", b"5,6\n"]), max_size=6).map(b"".join), max_size=5
    ),
    st.sampled_from(["zip", "tar"]),
)
def test_an_archive_is_its_members_one_after_another(tmp_path, bodies, kind):
    data = [b"a,b\n" + body for body in bodies]
    whole, broken, before = [], [], 0
    for one in data:
        plain = FORMATS["csv"]()
        path = tmp_path / "plain.csv"
        path.write_bytes(one)
        file = plain.prepare(Raw("p", "plain.csv", path), tmp_path)
        careful = plain.careful(file, tmp_path)
        rows_of = [(*row[:-2], row[-1] + before) for row in careful.frame.sort("_row").collect().rows()]
        bad = [(row[1] + before, row[2]) for row in careful.broken.sort("_row").collect().rows()]
        whole, broken, before = whole + rows_of, broken + bad, before + len(rows_of) + len(bad)
    packed = PACKERS[kind](*((f"{number}.csv", one) for number, one in enumerate(data)))
    if broken and not whole:
        refused(kind, tmp_path, packed, "none of its records can be read")
    else:
        assert rows(reading(kind), tmp_path, packed) == (whole, broken)


def test_one_archive_feeds_two_datasets_and_is_rebuilt(project):
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: csv, unpack: zip}")
    for name, column in (("stops", "stop"), ("trips", "trip")):
        project.configure(
            f"datasets/transit/{name}",
            f"source: flights\nformat: {{members: {name}.txt}}\nschema:\n  features:\n    {column}: {{type: string}}",
        )
    (project.folder / "configs/datasets/aviation/flights.yaml").unlink()
    project.configure("jobs/nightly", "datasets: [transit/stops, transit/trips]")
    project.deliver("gtfs.zip", zip_of(("in/stops.txt", b"stop\nA\nB\n"), ("in/trips.txt", b"trip\nX\n")))
    assert project.run().ok
    with project.lake() as lake:
        stops = lake.read("transit/stops").sort("_row")
        assert (stops["stop"].to_list(), stops["_row"].to_list()) == (["A", "B"], [1, 2])
        assert lake.read("transit/trips")["trip"].to_list() == ["X"]
        trace = lake.trace("transit/stops", stops.row(1, named=True))
        assert (trace.member, trace.line, trace.text) == ("in/stops.txt", 3, "B")
        assert lake.rebuild(all=True).same


def test_an_archive_is_inferred_before_it_lands(project):
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: csv, unpack: zip}")
    path = project.folder / "stops.zip"
    path.write_bytes(zip_of(("1.txt", b"stop,name\n1,A\n2,B\n"), ("2.txt", b"stop,name\n3,C\n")))
    configs = str(project.folder / "configs")
    found = CliRunner().invoke(program, ["--configs", configs, "schema", "infer", str(path), "--source", "flights"])
    assert found.exit_code == 0
    assert "stop: " in found.stdout


def test_a_sample_of_archives_is_their_members_rows(tmp_path):
    path = tmp_path / "stops.zip"
    path.write_bytes(zip_of(("1.csv", CSV), ("2.csv", CSV)))
    read = sample(FORMATS["csv"](unpack="zip"), [path], tmp_path, limit=10)
    assert (read.columns, [len(frame) for frame in read.frames], read.skipped) == (("a", "b"), [4], ())
