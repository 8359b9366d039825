"""How the files of one source become a dataset's rows, and the code tables they are read with."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["CodeTable", "Feed", "FormatEntries"]

_FORBID = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


def _entries(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


FormatEntries = Annotated[dict[str, Any], BeforeValidator(_entries)]
"""What a dataset says of its files' format over what their source does; a text is its type."""


class CodeTable(BaseModel):
    """Where the codes of a feature are looked up: a dataset of this lake, as it is when rows are made with it.

    Attributes:
        dataset: its name.
        from_: its feature that holds the codes, as they stand in files.
        to: its feature that holds what they mean.
    """

    model_config = _FORBID

    dataset: str
    from_: str = Field(alias="from")
    to: str

    def plain(self) -> dict[str, Any]:
        """As it stands in YAML."""
        return self.model_dump(by_alias=True)


class Feed(BaseModel):
    """What a dataset says of one of its sources. Its entries win over the dataset's own of the same name.

    Attributes:
        rename: the file's column to the feature it becomes.
        derive: feature to its SQL expression over its row.
        codes: feature to the code table its values are looked up in.
        curate: dotted path of a pure function, LazyFrame to LazyFrame; takes the place of the dataset's.
        columns: feature to the features that function makes it from.
        delete_when: SQL expression over the row that is true of deletes; takes the place of the dataset's.
        format: entries that win over those of the source's format, as in ``{sheet: Users}``.
    """

    model_config = _FORBID

    rename: dict[str, str] = Field(default_factory=dict)
    derive: dict[str, str] = Field(default_factory=dict)
    codes: dict[str, CodeTable] = Field(default_factory=dict)
    curate: str | None = None
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    delete_when: str | None = None
    format: FormatEntries = Field(default_factory=dict)
