"""A full disk, in landing and in curation: a clear error, nothing half-written, and the next run completes."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from lakehouse import Lake
from lakehouse.errors import NotFoundError, StorageError
from lakehouse.formats import converted

ROWS = 120_000
CONFIGS = {
    "lakehouse.yaml": "root: lake\n",
    "sources/readings.yaml": "type: files\npath: input/*.csv\nformat: csv\n",
    "datasets/plant/readings.yaml": "source: readings\nschema: {features: {n: {type: int}, text: {type: string}}}\n",
    "jobs/nightly.yaml": "datasets: [plant/readings]\n",
}


def csv(rows: int) -> bytes:
    """Rows that do not compress well."""
    return b"n,text\n" + b"".join(b"%d,%s\n" % (n, os.urandom(12).hex().encode()) for n in range(rows))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose lake lies on a disk of its own, 8 MiB large, beside 4 MiB of input."""
    for name, text in CONFIGS.items():
        (tmp_path / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs" / name).write_text(text)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "readings.csv").write_bytes(csv(ROWS))
    (tmp_path / "lake").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path / "lake")]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        if os.environ.get("LAKEHOUSE_REQUIRE_SERVICES") == "1":
            pytest.fail("a small tmpfs could not be mounted")
        pytest.skip("mounting a small tmpfs needs root")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path / "lake")], check=True)


def fill(lake: Path, leaving: int) -> Path:
    """Fill the lake's disk but for some bytes."""
    status = os.statvfs(lake)
    filler = lake / "filler"
    filler.write_bytes(b"\0" * max(0, status.f_bavail * status.f_frsize - leaving))
    return filler


def test_a_disk_that_fills_up_while_landing(project: Path) -> None:
    with Lake(project / "configs") as lake:
        filler = fill(project / "lake", leaving=2 << 20)
        with pytest.raises(StorageError, match=r"landing 'readings.csv' of source 'readings': No space left"):
            lake.land("readings")
        assert not list((project / "lake/raw").rglob("*.csv"))
        filler.unlink()
        assert lake.run("nightly").ok
        assert lake.read("plant/readings").height == ROWS


def test_a_disk_that_fills_up_while_curating(project: Path) -> None:
    with Lake(project / "configs") as lake:
        lake.land("readings")
        filler = fill(project / "lake", leaving=256 << 10)
        with pytest.raises(StorageError, match="No space left"):
            lake.curate("plant/readings")
        with pytest.raises(NotFoundError, match="no version yet"):
            lake.read("plant/readings")
        filler.unlink()
        assert lake.run("nightly").ok
        assert lake.read("plant/readings").height == ROWS
        assert not list((project / "lake/.work").rglob("*.parquet"))


def tar_of(rows: bytes) -> bytes:
    member = tarfile.TarInfo("readings.csv")
    member.size = len(rows)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(member, io.BytesIO(rows))
    return buffer.getvalue()


def xml_of(rows: bytes) -> bytes:
    records = (line.split(b",") for line in rows.splitlines()[1:])
    return b"<all>%s</all>" % b"".join(b"<one><n>%s</n><text>%s</text></one>" % (n, text) for n, text in records)


def orc_of(rows: bytes) -> bytes:
    """Written by a library that reads the file and the disk by the same errors."""
    from pyarrow import orc  # slow to import

    buffer = io.BytesIO()
    orc.write_table(pl.read_csv(rows).to_arrow(), buffer, compression="zstd")
    return buffer.getvalue()


PREPARED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "csv.gz": ("csv", gzip.compress),
    "latin.csv": ("{type: csv, encoding: latin-1}", bytes),
    "csv.tar.gz": ("{type: csv, unpack: tar}", tar_of),
    "xml": ("{type: xml, row: all/one}", xml_of),
    "orc": ("orc", orc_of),
}


@pytest.mark.parametrize("kind", PREPARED)
def test_a_disk_that_fills_up_while_a_file_is_made_ready(
    project: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converted, "_PART_BYTES", 64 << 10)  # so that it fills up in the midst of the records
    format_, made = PREPARED[kind]
    rows = 30_000
    (project / "configs/sources/readings.yaml").write_text(f"type: files\npath: input/*.{kind}\nformat: {format_}\n")
    (project / f"input/readings.{kind}").write_bytes(made(csv(rows)))
    with Lake(project / "configs") as lake:
        lake.land("readings")
        filler = fill(project / "lake", leaving=256 << 10)
        with pytest.raises(StorageError, match="curating: No space left on device; nothing was appended"):
            lake.curate("plant/readings")
        with pytest.raises(NotFoundError, match="no version yet"):
            lake.read("plant/readings")
        filler.unlink()
        assert lake.run("nightly").ok
        assert lake.read("plant/readings").height == rows
        assert not [path for path in (project / "lake/.work").rglob("*") if path.is_file()]
