"""What the lake itself tells of its past executions: receipts, and where one is missing, the traces it left.

Two kinds of trace: every commit of a curation says of itself what the ledger knew before it, and every
raw file's manifest says which landing stored it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.config import Config
from lakehouse.integrity.recorded import left
from lakehouse.receipts import Receipt
from lakehouse.repair import commits, manifests
from lakehouse.repair.told import Told
from lakehouse.storage import Storage

__all__ = ["Found", "find"]


@dataclass(frozen=True, slots=True)
class Found:
    """All that the lake tells of its executions.

    Attributes:
        files: the whole receipts, by execution.
        damaged: executions whose receipt is damaged.
        traced: what was made of the traces of others, by execution.
        told: what whole receipts say of artifacts.
        highest: no execution that left any trace has a higher number.
    """

    files: dict[int, Path]
    damaged: tuple[int, ...] = ()
    traced: dict[int, Receipt] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    highest: int = 0

    def receipts(self, storage: Storage, also: dict[int, Receipt]) -> Iterator[Receipt]:
        """Every receipt, oldest first, raw files whole wherever something is known of them.

        Args:
            storage: the lake's files.
            also: further receipts by execution, of those that left none in the lake.
        """
        described: set[str] = set()
        every = {**self.traced, **also}
        for number in sorted({*every, *self.files}):
            receipt = self.receipt(number) if number in self.files else every[number]
            yield self._described(storage, receipt, described)

    def receipt(self, number: int) -> Receipt:
        """A whole receipt."""
        return Receipt.from_json(self.files[number].read_bytes())

    def _described(self, storage: Storage, receipt: Receipt, described: set[str]) -> Receipt:
        artifacts = []
        for artifact in receipt.artifacts:
            known = str(artifact.external_id)
            bare = artifact.type == "RawFile" and not artifact.properties
            if bare and known not in described:
                whole = self.told.of(artifact) or manifests.described(storage, artifact)
                artifacts.append(dataclasses.replace(whole, id=artifact.id))
            else:
                artifacts.append(artifact)
            if artifact.type == "RawFile":
                described.add(known)
        return dataclasses.replace(receipt, artifacts=tuple(artifacts))


def find(storage: Storage, config: Config) -> Found:
    """Read all of it.

    Raises:
        StorageError: the disk refused.
    """
    files, _ = left(storage)
    whole: dict[int, Path] = {}
    told = Told()
    for number, file in files.items():
        try:
            receipt = Receipt.from_json(file.read_bytes())
        except ValueError:
            continue
        whole[number] = file
        told.take(receipt, file)
    landings = manifests.landings(storage, whole)
    raws = {*told.raws(), *(str(a.external_id) for receipt in landings.values() for a in receipt.artifacts)}
    curations, highest = commits.curations(storage, config, whole, raws, told)
    return Found(
        whole,
        tuple(sorted(files.keys() - whole.keys())),
        {**landings, **curations, **commits.optimizations(storage, whole)},
        told,
        max((*files, *landings, highest), default=0),
    )
