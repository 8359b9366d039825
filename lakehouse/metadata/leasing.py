"""Leases: who is at something just now, on whatever machine, told apart by the database's own clock.

A lease that is not renewed in time counts for nothing: whoever held it is dead, or so stuck that it may as well be.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from lakehouse.metadata.remembering import Change, remember, remembered

_SUBJECT: Final = "lease"
_NOW: Final = {
    "postgresql": text("SELECT extract(epoch FROM clock_timestamp())"),
    "mysql": text("SELECT unix_timestamp(sysdate(6))"),
}


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds something.

    Attributes:
        name: what: ``job/nightly``.
        token: the holder's own, unlike any other's.
        host: the holder's machine.
        pid: and process.
        until: the end, in seconds since 1970-01-01 UTC by the database's clock.
    """

    name: str
    token: str
    host: str
    pid: int
    until: float

    def text(self) -> str:
        """As it is remembered."""
        return json.dumps({"token": self.token, "host": self.host, "pid": self.pid, "until": round(self.until, 3)})


def leases(connection: Connection) -> list[Lease]:
    """Those that count now."""
    now = _now(connection)
    found = [_lease(name, value) for name, value in remembered(connection, [_SUBJECT]).get(_SUBJECT, {}).items()]
    return [lease for lease in found if lease.until > now]


def take(connection: Connection, lease: Lease, seconds: float, *, alone: bool) -> Lease | None:
    """Take a lease, or renew it; None when it is taken, else who holds it.

    Args:
        connection: a write transaction that no other's overlaps.
        lease: name, token, host and process; ``until`` is set here.
        seconds: how long it counts from now.
        alone: a holder on this same machine is dead, for sure.
    """
    now = _now(connection)
    before = remembered(connection, [_SUBJECT]).get(_SUBJECT, {}).get(lease.name)
    held = None if before is None else _lease(lease.name, before)
    if held is not None and held.token != lease.token and held.until > now and not (alone and held.host == lease.host):
        return held
    taken = Lease(lease.name, lease.token, lease.host, lease.pid, now + seconds)
    remember(connection, [Change(_SUBJECT, lease.name, before, taken.text())], (), 0)
    return None


def renew(connection: Connection, lease: Lease, seconds: float) -> bool:
    """Let a lease count for longer; False where it is no longer this holder's."""
    before = remembered(connection, [_SUBJECT]).get(_SUBJECT, {}).get(lease.name)
    if before is None or _lease(lease.name, before).token != lease.token:
        return False
    taken = Lease(lease.name, lease.token, lease.host, lease.pid, _now(connection) + seconds)
    remember(connection, [Change(_SUBJECT, lease.name, before, taken.text())], (), 0)
    return True


def release(connection: Connection, lease: Lease) -> None:
    """Let a lease go, if it is this holder's."""
    before = remembered(connection, [_SUBJECT]).get(_SUBJECT, {}).get(lease.name)
    if before is not None and _lease(lease.name, before).token == lease.token:
        remember(connection, [Change(_SUBJECT, lease.name, before, None)], (), 0)


def _lease(name: str, value: str) -> Lease:
    said = json.loads(value)
    return Lease(name, said["token"], said["host"], said["pid"], said["until"])


def _now(connection: Connection) -> float:
    """The database's clock; of SQLite, whose users share a machine, that machine's."""
    asked = _NOW.get(connection.dialect.name)
    return time.time() if asked is None else float(connection.scalar(asked) or 0)
