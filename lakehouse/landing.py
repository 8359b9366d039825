"""Landing: a source's files into the raw zone, untouched, once, with a record of every sighting.

A file is new by origin, size, time and content hash. Nothing here looks into a file.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import stamina

from lakehouse.errors import ConfigError, NotFoundError, SourceError, StorageError
from lakehouse.faults import point
from lakehouse.records import (
    Artifact,
    Context,
    EventType,
    ExecutionState,
    Landed,
    Note,
    Progress,
    Sighting,
    Value,
    printable,
    raw_id,
    said_of,
)
from lakehouse.site import INTERRUPTED, Site
from lakehouse.sources import Download, Offer, Seen, Source
from lakehouse.sources.files import FileOffer, origin_of, storable
from lakehouse.sources.push import PushOffer
from lakehouse.storage import Staged

__all__ = ["land", "land_bytes", "land_file", "manifest", "settle", "waiting"]

_BATCH_FILES = 1000  # published, synced and recorded together
_BATCH_BYTES = 256 << 20
_PAUSE = 0.1  # seconds before the second try; from there on stamina waits longer and longer


def land(site: Site, name: str) -> Landed:
    """Land every file of a source that is not landed yet.

    One file that fails does not stop the others; it is counted and told.

    Raises:
        NotFoundError: there is no such source.
        ConfigError: it asks for a stretch of time, and the site has none.
        SourceError: the source as a whole cannot be read.
        StorageError: the lake's disk refused; what was published before stays landed.
        CommitError: another process has been landing this source for too long.
    """
    source = _asked(site, name)
    with site.storage.lock("source", name):
        landing = _Landing(site, name, source.attempts)
        with landing.recorded():
            for offer in source.offers(landing.seen, site.clock()):
                landing.take(offer)
        return landing.result()


def _asked(site: Site, name: str) -> Source:
    """A source, asked for the site's stretch of time where it asks for one.

    Raises:
        NotFoundError: there is no such source.
        ConfigError: it needs a stretch of time, and there is none.
    """
    source = site.config.source(name)
    if not source.timed:
        return source
    if site.interval is None:
        raise ConfigError(
            f"source '{name}' asks for {{start}} and {{end}}, and no stretch of time was given: say --from and --to "
            "(start= and end=), or let its job run by a schedule or every"
        )
    return source.during(site.interval)


def waiting(site: Site, name: str) -> int:
    """How many files a source has that are not landed and count as whole; nothing is fetched or recorded.

    Raises:
        NotFoundError: there is no such source.
        SourceError: the source as a whole cannot be read.
    """
    source = site.config.source(name)
    seen = Seen(site.ledger.sightings(name).values())
    return sum(not offer.unchanged and offer.settling <= 0 for offer in source.offers(seen, site.clock()))


def land_file(site: Site, name: str, path: Path) -> Landed:
    """Land one local file into a source, whether or not the source would find it by itself.

    Raises:
        NotFoundError: there is no such source.
        SourceError: the file cannot be read.
        StorageError: the lake's disk refused.
    """
    whole = str(path.absolute())
    return _land_one(site, name, FileOffer(origin_of(whole, site.config.project), storable(path.name), whole))


def land_bytes(site: Site, name: str, called: str, data: bytes | BinaryIO | Iterable[bytes]) -> Landed:
    """Land bytes that somebody hands over, in bounded memory; their origin is ``push:`` and their name.

    Raises:
        NotFoundError: there is no such source.
        ConfigError: no file can have that name.
        StorageError: the lake's disk refused.
        Exception: what the stream itself raised; nothing of it is landed then.
    """
    offer = PushOffer(called, data)
    try:
        done = _land_one(site, name, offer)
    except StorageError:
        if offer.broken is None:
            raise
    if offer.broken is not None:
        raise offer.broken
    return done


def _land_one(site: Site, name: str, offer: Offer) -> Landed:
    site.config.source(name)
    with site.storage.lock("source", name):
        landing = _Landing(site, name, attempts=1)
        with landing.recorded():
            landing.take(offer)
        return landing.result()


def settle(site: Site, source: str) -> list[str]:
    """Close what a killed landing left open; only call while holding the source's lock.

    Its published files are recorded when they are seen again.

    Returns:
        One sentence an execution, for people.
    """
    about = Context("Source", source)
    told = []
    for execution in site.interrupted("Land", about):
        site.fail(execution.id, "Land", about, INTERRUPTED)
        told.append(f"execution {execution.id} was interrupted and was cleaned up")
    site.keep_newest("Land", about)
    site.storage.discard_incoming(source)
    return told


def manifest(raw: Artifact, origin: str, execution: int) -> dict[str, Any]:
    """What stands beside a raw file.

    Args:
        raw: its artifact.
        origin: where it was first seen.
        execution: the landing that stored it.
    """
    said, more = raw.properties, raw.custom_properties
    told = {
        "source": said["source"],
        "origin": origin,
        "name": said["name"],
        "size": said["size"],
        "sha256": said["sha256"],
        "landed_at": said["landed_at"],
        "execution": execution,
        "fidelity": more.get("fidelity", "bytes"),
    }
    return told if "facts" not in more else {**told, "facts": json.loads(str(more["facts"]))}


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A file that came in whole, and is not published yet."""

    offer: Offer
    download: Download
    staged: Staged

    @property
    def origin(self) -> str:
        return self.offer.origin


class _Landing:
    """One landing under way: what has arrived and is not published yet, and the counts so far."""

    def __init__(self, site: Site, name: str, attempts: int) -> None:
        self.site = site
        self.name = name
        self.about = Context("Source", name)
        self.attempts = attempts
        self.started = time.monotonic()
        self.execution = 0
        self.counts: Counter[str] = Counter()
        self.notes: list[Note] = []
        self.arrived: list[_Arrival] = []
        self.waiting = 0  # bytes of what arrived
        for told in settle(site, name):
            self._note("recovered", name, told)
        self.seen = Seen(site.ledger.sightings(name).values(), self._raw_path)

    def _note(self, kind: str, where: str, message: str) -> None:
        self.notes.append(Note(kind, printable(where), self.site.config.redact(message)))

    def _raw_path(self, sighting: Sighting) -> Path:
        """Where the bytes lie that were seen."""
        identity = raw_id(self.name, sighting.sha256)
        found = self.site.ledger.get_artifacts(external_ids=[identity])
        if not found:
            raise NotFoundError(f"the ledger knows no raw file '{identity}'; run `lakehouse check`")
        return self.site.storage.path(found[0].uri)

    def take(self, offer: Offer) -> None:
        """Bring one offered file in, or say why not."""
        self.counts["files"] += 1
        if offer.unchanged:
            self.counts["unchanged"] += 1
            self._landed(offer)
            return
        if offer.settling > 0:
            self.counts["settling"] += 1
            self._note("settling", offer.origin, f"still settling: counts as whole in {offer.settling:.0f} s")
            return
        self._begin()
        try:
            arrival = self._fetch(offer)
        except SourceError as error:
            self.counts["failed"] += 1
            self._note("failed", offer.origin, str(error))
            return
        if arrival is None and offer.awaited:
            self.counts["settling"] += 1
            self._note("settling", offer.origin, offer.awaited)
            return
        if arrival is None:
            self.counts["unchanged"] += 1
            self._landed(offer)
            return
        if arrival.download.told:
            self._note("source", offer.origin, arrival.download.told)
        self.arrived.append(arrival)
        self.waiting += arrival.staged.size
        self.site.report(Progress("land", self.name, self.counts["files"], None, "files"))
        if len(self.arrived) >= _BATCH_FILES or self.waiting >= _BATCH_BYTES:
            self.publish()

    def _landed(self, offer: Offer) -> None:
        """Tell the source that what it offered is landed."""
        try:
            told = offer.landed()
        except SourceError as error:
            self.counts["failed"] += 1
            self._note("failed", offer.origin, str(error))
        else:
            if told:
                self._note("landed", offer.origin, told)

    def _begin(self) -> None:
        """Record the execution before the first byte is written; a landing with nothing to do has none."""
        if self.execution == 0:
            interval = {} if self.site.interval is None else self.site.interval.plain()
            said: dict[str, Value] = {f"interval_{end}": moment for end, moment in interval.items()}
            self.execution = self.site.begin("Land", self.about, said)
            point("land.begun")

    def _fetch(self, offer: Offer) -> _Arrival | None:
        """The offered bytes, staged; tried again while the source says that may help."""
        try:
            return self._try(offer)  # by hand: setting up the retries costs more than a small file
        except SourceError as error:
            if not error.retryable or self.attempts == 1:
                raise
        time.sleep(_PAUSE)
        again = stamina.RetryingCaller(attempts=self.attempts - 1, timeout=None, wait_max=30.0)
        return again(_retryable, self._try, offer)

    def _try(self, offer: Offer) -> _Arrival | None:
        with offer.open() as download:
            if download is None:
                return None
            data = download.path or download.chunks
            assert data is not None, "a download has a path or chunks"  # noqa: S101  # a source's own bug
            staged = self.site.storage.stage(self.name, offer.name, data, download.size)
        return _Arrival(offer, download, staged)

    def publish(self) -> None:
        """Put what arrived in its place and record it: first the files, then the ledger."""
        if not self.arrived:
            return
        now = self.site.clock()
        ids = {raw_id(self.name, a.staged.sha256) for a in self.arrived}
        known = {str(a.properties["sha256"]): a for a in self.site.ledger.get_artifacts(external_ids=ids)}
        names = self._tell(known)
        properties: dict[str, dict[str, Value]] = {
            arrival.staged.sha256: {
                "source": self.name,
                "sha256": arrival.staged.sha256,
                "name": names[arrival.staged.sha256],
                "size": arrival.staged.size,
                "landed_at": now.isoformat(),
            }
            for arrival in self.arrived
        }
        brought = [
            Artifact(
                "RawFile",
                name=raw_id(self.name, a.staged.sha256),
                external_id=raw_id(self.name, a.staged.sha256),
                properties=properties[a.staged.sha256],
                custom_properties=self._said(a, known.get(a.staged.sha256)),
            )
            for a in self.arrived
        ]
        manifests = [manifest(one, a.origin, self.execution) for one, a in zip(brought, self.arrived, strict=True)]
        uris = self.site.storage.publish(
            self.name, [(a.staged, m) for a, m in zip(self.arrived, manifests, strict=True)]
        )
        raw = {
            str(one.properties["sha256"]): dataclasses.replace(
                one, uri=uri, properties={**one.properties, "name": PurePosixPath(uri).name}
            )
            for one, uri in zip(brought, uris, strict=True)
        }
        sightings = [
            Sighting(self.name, a.origin, a.staged.size, a.download.modified, a.staged.sha256, now)
            for a in self.arrived
        ]
        self.site.put(
            self.execution,
            "Land",
            self.about,
            links=[(artifact, EventType.OUTPUT) for artifact in raw.values()],
            sightings=sightings,
        )
        point("land.recorded")
        self.seen.update({s.origin: s for s in sightings})
        arrived, self.arrived, self.waiting = self.arrived, [], 0
        for arrival in arrived:
            self._landed(arrival.offer)

    def _said(self, arrival: _Arrival, known: Artifact | None) -> Mapping[str, Value]:
        """What is said of bytes: at their first landing, also where it was killed before it was recorded."""
        if known is not None:
            return known.custom_properties
        sha256 = arrival.staged.sha256
        beside = self.site.storage.path(f"raw/{self.name}/{sha256[:2]}/{sha256}/manifest.json")
        if beside.is_file():
            with suppress(ValueError, OSError):  # one that is damaged says nothing
                if "fidelity" in (first := json.loads(beside.read_bytes())):
                    return said_of(first)
        facts = {"facts": arrival.download.facts} if arrival.download.facts else {}
        return said_of({"fidelity": arrival.download.fidelity, **facts})

    def _tell(self, known: Mapping[str, Artifact]) -> dict[str, str]:
        """Count what arrived as new, changed, seen again or the same under another name.

        Args:
            known: the raw files of such content that the ledger has, by sha256.

        Returns:
            What each content (sha256) is called in the raw zone: as the ledger knows it, else by its first arrival.
        """
        names = {sha256: str(artifact.properties["name"]) for sha256, artifact in known.items()}
        for arrival in self.arrived:
            sha256 = arrival.staged.sha256
            stored = sha256 in names
            name = names.setdefault(sha256, arrival.staged.name)
            before = self.seen.get(arrival.origin)
            if before is not None and before.sha256 == sha256:
                self.counts["unchanged"] += 1
                continue
            if stored:
                self.counts["duplicates"] += 1
                told = f"same content as '{name}': stored once, its rows count once"
                if before is not None:
                    told = "back to earlier bytes: they correct the rows of the newer ones"
                self._note("duplicate", arrival.origin, told)
                continue
            self.counts["new"] += 1
            self.counts["size"] += arrival.staged.size
            if before is not None:
                self._note("changed", arrival.origin, "changed since it was landed: the new bytes correct the old rows")
            if arrival.staged.size == 0:
                self._note("empty", arrival.origin, "empty file: landed, it has no rows")
        return names

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Finish the record when the block ends well, mark it failed when it does not."""
        try:
            yield
            self.publish()
        except BaseException as error:
            if self.execution:
                self.site.fail(self.execution, "Land", self.about, error)
            raise
        if self.execution:
            properties = {name: self.counts[name] for name in ("files", "new", "size", "failed")}
            self.site.put(self.execution, "Land", self.about, state=ExecutionState.COMPLETE, properties=properties)
            point("land.finished")
        done = self.counts["files"]
        self.site.report(Progress("land", self.name, done, done, "files", finished=True))

    def result(self) -> Landed:
        """What was done."""
        return Landed(
            self.name,
            self.execution,
            **self.counts,
            seconds=time.monotonic() - self.started,
            notes=tuple(self.notes),
        )


def _retryable(error: Exception) -> bool:
    return isinstance(error, SourceError) and error.retryable
