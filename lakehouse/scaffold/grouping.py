"""Finds a user's files and puts those together that are one source."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from lakehouse.errors import FormatError
from lakehouse.formats import FORMATS, Format
from lakehouse.formats.sniffing import ENDINGS, PACKED, Sniffed, sniff
from lakehouse.records import Note
from lakehouse.scaffold.sampling import SAMPLE_BYTES

__all__ = ["Found", "Group", "find", "fresh", "snake"]

_ENDING = re.compile(rf"\.(?:{'|'.join(ENDINGS)})(?:\.(?:{'|'.join(PACKED)}))?$", re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9](?:[0-9\-_.T:]*[0-9])?")
_LETTERS = str.maketrans({"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "å": "a", "Å": "A", "ß": "ss", "ł": "l", "đ": "d"})
_ENOUGH = 4 * SAMPLE_BYTES
"""So many bytes are read to learn encodings; of later files only the beginning is."""


@dataclass(frozen=True)
class Group:
    """Files that are one source.

    Attributes:
        files: in order.
        encoding: of all of them.
    """

    files: tuple[Sniffed, ...]
    encoding: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The format's options, the encoding among them."""
        said = {"encoding": self.encoding} if self.encoding not in ("", "utf-8") else {}
        return {**self.files[0].options, **said}

    def format(self, **more: Any) -> Format:
        """The format that reads them."""
        values = self.files[0].values(self.encoding, **more)
        return FORMATS[values["type"]].model_validate(values)


@dataclass(frozen=True)
class Found:
    """What lies at a user's path.

    Attributes:
        top: the folder, absolute.
        paths: every file in it that was looked at.
        groups: the readable ones.
        skipped: the others, and why.
    """

    top: Path
    paths: tuple[Path, ...]
    groups: tuple[Group, ...]
    skipped: tuple[Note, ...]

    def names(self, group: Group) -> tuple[str, str]:
        """The subject and dataset a group's place and names suggest."""
        place = PurePosixPath(group.files[0].path.relative_to(self.top).as_posix())
        folders = [snake(self.top.name), *[snake(_NUMBERS.sub(" ", part)) for part in place.parts[:-1]]]
        folders = [folder for folder in folders if folder]
        stem = _ENDING.sub("", place.name)
        name = snake(_NUMBERS.sub(" ", stem) if len(group.files) > 1 else stem)
        if not name:
            name = folders.pop() if folders else "files"
        elif folders[1:] and folders[-1] == name:
            folders.pop()  # flights/flights_2013.csv: the folder says no more than the name
        return folders[-1] if folders else "main", name

    def pattern(self, paths: Collection[Path], project: Path) -> dict[str, Any]:
        """The ``path`` (and ``exclude``) of a source that offers these files, and no other that is there."""
        places = [path.relative_to(self.top).as_posix() for path in paths]
        if len(places) == 1:
            return {"path": _written(self.top / places[0], project)}
        globs = [_glob(places, wild) for wild in ("*", "[0-9]*")]
        others = {glob: self._others(glob, places) for glob in globs}
        glob = min(globs, key=lambda glob: len(others[glob]))
        # A source holds `exclude` against paths as they are seen from the project.
        exclude = [_escaped(Path(os.path.relpath(self.top / other, project)).as_posix()) for other in others[glob]]
        path = _below(_escaped(_written(self.top, project)), glob)
        return {"path": path, **({"exclude": exclude} if exclude else {})}

    def _others(self, glob: str, places: Collection[str]) -> list[str]:
        """What else the glob matches."""
        known = set(places)
        seen = (path.relative_to(self.top).as_posix() for path in self.paths)
        return [place for place in seen if place not in known and _matches(place, glob)]


def find(from_: Path, own: Collection[Path] = ()) -> Found:
    """Look at a file, or at all files below a folder but hidden ones.

    Args:
        from_: absolute.
        own: folders to leave alone.
    """
    named = not from_.is_dir()
    paths = [from_] if named else list(_walk(from_, own))
    files: list[Sniffed] = []
    skipped: list[Note] = []
    read = 0
    for path in paths:
        try:
            os.fspath(path).encode()
            files.append(sniff(path, SAMPLE_BYTES if read < _ENOUGH else 0, named=named))
            read += path.stat().st_size
        except FormatError as error:
            skipped.append(Note("skipped", str(path), str(error)))
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            skipped.append(Note("skipped", shown, "its name is not UTF-8"))
        except OSError as error:
            skipped.append(Note("skipped", str(path), f"it cannot be read: {error.strerror}"))
    top = from_.parent if named else from_
    return Found(top, tuple(paths), tuple(_grouped(files, top)), tuple(skipped))


def _walk(top: Path, own: Collection[Path]) -> Iterator[Path]:
    for where, folders, names in os.walk(top):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and Path(where, f) not in own)
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _grouped(files: Sequence[Sniffed], top: Path) -> Iterator[Group]:
    together: dict[tuple[object, ...], list[Sniffed]] = {}
    for file in files:
        place = PurePosixPath(file.path.relative_to(top).as_posix())
        ending = _ENDING.search(place.name)
        stem = place.name[: ending.start()] if ending else place.name
        look = _NUMBERS.sub("*", str(place.parent / stem)), ending and ending[0]
        options = json.dumps(file.options, sort_keys=True)
        together.setdefault((look, file.kind, options, frozenset(file.columns)), []).append(file)
    for members in together.values():
        encodings = {file.encoding: None for file in members if file.encoding}
        if len(encodings) <= 1:
            yield Group(tuple(members), next(iter(encodings), ""))
            continue
        for encoding in encodings:
            alike = (encoding, "") if encoding == "utf-8" else (encoding,)
            yield Group(tuple(file for file in members if file.encoding in alike), encoding)
        if "utf-8" not in encodings and (plain := [file for file in members if not file.encoding]):
            yield Group(tuple(replace(file) for file in plain))


def snake(text: str) -> str:
    """``Amount (NOK)`` -> ``amount_nok``; "" where nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:60].strip("_")


def fresh(name: str, taken: Collection[str] | Mapping[str, Any]) -> str:
    """The name, numbered where it is taken already (case does not count)."""
    lower = {other.lower() for other in taken}
    number, free = 2, name
    while free.lower() in lower:
        free, number = f"{name}_{number}", number + 1
    return free


def _written(path: Path, project: Path) -> str:
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else path.as_posix()


def _below(folder: str, glob: str) -> str:
    return glob if folder == "." else f"{folder.rstrip('/')}/{glob}"


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)


def _glob(places: Sequence[str], wild: str) -> str:
    """One glob for paths that differ only in their numbers; numbers they share stay."""
    shared = [set(numbers) for numbers in zip(*map(_NUMBERS.findall, places), strict=False)]
    between = _NUMBERS.split(places[0])
    glob = _escaped(between[0])
    for numbers, text in zip(shared, between[1:], strict=False):
        glob += (next(iter(numbers)) if len(numbers) == 1 else wild) + _escaped(text)
    return glob


def _matches(place: str, glob: str) -> bool:
    names, patterns = place.split("/"), glob.split("/")
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))
