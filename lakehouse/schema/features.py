"""One column of a dataset: its type, and what its values must be like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import polars as pl
from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from lakehouse.schema import plain
from lakehouse.schema.demands import Actions, Limits, Presence, Required, Severities, Unique, Valency, word_problems
from lakehouse.schema.domains import Domain, listed
from lakehouse.schema.rules import Rule
from lakehouse.schema.types import FeatureType
from lakehouse.schema.values import FROM_FILE, STORED, Problem, Values, refuse

__all__ = ["NOT_IN_FILES", "Feature", "Lifecycle", "name_problems"]


class Lifecycle(StrEnum):
    """How far a feature is. Those not finished, or on their way out, are read but not checked."""

    PLANNED = "planned"
    ALPHA = "alpha"
    BETA = "beta"
    PRODUCTION = "production"
    DEBUG = "debug"
    DEPRECATED = "deprecated"
    DISABLED = "disabled"


_CHECKED = (None, Lifecycle.BETA, Lifecycle.PRODUCTION)
_CATEGORIES = (FeatureType.STRING, FeatureType.BYTES, FeatureType.BOOL)
_NUMBERS = (FeatureType.INT, FeatureType.FLOAT, FeatureType.DECIMAL)
_MOMENTS = (FeatureType.DATE, FeatureType.DATETIME)
_NOT_WITHIN = {
    "default": "fills a column's missing values; give it to a column",
    "computed": "is said of a whole column; say it of the outermost struct",
    "personal": "is said of a whole column; say it of the outermost struct",
}
NOT_IN_FILES = {"repeated": "A list is written type: list[int].", "domain_name": "Write domain: and the name."}
"""Keys that files have another word for, and which."""

_NOT_OF_STRUCTS = ("domain", "unique", "drift", "skew", "null_values", "default")


class Feature(Values):
    """One column of a dataset.

    Attributes:
        type: what it is stored as; of a list, what each of its values is. YAML writes ``list[int]`` for a list.
        repeated: whether a row holds a list of them.
        fields: of a struct, the features within.
        separator: of a list, what stands between its values in a text file.
        presence: whether a row, or how much of a batch, must have a value.
        domain: which values are allowed; of a list, for each of its values. Taken from the schema's ``domains``
            where it has a name.
        domain_name: the name under the schema's ``domains``.
        valency: how many values a list may hold.
        unique: how many distinct values a batch may hold.
        drift: how far a batch may be from the one before.
        skew: how far training data may be from serving data.
        default: the value a missing one is replaced by, written as in the file.
        in_environment: environments it is in, beside the schema's.
        not_in_environment: environments it is not in.
        lifecycle: how far it is; None is in use.
        categorical: numbers that are names: compared by value, never by size.
        severity: how bad a broken rule is: one word for all its rules, or rule to word.
        on_error: what an error does, likewise.
        tags: words for people and programs.
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
    repeated: bool = False
    fields: dict[str, Feature] = Field(default_factory=dict)
    separator: str | None = Field(None, min_length=1)
    presence: Required = Presence(required=True)
    domain: Annotated[Domain | None, BeforeValidator(listed)] = None
    domain_name: str | None = None
    valency: Valency | None = None
    unique: Unique | None = None
    drift: Limits | None = None
    skew: Limits | None = None
    default: Any = None
    in_environment: tuple[str, ...] = ()
    not_in_environment: tuple[str, ...] = ()
    lifecycle: Lifecycle | None = None
    categorical: bool = Field(default=False, strict=True)
    severity: Severities = None
    on_error: Actions = None
    tags: tuple[str, ...] = ()
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

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, Mapping):
            return data
        if info.context == FROM_FILE:
            refuse("Feature", (((key,), f"unknown key. {NOT_IN_FILES[key]}") for key in NOT_IN_FILES if key in data))
        data = dict(data)
        if isinstance(data.get("domain"), str):
            data["domain_name"] = data.pop("domain")
        kind = data.get("type")
        if isinstance(kind, str) and (inner := re.fullmatch(r"list\[ *(\w+) *\]", kind)):
            data |= {"type": inner[1], "repeated": True}
        if data.get("type") == "binary":
            refuse("Feature", [(("type",), "'binary' is called 'bytes' now; write bytes, nothing else changes")])
        return data

    @property
    def dtype(self) -> pl.DataType:
        """The polars dtype the feature is stored as; of a list, a list of `element_dtype`."""
        return pl.List(self.element_dtype) if self.repeated else self.element_dtype

    @property
    def element_dtype(self) -> pl.DataType:
        """The polars dtype of one value."""
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
            case FeatureType.BYTES:
                return pl.Binary()
            case FeatureType.STRUCT:
                return pl.Struct({name: feature.dtype for name, feature in self.fields.items()})

    @property
    def kind(self) -> str:
        """The type as YAML has it: ``int``, ``list[int]``."""
        return f"list[{self.type.value}]" if self.repeated else self.type.value

    @property
    def required(self) -> bool:
        """Whether a row without the value is at fault."""
        return self.presence.required

    @property
    def checked(self) -> bool:
        """Whether its values are held to more than their type: not while it is tried out, or on its way out."""
        return self.lifecycle in _CHECKED

    def thresholds(self, limits: Limits | None) -> dict[str, float]:
        """What each measure may be at most, by the measure's name; `Limits.max` given to the one that suits."""
        if limits is None:
            return {}
        said: dict[str, float] = limits.model_dump(exclude_none=True)
        if (usual := said.pop("max", None)) is not None:
            by_name = self.categorical or self.type in _CATEGORIES
            said.setdefault("infinity_norm" if by_name else "jensen_shannon", usual)
        return said

    def descend(self, path: str) -> Iterator[tuple[str, Feature]]:
        """Itself and all features within, each with its dotted path."""
        yield path, self
        for name, feature in self.fields.items():
            yield from feature.descend(f"{path}.{name}")

    def plain(self) -> dict[str, Any]:
        """The feature as YAML has it: without what is left at its default, short where YAML is."""
        return plain.feature(self)

    def domain_problems(self, domain: Domain) -> Iterator[Problem]:
        """How a domain does not fit the feature's type."""
        what = f"this is {self.type.value}"
        if self.type not in (*_NUMBERS, *_MOMENTS) and (domain.min is not None or domain.max is not None):
            yield ("domain",), f"min and max need a number, date or datetime, {what}"
        if domain.regex is not None and self.type is not FeatureType.STRING:
            yield ("domain",), f"regex needs a string, {what}"
        if domain.length is not None and self.type not in (FeatureType.STRING, FeatureType.BYTES):
            yield ("domain",), f"length needs a string or bytes, {what}"
        if (length := domain.length) is not None and None not in (length.min, length.max) and length.min > length.max:  # type: ignore[operator]
            yield ("domain", "length"), f"min {length.min} is above max {length.max}, so nothing is allowed"
        if domain.finite is not None and self.type is not FeatureType.FLOAT:
            yield ("domain",), f"finite needs a float, {what}"

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> Feature:
        if info.context != STORED:
            refuse("Feature", self._problems())
        return self

    def _problems(self) -> Iterator[Problem]:
        yield from self._misfits()
        yield from self._shape()
        yield from self._limits()
        for name in self.not_in_environment:
            if name in self.in_environment:
                yield ("not_in_environment",), f"'{name}' is in in_environment too"
        by_batch = {}
        if not self.required:
            by_batch[Rule.PRESENCE] = "a row may lack the value"
        if self.domain is not None and not self.domain.by_row:
            by_batch[Rule.DOMAIN] = "with min_mass a batch breaks it as a whole"
        yield from word_problems(self.severity, self.on_error, whole=False, by_batch=by_batch)

    def _misfits(self) -> Iterator[Problem]:
        what = f"this is {self.type.value}"
        if self.format is not None and self.type not in _MOMENTS:
            yield ("format",), f"only a date or datetime has one, {what}"
        if self.timezone is not None and self.type is not FeatureType.DATETIME:
            yield ("timezone",), f"only a datetime has one, {what}"
        if self.type is FeatureType.DECIMAL and self.scale > self.precision:
            yield ("scale",), f"{self.scale} is more than the precision {self.precision}"
        if self.categorical and self.type not in _NUMBERS:
            yield ("categorical",), f"is said of numbers that are names, {what}"
        if self.domain is not None and self.type is not FeatureType.STRUCT:
            yield from self.domain_problems(self.domain)

    def _shape(self) -> Iterator[Problem]:
        struct = self.type is FeatureType.STRUCT
        if struct and not self.fields:
            yield ("fields",), "a struct has fields: fields: {street: {type: string}}"
        if self.fields and not struct:
            yield ("fields",), f"only a struct has them, this is {self.kind}"
        for key in ("valency", "separator"):
            if getattr(self, key) is not None and not self.repeated:
                yield (key,), f"only a list has one, this is {self.kind}; write type: list[{self.type.value}]"
        if self.separator is not None and self.repeated and struct:
            yield ("separator",), "structs are not written as text with something between them; leave it out"
        if self.repeated and self.default is not None and not struct:
            yield ("default",), "a missing list stays missing; only single values have a default"
        if struct:
            stated = [*self.model_fields_set, *(["domain"] if self.domain_name else [])]
            yield from (((key,), "a struct has none; say it of its fields") for key in _NOT_OF_STRUCTS if key in stated)
        for name, inner in self.fields.items():
            stated = sorted(_NOT_WITHIN.keys() & inner.model_fields_set)
            yield from ((("fields", name, key), _NOT_WITHIN[key]) for key in stated)
        yield from ((("fields", *path), text) for path, text in name_problems(self.fields))

    def _limits(self) -> Iterator[Problem]:
        for key, limits in (("drift", self.drift), ("skew", self.skew)):
            if self.type is FeatureType.BYTES and "jensen_shannon" in self.thresholds(limits):
                yield (key, "jensen_shannon"), "needs numbers, strings, dates or datetimes, this is bytes"


def name_problems(names: Mapping[str, Any]) -> Iterator[Problem]:
    """Names that no table can have beside each other."""
    seen: dict[str, str] = {}
    for name in names:
        if not name or re.search(r"[ ,;{}()\n\t=]", name):
            yield (name,), f"'{name}' holds one of \" ,;{{}}()=\"; rename it (rename: {{old: new}})"
        if name.lower() in seen:
            yield (name,), f"'{name}' and '{seen[name.lower()]}' differ only by case"
        seen[name.lower()] = name
