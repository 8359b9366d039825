"""The manifest of an export: what a tag names, what its files hold, and what they were made of. Pure values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

__all__ = ["Exported", "File", "Form", "Manifest", "RawOf"]

Form: TypeAlias = Literal["parquet", "csv"]

_FORM = 1  # of the manifest; a reader refuses what it does not know


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export.

    Attributes:
        path: relative to the export's folder.
        rows: rows in it.
        size: bytes.
    """

    path: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RawOf:
    """A raw file whose rows are in an export; the bytes stay in the lake that made it.

    Attributes:
        origins: where its source saw it.
    """

    sha256: str
    source: str
    name: str
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """One dataset of an export: the state that its version shows.

    Attributes:
        history: its load kind.
        columns: name to polars dtype, for people; the files' own are what counts.
        personal: the columns that hold personal data.
        schema: what the rows were checked against, as YAML has it.
        configuration: hash of all that decided what became of raw files, at the version.
        code: hash of the function that did; "" where there was none.
        raw: the raw files that its rows are from.
        inputs: versions of other datasets that they are from.
    """

    version: int
    committed_at: datetime
    rows: int
    history: str
    keys: tuple[str, ...]
    columns: Mapping[str, str]
    personal: tuple[str, ...]
    schema: Mapping[str, Any]
    configuration: str
    code: str
    files: tuple[File, ...]
    raw: tuple[RawOf, ...]
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole export.

    Attributes:
        lake: what the lake that made it is called.
        moment: as of which the tag's versions were visible, UTC.
        form: of the files.
    """

    tag: str
    lake: str
    moment: datetime
    description: str = ""
    form: Form = "parquet"
    datasets: Mapping[str, Exported] = field(default_factory=dict)

    @property
    def versions(self) -> dict[str, int]:
        """Each dataset's version."""
        return {name: one.version for name, one in self.datasets.items()}

    @property
    def files(self) -> tuple[File, ...]:
        """All files of all datasets."""
        return tuple(file for one in self.datasets.values() for file in one.files)

    def to_json(self) -> str:
        """The manifest as its file holds it; the same export gives the same text."""
        text = _dump(asdict(self))
        return f'{{"manifest": {_FORM}, "sha256": "{_digest(text)}", "export": {text}}}\n'

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: it is no manifest, or one of a newer form.
        """
        try:
            whole = json.loads(text)
            if whole["manifest"] != _FORM:
                raise ValueError(f"its form is {whole['manifest']}, made by a newer release")
            values = whole["export"]
            if _digest(_dump(values)) != whole["sha256"]:
                raise ValueError("it was changed: its hash does not fit")
            datasets = {name: _exported(one) for name, one in values.pop("datasets").items()}
            return cls(**{**values, "moment": _moment(values["moment"])}, datasets=datasets)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("it is no manifest of an export") from error


def _dump(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, ensure_ascii=False, indent=1, default=datetime.isoformat)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _exported(values: dict[str, Any]) -> Exported:
    return Exported(
        **{
            **values,
            "committed_at": _moment(values["committed_at"]),
            "keys": tuple(values["keys"]),
            "personal": tuple(values["personal"]),
            "inputs": tuple(values["inputs"]),
            "files": tuple(File(**file) for file in values["files"]),
            "raw": tuple(RawOf(**{**raw, "origins": tuple(raw["origins"])}) for raw in values["raw"]),
        }
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"'{text}' has no time zone")
    return moment
