"""What a dataset's rows must look like, in TensorFlow Data Validation's words.

Pure values, read from YAML as they stand: a `Schema` holds one `Feature` a column. How text becomes
a typed value, and how rows are checked, is `lakehouse.validation`'s business.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["PROVENANCE", "Domain", "Feature", "FeatureType", "Length", "Presence", "Schema"]

PROVENANCE: dict[str, pl.DataType] = {
    "_raw": pl.String(),
    "_row": pl.Int64(),
    "_execution": pl.Int64(),
    "_recorded_at": pl.Datetime("us", "UTC"),
}
"""The columns every curated and quarantined row carries: sha256 of its raw file, 1-based record
number in it, the ledger's execution, and when the batch was curated (UTC)."""


class FeatureType(StrEnum):
    """The types a feature can have, and the polars dtype each is stored as."""

    INT = "int"  # Int64
    FLOAT = "float"  # Float64
    DECIMAL = "decimal"  # Decimal(precision, scale)
    STRING = "string"  # String
    BOOL = "bool"  # Boolean
    DATE = "date"  # Date
    DATETIME = "datetime"  # Datetime("us", "UTC")
    BINARY = "binary"  # Binary


class Presence(StrEnum):
    """Whether a row may lack the value."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Length(_Values):
    """Bounds on a string's length in characters, or a binary's in bytes; both ends included."""

    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)


class Domain(_Values):
    """The values a feature may take. A YAML list is short for ``{values: [...]}``.

    Attributes:
        values: the allowed values, written as they stand in the file.
        min: lowest allowed value (int, float, decimal, date, datetime), included.
        max: highest allowed value, included.
        regex: the whole of a string must match (Rust regex syntax).
        length: bounds on a string's length.
    """

    values: tuple[Any, ...] | None = None
    min: Any = None
    max: Any = None
    regex: str | None = None
    length: Length | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Domain:
        if self.values is not None and not self.values:
            raise ValueError("values: an empty list allows nothing; leave the domain out to allow everything")
        if self.regex is not None:
            try:
                pl.select(pl.lit("").str.contains(self.regex))
            except pl.exceptions.PolarsError as error:
                raise ValueError(f"regex: {str(error).splitlines()[0]}") from None
        return self


def _domain(value: Any) -> Any:
    return {"values": value} if isinstance(value, (list, tuple)) else value


class Feature(_Values):
    """One column of a dataset.

    Attributes:
        type: what it is stored as.
        presence: a required feature's row is rejected when the value is missing.
        domain: which values are allowed; others are rejected.
        default: the value a missing one is replaced by, written as in the file.
        format: how a date or datetime is written (strftime codes); None is ISO 8601.
        timezone: the IANA zone of datetimes that carry no offset; stored values are always UTC.
        precision: a decimal's digits in all (1 to 38).
        scale: a decimal's digits after the point.
        null_values: texts that mean "missing" here; None takes the source format's.
        true_values: a bool's words for true.
        false_values: a bool's words for false.
        computed: not read from the file: a ``derive`` expression or the curation function makes it.
        personal: personal data: its values are kept out of table statistics and messages. Unset, a feature
            that is made from personal ones is personal too.
        description: for people.
        unit: for people, for example ``minutes``.
    """

    type: FeatureType
    presence: Presence = Presence.REQUIRED
    domain: Annotated[Domain | None, BeforeValidator(_domain)] = None
    default: Any = None
    format: str | None = None
    timezone: str | None = None
    precision: int = Field(38, ge=1, le=38)
    scale: int = Field(9, ge=0, le=38)
    null_values: tuple[str, ...] | None = None
    true_values: tuple[str, ...] = ("true", "True", "TRUE", "t", "yes", "1")
    false_values: tuple[str, ...] = ("false", "False", "FALSE", "f", "no", "0")
    computed: bool = False
    personal: bool = False
    description: str = ""
    unit: str = ""

    @property
    def dtype(self) -> pl.DataType:
        """The polars dtype the feature is stored as."""
        match self.type:
            case FeatureType.INT:
                return pl.Int64()
            case FeatureType.FLOAT:
                return pl.Float64()
            case FeatureType.DECIMAL:
                return pl.Decimal(self.precision, self.scale)
            case FeatureType.STRING:
                return pl.String()
            case FeatureType.BOOL:
                return pl.Boolean()
            case FeatureType.DATE:
                return pl.Date()
            case FeatureType.DATETIME:
                return pl.Datetime("us", "UTC")
            case FeatureType.BINARY:
                return pl.Binary()

    @property
    def required(self) -> bool:
        """Whether a row without the value is rejected."""
        return self.presence is Presence.REQUIRED

    @model_validator(mode="after")
    def _fits_its_type(self) -> Feature:
        if self.format is not None and self.type not in (FeatureType.DATE, FeatureType.DATETIME):
            raise ValueError(f"format: only a date or datetime has one, this is {self.type.value}")
        if self.timezone is not None and self.type is not FeatureType.DATETIME:
            raise ValueError(f"timezone: only a datetime has one, this is {self.type.value}")
        if self.type is FeatureType.DECIMAL and self.scale > self.precision:
            raise ValueError(f"scale: {self.scale} is more than the precision {self.precision}")
        if self.domain is not None:
            ordered = self.type not in (FeatureType.STRING, FeatureType.BOOL, FeatureType.BINARY)
            if not ordered and (self.domain.min is not None or self.domain.max is not None):
                raise ValueError(f"domain: min and max need a number, date or datetime, this is {self.type.value}")
            if self.domain.regex is not None and self.type is not FeatureType.STRING:
                raise ValueError(f"domain: regex needs a string, this is {self.type.value}")
        return self


class Schema(_Values):
    """A dataset's features, in the order of its columns."""

    features: dict[str, Feature] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_can_be_stored(self) -> Schema:
        seen: dict[str, str] = {}
        for name in self.features:
            if not name or name.startswith("_"):
                raise ValueError(f"features: '{name}' starts with '_', which the lake keeps for its own columns")
            if re.search(r"[ ,;{}()\n\t=]", name):
                raise ValueError(f"features: '{name}' holds one of \" ,;{{}}()=\"; rename it (rename: {{old: new}})")
            if name.lower() in seen:
                raise ValueError(f"features: '{name}' and '{seen[name.lower()]}' differ only by case")
            seen[name.lower()] = name
        return self

    @property
    def marks(self) -> dict[str, bool]:
        """What features say of being personal; without those that say nothing."""
        return {n: feature.personal for n, feature in self.features.items() if "personal" in feature.model_fields_set}

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Feature name to polars dtype, without the provenance columns."""
        return {name: feature.dtype for name, feature in self.features.items()}
