"""Locks: a file for Git that pins the version of every dataset, and proves that the lake still holds just these.

The file tells what each version was made of, so that a review sees what a newer one takes in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse import timeline
from lakehouse.config.yaml import YamlError, quoted, read
from lakehouse.errors import ConfigError, IntegrityError, NotFoundError, StorageError, nearest
from lakehouse.records import Version, printable
from lakehouse.site import Site
from lakehouse.storage import refused, sync_file
from lakehouse.versions.contents import contents
from lakehouse.versions.tagging import visible

__all__ = ["Lock", "Pin", "pin", "pinned"]

_FORM = 1  # of the file; a reader refuses what it does not know
_LISTED = 20  # raw files that are listed one by one
_HEAD = (
    "# The versions that a lake answers with where none is asked for: Lake(lock=...), lakehouse --lock FILE read ...\n"
    "# Written by `lakehouse pin`.\n"
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One dataset's version, and what it was made of.

    Attributes:
        rows: how many it shows.
        configuration: hash of what decided how its newest rows were made.
        code: hash of the dataset's function then; "" where there was none.
        digest: hash over all its raw files and inputs, each with the configuration that it was read under.
        raw: how many raw files its rows are of.
        sha256: these raw files, where they are few.
        inputs: the versions of other datasets that it was made of.
    """

    version: int
    rows: int
    configuration: str
    code: str
    digest: str
    raw: int
    sha256: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """The pinned version of every dataset.

    Attributes:
        moment: as of which they were visible together, UTC.
        differences: in what the lock differs from the one that the file held before, one sentence each; () where that
            was the same, or there was none.
    """

    moment: datetime
    datasets: Mapping[str, Pin]
    differences: tuple[str, ...] = ()

    def to_yaml(self) -> str:
        """The lock as its file holds it."""
        return _HEAD + "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"form: {_FORM}"
        yield f"moment: {quoted(self.moment.isoformat())}"
        yield "datasets:"
        for name, one in sorted(self.datasets.items()):
            yield f"  {name}:"
            for key in ("version", "rows", "raw"):
                yield f"    {key}: {getattr(one, key)}"
            for key in ("configuration", "code", "digest"):
                yield f"    {key}: {quoted(getattr(one, key))}"
            for key in ("sha256", "inputs"):
                if values := getattr(one, key):
                    yield f"    {key}:"
                    yield from (f"      - {quoted(value)}" for value in values)


def pin(site: Site, path: Path, *, check: bool = False) -> Lock:
    """Pin the newest version of every dataset, all as they are visible now.

    Args:
        site: the opened lake.
        path: the lock's file; one that pins just these versions already is left as it is.
        check: only tell what differs from the file.

    Raises:
        NotFoundError: no dataset has a version; with ``check`` also where there is no such file.
        ConfigError: the file is there and is no lock.
        StorageError: the disk refused.
    """
    before = _read(path) if check or path.exists() else None
    when, versions = visible(dataclasses.replace(site, pinned=None))
    datasets = {name: _pin(site, version) for name, version in versions.items()}
    now = Lock(when, datasets, () if before is None else tuple(_differences(before, datasets)))
    if before is not None and not now.differences:
        return before
    if not check:
        _write(path, now.to_yaml())
    return now


def pinned(site: Site, path: Path) -> dict[str, int]:
    """The versions that a lock pins, each proved to be what the lock says.

    Raises:
        ConfigError: the file is no lock.
        NotFoundError: there is no such file, dataset or version.
        IntegrityError: a version is another than the one that was pinned.
    """
    lock = _read(path)
    for name, one in lock.datasets.items():
        if name not in site.config.datasets:
            raise NotFoundError(
                f"{path} pins '{printable(name)}', which is no dataset.{nearest(name, site.config.datasets)}"
            )
        past = timeline.read(site.ledger, name)
        try:
            version = past.at(one.version)
        except NotFoundError as error:
            raise NotFoundError(f"{path} pins {name}@{one.version}, which this lake does not hold: {error}") from None
        if wrong := _wrong(one, _pin(site, version)):
            raise IntegrityError(
                f"{name}@{one.version} is not the version that {path} pins: {wrong}. This is another lake, or one that "
                "was made again; run `lakehouse pin` to pin what it holds"
            )
    return {name: one.version for name, one in lock.datasets.items()}


def _pin(site: Site, version: Version) -> Pin:
    made = contents(site, timeline.read(site.ledger, version.dataset), version)
    hashes = sorted({raw.sha256 for raw in made.raw})
    return Pin(
        version=version.version,
        rows=version.total,
        configuration=made.configuration,
        code=made.code,
        digest=made.digest,
        raw=len(hashes),
        sha256=tuple(hashes) if len(hashes) <= _LISTED else (),
        inputs=made.inputs,
    )


def _wrong(lock: Pin, ledger: Pin) -> str:
    """In what a version is not what was pinned; "" where it is."""
    if lock.rows != ledger.rows:
        return f"it shows {ledger.rows:,} rows, not {lock.rows:,}"
    if lock.configuration != ledger.configuration:
        return "its rows were made under another configuration"
    return (
        "" if lock.digest == ledger.digest else "its rows were made of other raw files, or under other configurations"
    )


def _differences(before: Lock, now: Mapping[str, Pin]) -> Iterator[str]:
    for name in sorted({*before.datasets, *now}):
        old, new = before.datasets.get(name), now.get(name)
        if old is None or new is None:
            at = old or new
            assert at is not None  # noqa: S101  # it is a name of one of the two
            yield f"{name}: version {at.version} is {'not pinned' if old is None else 'pinned, and is not there'}"
        elif old.version != new.version:
            more = f"{new.rows - old.rows:+,} rows"
            yield f"{name}: version {old.version} is pinned, the newest is {new.version} ({more})"
        elif wrong := _wrong(old, new):
            yield f"{name}: version {old.version} is not the one that is pinned: {wrong}"


def _write(path: Path, text: str) -> None:
    """Write the file whole, in the place of an older one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with refused(f"writing {path}"):
        try:
            beside.write_text(text, "utf-8")
            sync_file(beside)
            beside.replace(path)
            sync_file(path.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()


def _read(path: Path) -> Lock:
    try:
        values = read(path).data
    except FileNotFoundError:
        raise NotFoundError(f"there is no lock {path}; `lakehouse pin {path}` writes it") from None
    except OSError as error:
        raise StorageError(f"reading {path}: {error.strerror or error}") from error
    except YamlError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        if values["form"] != _FORM:
            raise ConfigError(f"{path}: its form is {values['form']}, which this release does not read")
        moment = datetime.fromisoformat(values["moment"])
        datasets = {str(name): _of(one) for name, one in values["datasets"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: this is no lock ({type(error).__name__}: {error}); run `lakehouse pin`") from None
    return Lock(moment, datasets)


def _of(values: Mapping[str, Any]) -> Pin:
    lists: dict[str, Sequence[str]] = {key: tuple(values.get(key, ())) for key in ("sha256", "inputs")}
    numbers = {key: int(values[key]) for key in ("version", "rows", "raw")}
    texts = {key: str(values[key]) for key in ("configuration", "code", "digest")}
    return Pin(**{**numbers, **texts, **lists})  # type: ignore[arg-type]
