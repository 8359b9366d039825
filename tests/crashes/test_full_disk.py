"""A full disk, in landing and in curation: a clear error, nothing half-written, and the next run completes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse import Lake
from lakehouse.errors import NotFoundError, StorageError

ROWS = 120_000
CONFIGS = {
    "lakehouse.yaml": "root: lake\n",
    "sources/readings.yaml": "type: files\npath: input/*.csv\nformat: csv\n",
    "datasets/plant/readings.yaml": "source: readings\nschema: {features: {n: {type: int}, text: {type: string}}}\n",
    "jobs/nightly.yaml": "datasets: [plant/readings]\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose lake lies on a disk of its own, 8 MiB large, beside 4 MiB of input."""
    for name, text in CONFIGS.items():
        (tmp_path / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs" / name).write_text(text)
    (tmp_path / "input").mkdir()
    lines = (f"{n},{os.urandom(12).hex()}\n" for n in range(ROWS))
    (tmp_path / "input" / "readings.csv").write_text("n,text\n" + "".join(lines))
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
