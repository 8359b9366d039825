"""What whole receipts say of artifacts that other executions made, whose own receipt may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.receipts import Receipt
from lakehouse.records import Artifact

__all__ = ["Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """Where each artifact is described first: a receipt's file by the artifact's type and external id, or name."""

    files: dict[tuple[str, str], Path] = field(default_factory=dict)

    def take(self, receipt: Receipt, file: Path) -> None:
        """Take note of what a receipt describes."""
        for artifact in receipt.artifacts:
            if artifact.properties and (key := _key(artifact)):
                self.files.setdefault(key, file)

    def of(self, artifact: Artifact) -> Artifact | None:
        """An artifact as a whole receipt describes it; None where none does."""
        key = _key(artifact)
        if key is None or key not in self.files:
            return None
        receipt = Receipt.from_json(self.files[key].read_bytes())
        return next(one for one in receipt.artifacts if _key(one) == key)

    def raws(self) -> Iterator[str]:
        """The external ids of the raw files that are described."""
        return (key for kind, key in self.files if kind == "RawFile")


def _key(artifact: Artifact) -> tuple[str, str] | None:
    identity = artifact.external_id or artifact.name
    return None if identity is None else (artifact.type, identity)
