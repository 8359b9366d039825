"""A dataset with a past: late rows, rejected rows, a corrected file, a new column."""

import atexit
import shutil
import tempfile
from pathlib import Path

FLIGHTS = "aviation/flights"
_made = {}  # what was lived through before, by the configuration that it began with


def hours(day, *found):
    """Lines of flights at these hours of a day."""
    return "".join(f"2013-01-{day:02}T{hour:02}:00:00Z,UA,{hour},EWR,{hour}\n" for hour in found)


def take(project):
    """Land and curate by hand; what was curated."""
    with project.lake() as lake:
        lake.land("flights")
        return lake.curate(FLIGHTS)


def lived(project):
    """The project, after eight days: eight versions, 25 rows that were appended, of which 22 count."""
    key = (project.folder / f"configs/datasets/{FLIGHTS}.yaml").read_text()
    if key not in _made:
        kept = Path(tempfile.mkdtemp(prefix="lakehouse-past-"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        _live(project)
        shutil.copytree(project.folder, kept / "project")
        _made[key] = kept / "project", project.clock.now
        return project
    folder, project.clock.now = _made[key]
    shutil.rmtree(project.folder)
    shutil.copytree(folder, project.folder)
    return project


def _live(project):
    for day in range(1, 9):
        project.deliver(f"{day}.csv", project.header + hours(day, 7, 5, 9) + ("x,UA,1,EWR,1\n" if day % 3 == 0 else ""))
        if day == 5:
            project.deliver("2.csv", project.header + hours(2, 5))
        if day == 6:
            project.change(
                f"datasets/{FLIGHTS}",
                "origin: {type: string}",
                "origin: {type: string}\n    tail: {type: string, presence: optional}",
            )
        take(project)
