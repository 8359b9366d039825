"""The client's methods for types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as pb

from lakehouse.compat.mlmd.client import Client, external, found
from lakehouse.compat.mlmd.messages import type_message, type_of
from lakehouse.records import TypeKind


class TypeMethods(Client):
    """Artifact types, execution types, context types.

    A type is known by name and version. Putting one that is there lets it grow: with ``can_add_fields`` it may bring
    new properties, with ``can_omit_fields`` it may leave known ones out. A property's value type never changes.
    """

    def put_artifact_type(
        self,
        artifact_type: pb.ArtifactType,
        can_add_fields: bool = False,  # theirs, as all that follow
        can_omit_fields: bool = False,
        extra_options: object | None = None,
    ) -> int:
        """Insert an artifact type, or let the stored one grow; gives its id."""
        del extra_options
        return self._put_type(TypeKind.ARTIFACT, artifact_type, can_add_fields, can_omit_fields)

    def put_execution_type(
        self,
        execution_type: pb.ExecutionType,
        can_add_fields: bool = False,
        can_omit_fields: bool = False,
        extra_options: object | None = None,
    ) -> int:
        """Insert an execution type, or let the stored one grow; gives its id."""
        del extra_options
        return self._put_type(TypeKind.EXECUTION, execution_type, can_add_fields, can_omit_fields)

    def put_context_type(
        self,
        context_type: pb.ContextType,
        can_add_fields: bool = False,
        can_omit_fields: bool = False,
        extra_options: object | None = None,
    ) -> int:
        """Insert a context type, or let the stored one grow; gives its id."""
        del extra_options
        return self._put_type(TypeKind.CONTEXT, context_type, can_add_fields, can_omit_fields)

    def get_artifact_type(
        self, type_name: str, type_version: str | None = None, extra_options: object | None = None
    ) -> pb.ArtifactType:
        """The artifact type of this name and version; `errors.NotFoundError` where there is none."""
        del extra_options
        return self._get_type(TypeKind.ARTIFACT, type_name, type_version)

    def get_execution_type(
        self, type_name: str, type_version: str | None = None, extra_options: object | None = None
    ) -> pb.ExecutionType:
        """The execution type of this name and version; `errors.NotFoundError` where there is none."""
        del extra_options
        return self._get_type(TypeKind.EXECUTION, type_name, type_version)

    def get_context_type(
        self, type_name: str, type_version: str | None = None, extra_options: object | None = None
    ) -> pb.ContextType:
        """The context type of this name and version; `errors.NotFoundError` where there is none."""
        del extra_options
        return self._get_type(TypeKind.CONTEXT, type_name, type_version)

    def get_artifact_types(self, extra_options: object | None = None) -> list[pb.ArtifactType]:
        """All artifact types but the built-in ones."""
        del extra_options
        return self._get_types(TypeKind.ARTIFACT)

    def get_execution_types(self, extra_options: object | None = None) -> list[pb.ExecutionType]:
        """All execution types but the built-in ones."""
        del extra_options
        return self._get_types(TypeKind.EXECUTION)

    def get_context_types(self, extra_options: object | None = None) -> list[pb.ContextType]:
        """All context types."""
        del extra_options
        return self._get_types(TypeKind.CONTEXT)

    def get_artifact_types_by_id(
        self, type_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.ArtifactType]:
        """The artifact types of these ids, in the order of the ids; those not there are left out."""
        del extra_options
        return self._get_types_by_id(TypeKind.ARTIFACT, type_ids)

    def get_execution_types_by_id(
        self, type_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.ExecutionType]:
        """The execution types of these ids, in the order of the ids; those not there are left out."""
        del extra_options
        return self._get_types_by_id(TypeKind.EXECUTION, type_ids)

    def get_context_types_by_id(
        self, type_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.ContextType]:
        """The context types of these ids, in the order of the ids; those not there are left out."""
        del extra_options
        return self._get_types_by_id(TypeKind.CONTEXT, type_ids)

    def get_artifact_types_by_external_ids(
        self, external_ids: Iterable[str], extra_options: object | None = None
    ) -> list[pb.ArtifactType]:
        """The artifact types with these external ids; `errors.NotFoundError` where there is none of them."""
        del extra_options
        return self._get_types_by_external_ids(TypeKind.ARTIFACT, external_ids)

    def get_execution_types_by_external_ids(
        self, external_ids: Iterable[str], extra_options: object | None = None
    ) -> list[pb.ExecutionType]:
        """The execution types with these external ids; `errors.NotFoundError` where there is none of them."""
        del extra_options
        return self._get_types_by_external_ids(TypeKind.EXECUTION, external_ids)

    def get_context_types_by_external_ids(
        self, external_ids: Iterable[str], extra_options: object | None = None
    ) -> list[pb.ContextType]:
        """The context types with these external ids; `errors.NotFoundError` where there is none of them."""
        del extra_options
        return self._get_types_by_external_ids(TypeKind.CONTEXT, external_ids)

    def _put_type(self, kind: TypeKind, message: Any, add: bool, omit: bool) -> int:
        return self._call(self._store.put_type, type_of(kind, message), can_add_fields=add, can_omit_fields=omit)

    def _get_type(self, kind: TypeKind, name: str, version: str | None) -> Any:
        return type_message(self._call(self._store.get_type, kind, name, version))

    def _get_types(self, kind: TypeKind) -> list[Any]:
        return [type_message(one) for one in self._call(self._store.get_types, kind)]

    def _get_types_by_id(self, kind: TypeKind, ids: Iterable[int]) -> list[Any]:
        given = list(ids)
        known = {one.id: one for one in self._call(self._store.get_types, kind, ids=given)}
        return [type_message(known[id_]) for id_ in given if id_ in known]

    def _get_types_by_external_ids(self, kind: TypeKind, ids: Iterable[str]) -> list[Any]:
        given = external(ids)
        types = self._call(self._store.get_types, kind, external_ids=given)
        return [type_message(one) for one in found(types, "types found for external_ids", asked=bool(given))]
