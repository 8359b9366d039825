"""ML Metadata's Python client over a ledger's database.

``from lakehouse.compat.mlmd import MetadataStore`` in place of ``from ml_metadata import MetadataStore``: the same
methods, messages, list options and errors, without ML Metadata's C++ library underneath. Needs the extra ``mlmd``,
which brings the messages.
"""

from __future__ import annotations

try:
    # The messages, asked for before anything that needs them; any folder `ml_metadata` on the path can be imported.
    import ml_metadata.proto  # noqa: F401
except ImportError as error:
    raise ImportError(
        "lakehouse.compat.mlmd needs ML Metadata's protobuf messages: run pip install 'lakehouse[mlmd]'."
    ) from error

from lakehouse.compat.mlmd.store import MetadataStore

__all__ = ["MetadataStore"]
