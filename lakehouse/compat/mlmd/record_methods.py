"""The client's methods for artifacts, executions and contexts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ml_metadata import ListOptions, OrderByField
from ml_metadata.proto import metadata_store_pb2 as pb

from lakehouse.compat.mlmd.client import Client, external, found, options_of
from lakehouse.compat.mlmd.messages import (
    artifact,
    artifact_message,
    context,
    context_message,
    execution,
    execution_message,
    type_message,
)
from lakehouse.records import TypeKind


class RecordMethods(Client):
    """Artifacts, executions, contexts.

    A put inserts what has no id and updates the rest: as a whole, or the fields that ``field_mask_paths`` names, such
    as ``uri`` or ``custom_properties.NAME``.
    """

    def put_artifacts(
        self,
        artifacts: Sequence[pb.Artifact],
        field_mask_paths: Sequence[str] | None = None,
        extra_options: object | None = None,
    ) -> list[int]:
        """Insert or update artifacts; their ids, in order."""
        del extra_options
        return self._call(self._store.put_artifacts, [artifact(a) for a in artifacts], field_mask_paths or ())

    def put_executions(
        self,
        executions: Sequence[pb.Execution],
        field_mask_paths: Sequence[str] | None = None,
        extra_options: object | None = None,
    ) -> list[int]:
        """Insert or update executions; their ids, in order."""
        del extra_options
        return self._call(self._store.put_executions, [execution(e) for e in executions], field_mask_paths or ())

    def put_contexts(
        self,
        contexts: Sequence[pb.Context],
        field_mask_paths: Sequence[str] | None = None,
        extra_options: object | None = None,
    ) -> list[int]:
        """Insert or update contexts; their ids, in order."""
        del extra_options
        return self._call(self._store.put_contexts, [context(c) for c in contexts], field_mask_paths or ())

    def get_artifacts(
        self, list_options: ListOptions | None = None, extra_options: object | None = None
    ) -> list[pb.Artifact]:
        """The artifacts that meet the options; all without any."""
        del extra_options
        return [artifact_message(a) for a in self._call(self._store.get_artifacts, options=options_of(list_options))]

    def get_executions(
        self, list_options: ListOptions | None = None, extra_options: object | None = None
    ) -> list[pb.Execution]:
        """The executions that meet the options; all without any."""
        del extra_options
        return [execution_message(e) for e in self._call(self._store.get_executions, options=options_of(list_options))]

    def get_contexts(
        self, list_options: ListOptions | None = None, extra_options: object | None = None
    ) -> list[pb.Context]:
        """The contexts that meet the options; all without any."""
        del extra_options
        return [context_message(c) for c in self._call(self._store.get_contexts, options=options_of(list_options))]

    def get_artifacts_by_id(
        self, artifact_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.Artifact]:
        """The artifacts of these ids; those not there are left out."""
        del extra_options
        return [artifact_message(a) for a in self._call(self._store.get_artifacts, ids=list(artifact_ids))]

    def get_executions_by_id(
        self, execution_ids: Iterable[int], extra_options: object | None = None
    ) -> list[pb.Execution]:
        """The executions of these ids; those not there are left out."""
        del extra_options
        return [execution_message(e) for e in self._call(self._store.get_executions, ids=list(execution_ids))]

    def get_contexts_by_id(self, context_ids: Iterable[int], extra_options: object | None = None) -> list[pb.Context]:
        """The contexts of these ids; those not there are left out."""
        del extra_options
        return [context_message(c) for c in self._call(self._store.get_contexts, ids=list(context_ids))]

    def get_artifacts_and_types_by_artifact_ids(
        self, artifact_ids: Iterable[int], extra_options: object | None = None
    ) -> tuple[list[pb.Artifact], list[pb.ArtifactType]]:
        """The artifacts of these ids, and their types."""
        artifacts = self.get_artifacts_by_id(artifact_ids, extra_options)
        ids = {a.type_id for a in artifacts}
        return artifacts, [type_message(t) for t in self._call(self._store.get_types, TypeKind.ARTIFACT, ids=ids)]

    def get_artifacts_by_type(
        self, type_name: str, type_version: str | None = None, extra_options: object | None = None
    ) -> list[pb.Artifact]:
        """The artifacts of a type, by its name and version."""
        del extra_options
        return [artifact_message(a) for a in self._call(self._store.get_artifacts, type=(type_name, type_version))]

    def get_executions_by_type(
        self, type_name: str, type_version: str | None = None, extra_options: object | None = None
    ) -> list[pb.Execution]:
        """The executions of a type, by its name and version."""
        del extra_options
        return [execution_message(e) for e in self._call(self._store.get_executions, type=(type_name, type_version))]

    def get_contexts_by_type(
        self, type_name: str, type_version: str | None = None, extra_options: object | None = None
    ) -> list[pb.Context]:
        """The contexts of a type, by its name and version."""
        del extra_options
        return [context_message(c) for c in self._call(self._store.get_contexts, type=(type_name, type_version))]

    def get_artifact_by_type_and_name(
        self,
        type_name: str,
        artifact_name: str,
        type_version: str | None = None,
        extra_options: object | None = None,
    ) -> pb.Artifact | None:
        """The artifact of this name and type, None where there is none."""
        del extra_options
        of_type = (type_name, type_version)
        records = self._call(self._store.get_artifacts, names=[artifact_name], type=of_type)
        return artifact_message(records[0]) if records and artifact_name else None

    def get_execution_by_type_and_name(
        self,
        type_name: str,
        execution_name: str,
        type_version: str | None = None,
        extra_options: object | None = None,
    ) -> pb.Execution | None:
        """The execution of this name and type, None where there is none."""
        del extra_options
        of_type = (type_name, type_version)
        records = self._call(self._store.get_executions, names=[execution_name], type=of_type)
        return execution_message(records[0]) if records and execution_name else None

    def get_context_by_type_and_name(
        self,
        type_name: str,
        context_name: str,
        type_version: str | None = None,
        extra_options: object | None = None,
    ) -> pb.Context | None:
        """The context of this name and type, None where there is none."""
        del extra_options
        records = self._call(self._store.get_contexts, names=[context_name], type=(type_name, type_version))
        return context_message(records[0]) if records else None

    def get_artifacts_by_uri(self, uri: str, extra_options: object | None = None) -> list[pb.Artifact]:
        """The artifacts of this URI."""
        del extra_options
        return [artifact_message(a) for a in self._call(self._store.get_artifacts, uris=[uri])]

    def get_artifacts_by_external_ids(
        self, external_ids: Iterable[str], extra_options: object | None = None
    ) -> list[pb.Artifact]:
        """The artifacts with these external ids; `errors.NotFoundError` where there is none of them."""
        del extra_options
        ids = external(external_ids)
        records = self._call(self._store.get_artifacts, external_ids=ids)
        return [artifact_message(a) for a in found(records, "artifacts found for external_ids", asked=bool(ids))]

    def get_executions_by_external_ids(
        self, external_ids: Iterable[str], extra_options: object | None = None
    ) -> list[pb.Execution]:
        """The executions with these external ids; `errors.NotFoundError` where there is none of them."""
        del extra_options
        ids = external(external_ids)
        records = self._call(self._store.get_executions, external_ids=ids)
        return [execution_message(e) for e in found(records, "executions found for external_ids", asked=bool(ids))]

    def get_contexts_by_external_ids(
        self, external_ids: Iterable[str], extra_options: object | None = None
    ) -> list[pb.Context]:
        """The contexts with these external ids; `errors.NotFoundError` where there is none of them."""
        del extra_options
        ids = external(external_ids)
        records = self._call(self._store.get_contexts, external_ids=ids)
        return [context_message(c) for c in found(records, "contexts found for external_ids", asked=bool(ids))]

    def get_artifacts_by_context(
        self, context_id: int, list_options: ListOptions | None = None, extra_options: object | None = None
    ) -> list[pb.Artifact]:
        """The artifacts in a context."""
        del extra_options
        options = options_of(list_options)
        records = self._call(self._store.get_artifacts, context_id=context_id, options=options)
        return [artifact_message(a) for a in records]

    def get_executions_by_context(
        self, context_id: int, list_options: ListOptions | None = None, extra_options: object | None = None
    ) -> list[pb.Execution]:
        """The executions in a context; without options the newest first."""
        del extra_options
        options = options_of(list_options or ListOptions(order_by=OrderByField.CREATE_TIME, is_asc=False))
        records = self._call(self._store.get_executions, context_id=context_id, options=options)
        return [execution_message(e) for e in records]

    def get_contexts_by_artifact(self, artifact_id: int, extra_options: object | None = None) -> list[pb.Context]:
        """The contexts that an artifact is in; `errors.NotFoundError` where there is none."""
        del extra_options
        records = self._call(self._store.get_contexts, artifact_id=artifact_id)
        return [context_message(c) for c in found(records, f"contexts found for artifact_id: {artifact_id}")]

    def get_contexts_by_execution(self, execution_id: int, extra_options: object | None = None) -> list[pb.Context]:
        """The contexts that an execution is in; `errors.NotFoundError` where there is none."""
        del extra_options
        records = self._call(self._store.get_contexts, execution_id=execution_id)
        return [context_message(c) for c in found(records, f"contexts found for execution_id: {execution_id}")]

    def get_parent_contexts_by_context(self, context_id: int, extra_options: object | None = None) -> list[pb.Context]:
        """The parents of a context."""
        del extra_options
        return [context_message(c) for c in self._call(self._store.get_contexts, child_id=context_id)]

    def get_children_contexts_by_context(
        self, context_id: int, extra_options: object | None = None
    ) -> list[pb.Context]:
        """The children of a context."""
        del extra_options
        return [context_message(c) for c in self._call(self._store.get_contexts, parent_id=context_id)]
