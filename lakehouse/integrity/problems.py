"""One thing a check found."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.records import printable

__all__ = ["BACKUP", "REPAIR", "Problem", "problem"]

BACKUP = "bring it back from a backup of the lake"
REPAIR = "run `lakehouse check --repair`"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a check found.

    Attributes:
        where: the file, table or execution, relative to the lake's root; safe to print.
        message: what is wrong.
        what_to_do: the next step.
        harmless: nothing is lost and nothing wrong is shown; only worth knowing.
    """

    where: str
    message: str
    what_to_do: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.message}. Next: {self.what_to_do}."


def problem(where: str, message: str, what_to_do: str, *, harmless: bool = False) -> Problem:
    """A problem whose every word is safe to print."""
    return Problem(printable(where), printable(message), printable(what_to_do), harmless)
