"""Files that are broken, each with what must become of it: a lake takes all of one format in at once.

The lake runs in a process of its own, so that a crash of a reader fails the tests, and time and memory have a bound.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["GOOD", "Case", "Outcome", "bad", "judge", "judge_whole", "take_in"]

SCHEMA = """
    source: things
    schema:
      features:
        id: {type: int}
        name: {type: string, presence: optional}
        amount: {type: float, presence: optional}
"""
CHILD = """
    import json, resource, sys
    from lakehouse import Lake
    with Lake("configs") as lake:
        ran = lake.run("all")
        again = lake.run("all")
        rows = lake.scan("bad/things").select("_raw", "id", "name", "amount").collect().to_dicts()
        rejected = lake.quarantine("bad/things").select("_raw", "reasons").collect().to_dicts()
        wrong = [problem.message for problem in lake.check() if not problem.harmless]
    steps = [*ran.landed, *ran.curated]
    print(json.dumps({
        "rows": rows,
        "rejected": rejected,
        "notes": [[n.kind, n.where, n.message] for s in steps for n in s.notes],
        "errors": ran.errors,
        "counts": [[c.read, c.curated, c.rejected, c.refused] for c in ran.curated],
        "again": [[c.read, c.refused] for c in again.curated],
        "wrong": wrong,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }))
"""
LIMIT = 240  # seconds; a reader that hangs must not hang the tests
PEAK = 1 << 30


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        file: its name.
        make: its bytes.
        good: the ids of the rows that are curated from it.
        bad: what each of its rejected rows' reasons must match.
        refused: what the reason must match for which it is refused as a whole; "" where it is not.
    """

    file: str
    make: Callable[[], bytes]
    good: Sequence[int] = ()
    bad: Sequence[str] = ()
    refused: str = ""


@dataclass
class Outcome:
    """What became of all files of a format."""

    said: dict[str, Any]
    hashes: dict[str, str]
    refusals: dict[str, str] = field(default_factory=dict)

    def ids(self, file: str) -> list[int]:
        """The rows curated from a file."""
        return sorted(row["id"] for row in self.said["rows"] if row["_raw"] == self.hashes[file])

    def rows(self, file: str) -> list[dict[str, Any]]:
        """The same with their values."""
        found = [row for row in self.said["rows"] if row["_raw"] == self.hashes[file]]
        return sorted(found, key=lambda row: row["id"])

    def reasons(self, file: str) -> list[str]:
        """Why rows of a file were rejected."""
        return sorted("; ".join(row["reasons"]) for row in self.said["rejected"] if row["_raw"] == self.hashes[file])


def bad(file, content, *, good=(), bad=(), refused=""):
    """A case as a parameter of a test; its content is bytes, text, or made when it is needed."""

    def make():
        made = content() if callable(content) else content
        return made.encode() if isinstance(made, str) else made

    return pytest.param(Case(file, make, good, bad, refused), id=file)


GOOD = "zz-good"
"""How the one whole file beside the broken ones is called, before its ending."""


def take_in(folder: Path, format_: str, good: tuple[str, bytes], cases: Sequence[Any], keys: str = "") -> Outcome:
    """Land and curate all cases beside one good file, in a process of its own.

    Args:
        folder: an empty one.
        format_: the source's format, as YAML.
        good: the ending and the bytes of a file that must be curated whatever lies beside it; its ids are 901 and 902.
        cases: parameters made by `bad`.
        keys: more keys of the dataset, as YAML.
    """
    (folder / "incoming").mkdir()
    hashes = {}
    for case in [*(param.values[0] for param in cases), Case(GOOD + good[0], lambda: good[1])]:
        data = case.make()
        (folder / "incoming" / case.file).write_bytes(data)
        hashes[case.file] = hashlib.sha256(data).hexdigest()
    twice = [name for name, sha in hashes.items() if list(hashes.values()).count(sha) > 1]
    assert not twice, f"these have the same bytes, and would be stored once: {twice}"
    for name, text in {
        "lakehouse": "root: data",
        "sources/things": f"type: files\npath: incoming/*\nformat: {format_}",
        "datasets/bad/things": textwrap.dedent(SCHEMA).strip() + "\n" + keys,
        "jobs/all": "datasets: [bad/things]",
    }.items():
        path = folder / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"the lake ended with {done.returncode}:\n{done.stderr[-4000:]}"
    outcome = Outcome(json.loads(done.stdout.splitlines()[-1]), hashes)
    for kind, where, message in outcome.said["notes"]:
        if kind in ("refused", "failed"):
            outcome.refusals[where] = message
    return outcome


def judge(outcome: Outcome, case: Case) -> None:
    """Fail unless a file's rows were curated, set apart or refused as they should be."""
    refused = outcome.refusals.get(case.file, "")
    assert bool(refused) == bool(case.refused), refused or f"{case.file} was not refused"
    assert re.search(case.refused, refused), refused
    assert outcome.ids(case.file) == sorted(case.good)
    found = outcome.reasons(case.file)
    assert len(found) == len(case.bad), found
    left = list(found)
    for pattern in case.bad:
        match = next((reason for reason in left if re.search(pattern, reason)), None)
        assert match is not None, f"no reason is like {pattern!r}: {left}"
        left.remove(match)


def judge_whole(outcome: Outcome, good: str, peak: int = PEAK) -> None:
    """Fail unless the good file came through, rows are conserved, all is sound, and little memory was needed."""
    said = outcome.said
    assert outcome.ids(GOOD + good) == [901, 902]
    assert not said["errors"]
    assert not said["wrong"]
    assert all(read == curated + rejected for read, curated, rejected, _ in said["counts"])
    assert sum(curated for _, curated, _, _ in said["counts"]) == len(said["rows"])
    assert sum(rejected for _, _, rejected, _ in said["counts"]) == len(said["rejected"])
    assert all(read == 0 and refused == 0 for read, refused in said["again"]), "a second run tried them again"
    assert said["peak"] < peak, f"{said['peak'] >> 20} MiB"
