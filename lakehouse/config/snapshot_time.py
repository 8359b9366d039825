"""When a snapshot was the full picture, by its file's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from lakehouse.errors import nearest

__all__ = ["LANDED", "NamePattern", "name_pattern"]

LANDED = "landed"
"""The ``snapshot_time`` of files that were the full picture when they came."""

_CODES = {
    "Y": r"[0-9]{4}",
    "y": r"[0-9]{2}",
    "m": r"[0-9]{2}",
    "d": r"[0-9]{2}",
    "H": r"[0-9]{2}",
    "M": r"[0-9]{2}",
    "S": r"[0-9]{2}",
    "f": r"[0-9]{1,6}",
    "j": r"[0-9]{3}",
    "b": r"[A-Za-z]{3}",
    "B": r"[A-Za-z]+",
    "z": r"Z|[-+][0-9]{2}:?[0-9]{2}",
}
_PART = re.compile(r"%(?P<code>.?)|(?P<any>\*)|[^%*]+")


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A file's name with a moment in it.

    Attributes:
        text: as it is written in YAML.
        regex: what a whole name matches, a group a code.
        codes: what the groups hold, for ``strptime``.
    """

    text: str
    regex: re.Pattern[str]
    codes: str

    def moment(self, name: str) -> datetime | None:
        """The moment (UTC) that a name holds; without an offset it is meant so. None where the name does not fit."""
        found = self.regex.fullmatch(name)
        if found is None:
            return None
        try:
            when = datetime.strptime(" ".join(found.groups()), self.codes)  # noqa: DTZ007  # the zone follows
            return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def name_pattern(text: str) -> NamePattern | None:
    """Read a ``snapshot_time``; None for `LANDED`.

    Args:
        text: a file's name with ``strptime`` codes where it holds its moment, and ``*`` for whatever else changes.

    Raises:
        ValueError: it is neither.
    """
    if text == LANDED:
        return None
    regex, codes = "", []
    for part in _PART.finditer(text):
        code = part["code"]
        if part["any"]:
            regex += ".*?"
        elif code is None or code == "%":
            regex += re.escape(part[0] if code is None else "%")
        elif code not in _CODES:
            raise ValueError(f"'%{code}' is no code for a moment here; there is {', '.join(f'%{c}' for c in _CODES)}")
        elif f"%{code}" in codes:
            raise ValueError(f"'%{code}' stands here twice")
        else:
            regex += f"({_CODES[code]})"
            codes.append(f"%{code}")
    if "%Y" not in codes and "%y" not in codes:
        near = nearest(text, [LANDED])
        hint = near if near.startswith(" Did") else ""
        raise ValueError(
            f"must be {LANDED}, or a file name with the codes of a moment, a year at least: planes_%Y-%m-%d.csv.{hint}"
        )
    if "/" in text:
        raise ValueError("is matched against the file's name alone; leave the folders out")
    return NamePattern(text, re.compile(regex, re.DOTALL), " ".join(codes))
