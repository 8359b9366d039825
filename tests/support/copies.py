"""Copies of a project that was made once: a run for every test would cost more than the tests."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from lakehouse.cli import program


def copied(project: Any, folder: Path) -> Any:
    """The same project, lake and all, in another folder, with a clock of its own."""
    same = copy.copy(project)
    same.folder = shutil.copytree(project.folder, folder)
    same.clock = copy.copy(project.clock)
    return same


def command(project: Any, *arguments: str) -> Result:
    """A command of the project's lake, in this process."""
    return CliRunner().invoke(
        program, ["--configs", str(project.folder / "configs"), *arguments], catch_exceptions=False
    )
