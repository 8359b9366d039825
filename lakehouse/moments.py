"""Points in time as people write them."""

from __future__ import annotations

import zoneinfo
from datetime import datetime

from lakehouse.errors import ConfigError

__all__ = ["moment"]


def moment(value: datetime | str, timezone: str | None, name: str) -> datetime:
    """A point in time as UTC.

    Args:
        value: an aware datetime, or ISO 8601 text; a date alone is its midnight.
        timezone: the lake's zone for times that carry none; None refuses them.
        name: what the moment is for, to be told in errors: ``as_of``.

    Raises:
        ConfigError: the time has no zone and the lake sets none, or it is not a time.
    """
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigError(f"{name}: '{value}' is no time; write it like 2026-03-01T12:00:00Z") from None
    if when.tzinfo is None:
        if timezone is None:
            raise ConfigError(
                f"{name}: {when.isoformat()} has no time zone; add one (2026-03-01T12:00:00Z), "
                "or set timezone in lakehouse.yaml"
            )
        when = when.replace(tzinfo=zoneinfo.ZoneInfo(timezone))
    return when.astimezone(zoneinfo.ZoneInfo("UTC"))
