"""`init`: the first files of a lake, either a small one to learn from or one over the user's own files.

Writes configuration only (and, for the starting set, its sample); never reads more of the user's
files than a bounded beginning, never changes them, never overwrites anything.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import ConfigError, StorageError
from lakehouse.formats.sniffing import ENDINGS
from lakehouse.records import Note, printable
from lakehouse.scaffold import writing
from lakehouse.scaffold.features import Guess, guess, settle
from lakehouse.scaffold.grouping import Found, Group, find, fresh
from lakehouse.scaffold.reading import rows_of
from lakehouse.scaffold.sampling import Sample, sample
from lakehouse.scaffold.starting import GITIGNORE, STARTING_SET

__all__ = ["Scaffolded", "init", "rows_of"]


@dataclass(frozen=True, slots=True)
class Scaffolded:
    """What `init` did.

    Attributes:
        written: the files, absolute.
        skipped: what was left out or wants a look: files, columns, rows.
        datasets: the datasets that were configured, ``subject/name``.
    """

    written: tuple[Path, ...]
    skipped: tuple[Note, ...] = ()
    datasets: tuple[str, ...] = ()


def init(folder: Path, from_: Path | None = None) -> Scaffolded:
    """Write a new lake's configuration.

    Args:
        folder: the project's folder; made where there is none.
        from_: a file or folder of the user's to write it for; None writes the starting set.

    Raises:
        ConfigError: files it would write are there already, or ``from_`` holds nothing readable. Nothing was written.
        StorageError: the disk refused.
    """
    project = Path(os.path.abspath(folder))  # noqa: PTH100  # as config.load: a linked folder stays where it is seen
    if from_ is None:
        return Scaffolded(*_write(project, STARTING_SET), datasets=("sensors/readings",))
    given = Path(os.path.abspath(from_))  # noqa: PTH100
    if not given.exists():
        raise ConfigError(f"there is no file or folder '{printable(str(given))}' to read")
    _refuse_existing(project, ["configs/lakehouse.yaml", "configs/jobs/nightly.yaml"])
    root, own = _root(project)
    found = find(given, own)
    files, notes, datasets = _configured(found, project)
    if not datasets:
        raise ConfigError(_nothing(given, (*found.skipped, *notes)))
    files = {
        "configs/lakehouse.yaml": writing.settings(root),
        **files,
        "configs/jobs/nightly.yaml": writing.job(datasets),
    }
    written, kept = _write(project, files, root)
    return Scaffolded(written, (*found.skipped, *notes, *kept), tuple(datasets))


def _configured(found: Found, project: Path) -> tuple[dict[str, str], list[Note], list[str]]:
    """The files to write for what was found, what a person should know, and the datasets."""
    files: dict[str, str] = {}
    notes: list[Note] = []
    sources: list[str] = []
    datasets: list[str] = []
    for group in found.groups:
        with tempfile.TemporaryDirectory(prefix="lakehouse-init-") as work:
            read, format_ = _sampled(group, Path(work))
        notes += read.skipped
        if not read.paths or not read.columns:
            notes += [Note("skipped", str(path), "it holds no records") for path in read.paths]
            continue
        guesses, left_out = _guessed(read)
        if left_out and format_.get("type") == "parquet":
            what = f"its column '{left_out[0]}' holds lists, records or durations, which cannot be curated"
            notes += [Note("skipped", str(path), what) for path in read.paths]
            continue
        guesses, nulls = settle(guesses)
        subject, name = found.names(group)
        source = fresh(fresh(name, sources) if name not in sources else f"{subject}_{name}", sources)
        dataset = fresh(f"{subject}/{name}", datasets)
        sources.append(source)
        datasets.append(dataset)
        options = {key: value for key, value in format_.items() if key != "type"}
        where = found.pattern(read.paths, project)
        rows = sum(frame.height for frame in read.frames)
        text = writing.source(where, group.files[0].kind, options, nulls, len(read.paths))
        files[f"configs/sources/{source}.yaml"] = text
        files[f"configs/datasets/{dataset}.yaml"] = writing.dataset(dataset, source, guesses, left_out, rows)
        if read.broken:
            what = f"{read.broken:,} of its first records are broken, and will go to quarantine"
            notes.append(Note("rejected", dataset, what))
    return files, notes, datasets


def _sampled(group: Group, work: Path) -> tuple[Sample, dict[str, object]]:
    """A group's beginning, and the format's options that read it best."""
    kind = group.files[0].kind
    paths = [file.path for file in group.files]
    first, second = work / "1", work / "2"
    first.mkdir()
    read = sample(group.format(), paths, first)
    if read.broken and kind == "csv":
        # Inch marks and the like: where quotes are no quotes, nothing is broken without them.
        second.mkdir()
        plain = sample(group.format(quote=None), paths, second)
        if not plain.broken:
            return plain, {"type": kind, **group.options, "quote": "none"}
    return read, {"type": kind, **group.options}


def _guessed(read: Sample) -> tuple[list[Guess], list[str]]:
    guesses, left_out = [], []
    for column in read.columns:
        parts = [frame[column] for frame in read.frames if column in frame.columns]
        one = guess(column, parts, missing=len(parts) < len(read.frames))
        if one is None:
            left_out.append(column)
        else:
            guesses.append(one)
    return guesses, left_out


def _nothing(given: Path, skipped: tuple[Note, ...]) -> str:
    shown = "".join(f"\n  {printable(note.where)}: {note.message}" for note in skipped[:10])
    more = f"\n  and {len(skipped) - 10:,} more" if len(skipped) > 10 else ""
    looked = f"files ending in .{', .'.join(ENDINGS)} (each also with .gz, .zst, .bz2, .xz or .zip)"
    return f"nothing in '{printable(str(given))}' can be read; looked for {looked}{shown}{more}"


def _root(project: Path) -> tuple[str, list[Path]]:
    """The folder for the lake's data, and the folders in it that are no user's.

    A ``data/raw`` that no lake made is the user's own, and must not become the raw zone.
    """
    zones = [project / "data" / zone for zone in ("raw", "curated", "quarantine", "statistics")]
    if (project / "data" / "metadata.db").exists():
        return "data", zones
    return (
        fresh("lake", [entry.name for entry in project.iterdir()]) if any(map(os.path.lexists, zones)) else "data"
    ), []


def _refuse_existing(project: Path, names: list[str]) -> None:
    there = [name for name in names if os.path.lexists(project / name)]
    if there:
        listed = "".join(f"\n  {name}" for name in there)
        raise ConfigError(f"'{printable(str(project))}' has these files already; init overwrites nothing:{listed}")


def _write(project: Path, files: Mapping[str, str], root: str = "data") -> tuple[tuple[Path, ...], tuple[Note, ...]]:
    _refuse_existing(project, list(files))
    texts = dict(files)
    notes: tuple[Note, ...] = ()
    if os.path.lexists(project / ".gitignore"):
        notes = (Note("skipped", str(project / ".gitignore"), f"it is there already; add /{root}/* to it"),)
    else:
        texts[".gitignore"] = GITIGNORE.replace("/data/", f"/{root}/")
    written = []
    for name, text in texts.items():
        path = project / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise StorageError(f"'{printable(str(path))}' cannot be written: {error.strerror}") from error
        written.append(path)
    return tuple(written), notes
