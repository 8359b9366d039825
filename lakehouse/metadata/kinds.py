"""The three kinds of records that have types and properties, and where each is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Row, Table

from lakehouse.metadata import tables
from lakehouse.records import Artifact, ArtifactState, Context, Execution, ExecutionState, TypeKind

Node = TypeVar("Node", Artifact, Execution, Context)


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[Node]):
    """One of the three.

    Attributes:
        number: of its types.
        record: the class of its records.
        state: its column for the state, None where it has none.
        renamable: whether ML Metadata lets a put change its name.
    """

    number: TypeKind
    record: type[Node]
    table: Table
    properties: Table
    state: str | None = None
    renamable: bool = False

    @property
    def word(self) -> str:
        """What it is called in messages."""
        return self.number.name.lower()

    def own_columns(self, record: Node) -> dict[str, Any]:
        """What the other kinds do not have; an unknown state is no state, as in ML Metadata."""
        columns: dict[str, Any] = {}
        if isinstance(record, Artifact):
            columns["uri"] = record.uri
        if self.state is not None and not isinstance(record, Context):
            columns[self.state] = int(record.state) or None
        return columns

    def own_fields(self, row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
        """The other way round: the fields of a record out of its row."""
        match self.number:
            case TypeKind.ARTIFACT:
                return {"uri": row.uri or "", "state": ArtifactState(row.state or 0)}
            case TypeKind.EXECUTION:
                return {"state": ExecutionState(row.last_known_state or 0)}
            case _:
                return {}


ARTIFACT: Final = Kind(TypeKind.ARTIFACT, Artifact, tables.artifact, tables.artifact_property, "state")
EXECUTION: Final = Kind(TypeKind.EXECUTION, Execution, tables.execution, tables.execution_property, "last_known_state")
CONTEXT: Final = Kind(TypeKind.CONTEXT, Context, tables.context, tables.context_property, renamable=True)
