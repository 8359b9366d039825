"""Singer taps: any program that writes Singer messages, run as it is, its output landed untouched.

The output is sealed at its last STATE message (see `sealing`), and the STATE that a landed file ends with is where
the next run goes on: there is no other record of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from lakehouse.errors import NotFoundError, SourceError, nearest
from lakehouse.records import Fidelity
from lakehouse.sources import Download, Offer, Seen, Source
from lakehouse.sources.singer.installing import installed
from lakehouse.sources.singer.process import Tap, environment, running
from lakehouse.sources.singer.sealing import Sealing, further
from lakehouse.sources.singer.selecting import selected
from lakehouse.units import Duration

__all__ = ["SingerSource"]

_LARGEST_CATALOG = 256 << 20
_SHOWN = 2000  # characters of a STATE that the ledger keeps
_BLOCK = 1 << 20


def _split(value: Any) -> Any:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def _hidden(value: Any) -> Any:
    """The same values with every text a secret: which of them are is the tap's affair."""
    if isinstance(value, dict):
        return {key: _hidden(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner) for inner in value]
    return SecretStr(value) if isinstance(value, str) else value


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


class SingerSource(Source):
    """A Singer tap.

    Attributes:
        command: the tap and its arguments: a name, or a path below the project's folder, where it runs.
        config: what the tap is configured with, in its own words.
        catalog: a file of the project that says what to extract.
        select: in its place, streams of what the tap discovers: ``true``, or some of their fields.
        environment: variables the tap gets beside the few that every program needs.
        install: what to install into a Python environment of its own, as pip takes it.
        environments: the folder of such environments; else one below the lake's root.
        series: another name starts again, without a STATE.
        timeout: the longest silence.
        deadline: the longest a run may take.
    """

    own_format: ClassVar[str | None] = "singer"

    asking: ClassVar = ("config",)

    command: Annotated[tuple[str, ...], BeforeValidator(_split), Field(min_length=1)]
    config: Annotated[dict[str, Any], BeforeValidator(_hidden)] = Field(default_factory=dict)
    catalog: str | None = None
    select: dict[str, tuple[str, ...] | bool] = Field(default_factory=dict)
    environment: dict[str, SecretStr] = Field(default_factory=dict)
    install: tuple[str, ...] = ()
    environments: str | None = None
    series: str = ""
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(minutes=30)
    deadline: Annotated[Duration, Field(gt=timedelta())] = timedelta(hours=24)

    @model_validator(mode="after")
    def _one_choice(self) -> SingerSource:
        if self.catalog is not None and self.select:
            raise ValueError("catalog and select exclude each other")
        if any(not wanted.strip() or wanted.startswith("-") for wanted in self.install):
            raise ValueError("install: holds requirements such as tap-csv==1.4, not options of pip")
        return self

    @property
    def tap(self) -> str:
        """What to call the tap."""
        named = (Path(part).name for part in self.command if not part.startswith("-"))
        return next((name for name in named if not name.startswith("python")), Path(self.command[0]).name)

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """One: what the tap gives from where it was left; see `Source.offers`."""
        del now  # a tap's output has no time to settle
        stem = f"singer:{self._redact(self.tap)}" + (f"/{self.series}" if self.series else "")
        if span := self._span():  # the stretch of time says it all, and no STATE where to go on
            origin = f"{stem}?during={span}"
            yield _TapOffer(self, origin, f"{self.tap}.ndjson", None, known=origin in seen)
            return
        state = self._left(seen, stem)
        start = further(state)
        mark = "" if start is None else hashlib.sha256(json.dumps(start, sort_keys=True).encode()).hexdigest()[:16]
        origin = stem if start is None else f"{stem}?from={mark}"
        yield _TapOffer(self, origin, f"{self.tap}.ndjson", None if start is None else state, known=origin in seen)

    def _left(self, seen: Seen, stem: str) -> Any:
        """The STATE that the newest landed file ends with; of those that end with one. None without any."""
        mine = [s for s in seen.values() if s.origin == stem or s.origin.startswith(f"{stem}?from=")]
        for sighting in sorted(mine, key=lambda s: s.seen_at, reverse=True):
            try:
                last = _last_line(seen.bytes_of(sighting.origin))
            except (OSError, NotFoundError) as error:
                raise SourceError(f"the STATE the tap is to go on from cannot be read: {error}") from error
            try:
                message = json.loads(last)
            except ValueError:
                continue
            if isinstance(message, dict) and message.get("type") == "STATE" and further(message.get("value")):
                return message["value"]
        return None

    @contextmanager
    def started(self, *, state: Any = None, discover: bool = False) -> Iterator[Tap]:
        """The tap, for the length of the block.

        Raises:
            SourceError: there is no such program, or its environment cannot be made.
        """
        files = {"config": json.dumps(_shown(self.config))}
        if not discover:
            if (catalog := self._catalog()) is not None:
                files["catalog"] = catalog
            if state is not None:
                files["state"] = json.dumps(state)
        variables = environment() | {name: value.get_secret_value() for name, value in self.environment.items()}
        if self.install:
            programs = installed(self.install, self._environments())
            variables["PATH"] = f"{programs}{os.pathsep}{variables.get('PATH', os.defpath)}"
        command = [self._program(variables.get("PATH", os.defpath)), *self.command[1:]]
        with running(
            [*command, "--discover"] if discover else command,
            files,
            folder=self._folder.absolute(),
            variables=variables,
            timeout=self.timeout,
            deadline=self.deadline,
        ) as tap:
            yield tap

    def _environments(self) -> Path:
        if self.environments is not None:
            return self._folder.absolute() / Path(self.environments).expanduser()
        return (self._zones[0].parent if self._zones else self._folder.absolute()) / ".taps"

    def _program(self, path: str) -> str:
        name = self.command[0]
        found = shutil.which(str(self._folder.absolute() / name) if os.sep in name else name, path=path)
        if found is None:
            there = (
                sorted({file.name for file in Path(path.split(os.pathsep, maxsplit=1)[0]).glob("*")})
                if self.install
                else []
            )
            hint = nearest(name, there) or (" 'install' brought no such program." if self.install else "")
            raise SourceError(f"there is no program '{self._redact(name)}'.{hint}")
        return found

    def _catalog(self) -> str | None:
        if self.catalog is not None:
            try:
                return (self._folder / self.catalog).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError(f"catalog: '{self.catalog}' cannot be read: {error}") from error
        if not self.select:
            return None
        found = bytearray()
        with self.started(discover=True) as tap:
            for piece in tap.pieces():
                found += piece
                if len(found) > _LARGEST_CATALOG:
                    raise SourceError(f"{self.tap} --discover gave more than {_LARGEST_CATALOG >> 20} MiB")
        if failure := tap.failure(self._redact):
            raise SourceError(f"{self._redact(self.tap)} --discover {failure}")
        return selected(bytes(found), self.select)

    def redacted(self, text: str) -> str:
        """A text without secrets."""
        return self._redact(text)

    def shown(self, state: Any) -> str:
        """A STATE for people, in ASCII (it may hold what is no text), without secrets, cut where it is long."""
        text = self._redact(json.dumps(state, sort_keys=True))
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@dataclass
class _TapOffer(Offer):
    """One run of the tap.

    Attributes:
        state: the STATE it goes on from.
        known: what it gave from there was landed before.
    """

    source: SingerSource
    origin: str
    name: str
    state: Any
    known: bool
    failure: str = ""

    @contextmanager
    def open(self) -> Iterator[Download | None]:
        """Run the tap; None when it has nothing new."""
        source = self.source
        fidelity: Fidelity = "wire"
        self.failure = ""
        sealing = Sealing(further(self.state))
        download = Download(fidelity=fidelity)
        with (
            closing(sealing),
            source.started(state=self.state) as tap,
            closing(self._sealed(tap, sealing, download)) as sealed,
        ):
            first = next(sealed, None)
            if first is None:
                if self.failure:
                    raise SourceError(self.failure)
                yield None
                return
            download.chunks = chain([first], sealed)
            yield download

    def landed(self) -> str:
        """What came up to the last STATE is landed; that the tap failed afterwards is still to be told."""
        if self.failure:
            raise SourceError(f"{self.failure}\nwhat came up to its last STATE is landed; the next run goes on there")
        return ""

    def _sealed(self, tap: Tap, sealing: Sealing, download: Download) -> Generator[bytes]:
        source = self.source
        for piece in tap.pieces():
            yield from sealing.take(piece)
        if failure := tap.failure(source.redacted):
            self.failure = f"{source.redacted(source.tap)} {failure}"
        else:
            yield from sealing.whole()
            if sealing.wrote and not sealing.messages:
                raise SourceError(f"{source.redacted(source.tap)} gave no Singer message; is it a tap?")
            if sealing.state is not None or sealing.aside or (self.known and self.state is None and sealing.messages):
                yield from sealing.end()
        aside = {name: count for name, count in sealing.aside.items() if count}
        told = {
            "tap": source.redacted(source.tap),
            "installed": list(source.install),
            "records": {source.redacted(name): count for name, count in sealing.records.items()},
            "state_from": None if self.state is None else source.shown(self.state),
            "state_to": None if sealing.state is None else source.shown(sealing.state),
            "set_aside": {source.redacted(name): count for name, count in aside.items()},
            "status": tap.status,
        }
        download.facts |= {name: value for name, value in told.items() if value not in (None, {}, [])}
        if aside and not self.failure:
            count = sum(aside.values())
            download.told = (
                f"{count:,} records came after the tap's last STATE and were set aside: "
                "the tap has to give them again, or a STATE after them"
            )


def _last_line(path: Path) -> bytes:
    """A file's last line; only its end is read."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        found = b""
        while end:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            found, end = stream.read(end - start) + found, start
            _, newline, line = found.rstrip(b"\r\n").rpartition(b"\n")
            if newline:
                return line
        return found.rstrip(b"\r\n")
