"""A file's columns held against what the dataset expects, before a row is read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lakehouse.config import Dataset
from lakehouse.errors import FormatError, nearest
from lakehouse.formats import delimiter_hint
from lakehouse.records import Note, printable
from lakehouse.schema import Action, Rule
from lakehouse.validation import Mapping

__all__ = ["Header"]

_TOLD = 100
"""New columns of a file that are told of by name."""
_UNSTORABLE = re.compile(r"^_|[ ,;{}()\n\t=]|^$")


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a set of columns fits: features and their columns it lacks, columns the schema does not know."""

    missing: dict[str, str]
    new: list[str]
    unusable: list[str]


class Header:
    """Decides, once for every set of columns, whether a file fits and what is said of it."""

    def __init__(self, dataset: Dataset, mapping: Mapping) -> None:
        self.dataset = dataset
        self.mapping = mapping
        self._expected = mapping.columns()
        self._fits: dict[tuple[str, ...], _Fit] = {}
        self._told: set[tuple[str, ...]] = set()
        self._inside = mapping.inside.features

    @property
    def unknown(self) -> list[str]:
        """Columns of the files seen that no feature reads."""
        return [*dict.fromkeys(column for columns in self._told for column in self._fits[columns].new)]

    @property
    def absent(self) -> list[str]:
        """Features whose column no file seen had."""
        lacking = [self._fits[columns].missing for columns in self._told]
        return [feature for feature in self._expected if lacking and all(feature in missing for missing in lacking)]

    def check(self, columns: tuple[str, ...], name: str) -> list[Note]:
        """Refuse a file whose columns do not fit; what a person should know of one that does.

        Raises:
            FormatError: a required column is missing, or the dataset's policy refuses a new or
                missing one.
        """
        fit = self._fit(columns)
        for feature, column in fit.missing.items():
            if self._needed(feature) or feature in self.mapping.keys:
                raise FormatError(f"'{name}' lacks the required column '{column}'.{self._hint(column, columns)}")
            if self.dataset.missing_columns == "reject":
                raise FormatError(
                    f"'{name}' lacks the column '{column}', and missing_columns is reject.{self._hint(column, columns)}"
                )
        if fit.new and self.dataset.new_columns == "reject":
            raise FormatError(
                f"'{name}' has columns the schema does not know: {_listed(fit.new)}. "
                f"Add them to the schema of '{self.dataset.name}', or set new_columns to add or ignore"
            )
        if fit.unusable and self.dataset.new_columns == "add":
            raise FormatError(
                f"'{name}' has new columns that cannot be stored under their names: {_listed(fit.unusable)}; "
                "rename them"
            )
        if columns in self._told:
            return []
        self._told.add(columns)
        what = {"add": "taken along as text", "ignore": "left out, kept in the raw file"}
        told = [printable(column) for column in fit.new[:_TOLD]]
        if len(fit.new) > _TOLD:
            told.append(f"{len(fit.new) - _TOLD:,} more")
        notes = [
            Note("new_column", f"{self.dataset.name}: {one}", f"new in '{name}': {what[self.dataset.new_columns]}")
            for one in told
        ]
        return notes + [
            Note("missing_column", f"{self.dataset.name}: {column}", f"not in '{name}': taken as missing")
            for column in fit.missing.values()
        ]

    def added(self, columns: tuple[str, ...]) -> list[str]:
        """The columns of a file that are taken along though the schema does not know them."""
        return self._fit(columns).new if self.dataset.new_columns == "add" else []

    def _fit(self, columns: tuple[str, ...]) -> _Fit:
        if columns not in self._fits:
            there, known = set(columns), set(self._expected.values())
            new = [c for c in columns if c not in known]
            taken = {name.lower() for name in self.mapping.schema.features}
            self._fits[columns] = _Fit(
                missing={
                    feature: column
                    for feature, column in self._expected.items()
                    if column not in there and feature in self._inside
                },
                new=new,
                unusable=[c for c in new if c.lower() in taken or _UNSTORABLE.search(c)],
            )
        return self._fits[columns]

    def _needed(self, feature: str) -> bool:
        """Whether no row of a file without the feature's column could be taken."""
        described = self._inside[feature]
        if not described.checked or not described.required or described.default is not None:
            return False
        return self.mapping.schema.action_of(Rule.PRESENCE, feature) is not Action.WARN

    def _hint(self, column: str, columns: tuple[str, ...]) -> str:
        delimiter = delimiter_hint(columns)
        if delimiter is not None:
            return (
                f" It has one column; is its delimiter '{delimiter}'? Set format: {{delimiter: ...}} or mend the file"
            )
        known = set(self._expected.values())
        if not known & set(columns):
            return f" It has none of the expected columns, but {_listed(list(columns))}: is it a file of this source?"
        close = nearest(column, [c for c in columns if c not in known])
        return close if close.startswith(" Did") else f" It has {_listed(list(columns))}"


def _listed(columns: list[str]) -> str:
    shown = ", ".join(f"'{printable(c[:60])}'" for c in columns[:8])
    return shown + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")
