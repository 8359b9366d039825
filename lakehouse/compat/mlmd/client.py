"""What all the client's methods stand on: the open store, and ML Metadata's errors."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar

from ml_metadata import ListOptions as TheirOptions
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as pb

from lakehouse.compat.mlmd import connecting
from lakehouse.errors import MetadataError, RecordError
from lakehouse.metadata.database import Database
from lakehouse.metadata.store import ListOptions, Store

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_ERRORS: Final = {
    "invalid": errors.InvalidArgumentError,
    "missing": errors.NotFoundError,
    "exists": errors.AlreadyExistsError,
    "stale": errors.FailedPreconditionError,
    "unsupported": errors.UnimplementedError,
}


class Client:
    """An open store, and how its errors become ML Metadata's."""

    def __init__(self, config: pb.ConnectionConfig, enable_upgrade_migration: bool = False) -> None:  # theirs
        """Open the database, or create it.

        Args:
            config: a fake database (in memory), SQLite, MySQL (MariaDB) or PostgreSQL. On a server the database is
                there already.
            enable_upgrade_migration: taken, and of no effect: ML Metadata's schema version 10 is read, no other.

        Raises:
            RuntimeError: no database is named, or it cannot be opened.
            ValueError: this is not a connection configuration; a gRPC server's is not one.
        """
        del enable_upgrade_migration
        if not isinstance(config, pb.ConnectionConfig):
            raise ValueError("MetadataStore is expecting a proto.ConnectionConfig; it connects to databases only.")  # noqa: TRY004  # theirs
        self._config = config
        # Nothing is retried by the client: the database waits for others by itself. Programs look at the number.
        self._max_num_retries = config.retry_options.max_num_retries if config.HasField("retry_options") else 5
        try:
            database = Database(connecting.url_of(config), read_only=connecting.read_only(config))
        except MetadataError as error:
            raise RuntimeError(str(error)) from error
        self._store = Store(database)
        self.close: Callable[[], object] = weakref.finalize(self, database.close)
        """Let go of the database at once; else it goes with this object."""

    @property
    def pipeline_asset(self) -> None:
        """Nothing, as in the open ML Metadata."""
        return

    def _call(self, function: Callable[_Given, _Result], *args: _Given.args, **options: _Given.kwargs) -> _Result:
        """Ask the store, and raise its errors as ML Metadata's."""
        try:
            return function(*args, **options)
        except RecordError as error:
            raise _ERRORS[error.problem](str(error)) from error
        except MetadataError as error:
            raise errors.InternalError(str(error)) from error


def options_of(given: TheirOptions | None) -> ListOptions | None:
    """ML Metadata's list options as ours.

    Raises:
        errors.InvalidArgumentError: the limit is below 1.
    """
    if given is None:
        return None
    order: Any = given.order_by.name.lower() if given.order_by else "id"
    return ListOptions(given.limit or None, order, given.is_asc, given.filter_query or None)


def external(ids: Iterable[str]) -> list[str]:
    """External ids to look for.

    Raises:
        errors.InvalidArgumentError: one is empty.
    """
    given = list(ids)
    if not all(given):
        raise errors.InvalidArgumentError("Invalid argument because at least one empty external_id exists.")
    return given


def found(records: list[_Result], what: str, *, asked: bool = True) -> list[_Result]:
    """The records, where ML Metadata takes none for an error.

    Raises:
        errors.NotFoundError: there are none, though some were asked for.
    """
    if asked and not records:
        raise errors.NotFoundError(f"No {what}.")
    return records
