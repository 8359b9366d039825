"""Lakes to measure on: their configuration, and a way back to what they were before a run."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

__all__ = ["Bench", "aside"]

_FILES = "type: files\npath: {}\nformat: {{type: csv, null_values: [NA]}}\n"
_DATABASE = "type: sql\nurl: {}\ntable: orders\n"
_LINEITEM = """\
source: {name}
keys: [l_orderkey, l_linenumber]
event_time: l_shipdate
max_rejected: 1%
schema:
  features:
    l_orderkey: {{type: int, domain: {{min: 1}}}}
    l_partkey: {{type: int, domain: {{min: 1}}}}
    l_suppkey: {{type: int, domain: {{min: 1}}}}
    l_linenumber: {{type: int, domain: {{min: 1, max: 7}}}}
    l_quantity: {{type: float, domain: {{min: 1, max: 50}}}}
    l_extendedprice: {{type: float, domain: {{min: 0}}}}
    l_discount: {{type: float, domain: {{min: 0, max: 0.1}}}}
    l_tax: {{type: float, domain: {{min: 0, max: 0.08}}}}
    l_returnflag: {{type: string, domain: [R, A, N]}}
    l_linestatus: {{type: string, domain: [O, F]}}
    l_shipdate: {{type: date}}
    l_commitdate: {{type: date}}
    l_receiptdate: {{type: date}}
    l_shipinstruct: {{type: string, domain: [DELIVER IN PERSON, COLLECT COD, NONE, TAKE BACK RETURN]}}
    l_shipmode: {{type: string, domain: [REG AIR, AIR, RAIL, SHIP, TRUCK, MAIL, FOB]}}
    l_comment: {{type: string}}
"""
_FLIGHTS = """\
source: {name}
keys: [carrier, flight, origin, time_hour]
event_time: time_hour
max_rejected: 5%
schema:
  features:
    year: {{type: int}}
    month: {{type: int, domain: {{min: 1, max: 12}}}}
    day: {{type: int, domain: {{min: 1, max: 31}}}}
    dep_time: {{type: int, presence: optional}}
    sched_dep_time: {{type: int}}
    dep_delay: {{type: float, presence: optional}}
    arr_time: {{type: int, presence: optional}}
    sched_arr_time: {{type: int}}
    arr_delay: {{type: float, presence: optional}}
    carrier: {{type: string}}
    flight: {{type: int}}
    tailnum: {{type: string, presence: optional}}
    origin: {{type: string, domain: [EWR, JFK, LGA]}}
    dest: {{type: string}}
    air_time: {{type: float, presence: optional}}
    distance: {{type: float, domain: {{min: 0}}}}
    hour: {{type: int, domain: {{min: 0, max: 23}}}}
    minute: {{type: int, domain: {{min: 0, max: 59}}}}
    time_hour: {{type: datetime}}
"""
_ORDERS = """\
source: {name}
keys: [id]
event_time: placed_at
schema:
  features:
    id: {{type: int}}
    customer: {{type: int}}
    amount: {{type: decimal, precision: 12, scale: 2}}
    rate: {{type: float}}
    code: {{type: string}}
    item: {{type: string}}
    note: {{type: string, presence: optional}}
    placed_at: {{type: datetime}}
    due: {{type: date}}
    paid: {{type: bool}}
"""
_DATASETS = {"lineitem": _LINEITEM, "flights": _FLIGHTS, "orders": _ORDERS}


class Bench:
    """A lake of one source and one dataset, ``bench/<name>``.

    Args:
        folder: the project's folder, made anew.
        name: of source and dataset.
        path: what the source reads: a file or a glob; or the URL of a database with the table ``orders``.
        dataset: ``lineitem``, ``flights`` or ``orders``.
    """

    def __init__(self, folder: Path, name: str, path: str, dataset: str = "lineitem") -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self.name = name
        self.dataset = f"bench/{name}"
        files = {
            "lakehouse.yaml": "root: data\nbatch_bytes: 8GB\n",
            f"sources/{name}.yaml": _DATABASE.format(path) if "://" in path else _FILES.format(path),
            f"datasets/{self.dataset}.yaml": _DATASETS[dataset].format(name=name),
        }
        for place, text in files.items():
            file = folder / "configs" / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")

    @property
    def configs(self) -> Path:
        """The configuration's folder."""
        return self.folder / "configs"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def empty(self) -> None:
        """Take everything out of the lake."""
        aside(self._data)

    def keep(self) -> None:
        """Remember the lake as it is: raw files by hard link, as nothing ever writes to them."""
        kept = self.folder / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self._data, kept, copy_function=_link_raw)

    def back(self) -> None:
        """Make the lake what it was when it was kept."""
        self.empty()
        shutil.copytree(self.folder / "kept", self._data, copy_function=_link_raw)


_numbers = itertools.count()


def aside(folder: Path) -> None:
    """Get what a run wrote out of the way without deleting it.

    On ext4 files made within seconds of a deletion cost several times as much, as freed inodes are searched through.
    """
    trash = folder.parent / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(trash / f"{os.getpid()}-{next(_numbers)}")


def _link_raw(source: str, target: str) -> None:
    if Path(source).name.startswith("metadata.db"):
        shutil.copy2(source, target)
    else:
        os.link(source, target)
