"""A crash between any two lines, and two processes at once, leave a lake as if nothing had happened."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from scene import PROJECT, finish, lay_out, start, state

POINTS = (
    "land.begun",
    "land.staged",
    "land.synced",
    "land.renamed",
    "land.recorded",
    "site.ended",
    "land.finished",
    "curate.begun",
    "curate.written",
    "curate.measured",
    "curate.kept",
    "curate.sealed",
    "curate.prepared",
    "curate.quarantined",
    "curate.committed",
    "curate.finished",
    "run.begun",
    "run.ending",
)
KILLS = int(os.environ.get("LAKEHOUSE_KILLS", "80"))  # before a release: more
ROUNDS = 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = lay_out(tmp_path_factory.mktemp("undisturbed"))
    assert finish(start(folder)) == 0
    found = state(folder)
    assert len(found["quarantine"]["aviation/flights"]) >= 3
    return found


def test_every_named_point_of_the_code_is_killed_at() -> None:
    elsewhere = ("repair.", "optimize.", "state.", "tag.", "export.", "import.", "publish.", "online.", "training.")
    elsewhere += ("due.",)
    code = "".join(path.read_text() for path in (PROJECT / "lakehouse").rglob("*.py"))
    found = set(re.findall(r'\bpoint\("([a-z.]+)"\)', code))
    # A repair's own are killed at in test_repair, those of an optimization in test_optimize, and so on.
    assert {name for name in found if not name.startswith(elsewhere)} == set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_every_named_point_costs_nothing(point: str, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    folder = lay_out(tmp_path)
    assert finish(start(folder, LAKEHOUSE_FAIL_AT=point)) == -signal.SIGKILL
    assert finish(start(folder)) == 0
    assert state(folder) == undisturbed


@pytest.mark.parametrize("point", ["land.renamed:20", "curate.written:2", "curate.prepared:2", "curate.committed:3"])
def test_a_kill_well_into_the_job_costs_nothing(point: str, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    folder = lay_out(tmp_path)
    assert finish(start(folder, LAKEHOUSE_FAIL_AT=point)) == -signal.SIGKILL
    assert finish(start(folder)) == 0
    assert state(folder) == undisturbed


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_random_kills_cost_nothing(round_number: int, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    chance = random.Random(round_number)
    folder = lay_out(tmp_path / "0")
    whole = start(lay_out(tmp_path / "timed"))
    began = time.monotonic()
    assert finish(whole) == 0
    length = time.monotonic() - began
    killed = lakes = 0
    while killed < KILLS // ROUNDS:
        process = start(folder)
        time.sleep(chance.uniform(0, length))
        process.kill()
        status = finish(process)
        killed += status == -signal.SIGKILL
        if status == 0 or chance.random() < 0.2:
            assert status == 0 or finish(start(folder)) == 0
            assert state(folder) == undisturbed
            lakes += 1
            folder = lay_out(tmp_path / str(lakes))
    assert finish(start(folder)) == 0
    assert state(folder) == undisturbed


def test_two_runs_at_once_do_the_work_once(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    folder = lay_out(tmp_path)
    both = [start(folder), start(folder)]
    statuses = sorted(finish(process) for process in both)
    assert statuses[0] == 0
    assert state(folder) == undisturbed
