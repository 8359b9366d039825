"""What is asked of a feature beside its domain: how often, how many, how unlike before; and how bad it is otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from lakehouse.schema.rules import ROW_RULES, Action, Rule, Severity
from lakehouse.schema.values import Bounds, Problem, Values, one_of, words

__all__ = [
    "Actions",
    "Limits",
    "Presence",
    "Required",
    "Severities",
    "Unique",
    "Valency",
    "only_told",
    "presence_plain",
    "word_problems",
]

Severities = Annotated[Severity | Mapping[Rule, Severity] | None, words(Severity)]
Actions = Annotated[Action | Mapping[Rule, Action] | None, words(Action)]


class Presence(Values):
    """Whether, and how often, a feature must have a value.

    Attributes:
        required: every row must have one; a row without is at fault. A ``min_fraction`` of 1 says the same.
        min_fraction: of a batch's rows, the share that must have one, 0 to 1.
        min_count: how many rows of a batch must have one.
    """

    required: bool = Field(default=False, strict=True)
    min_fraction: float | None = Field(None, ge=0, le=1)
    min_count: int | None = Field(None, ge=0, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _every_row_is_required(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("min_fraction") == 1 and data.get("required") is not False:
            return {**data, "required": True, "min_fraction": None}
        return data

    @model_validator(mode="after")
    def _is_one_demand(self) -> Presence:
        if self.required and self.min_fraction is not None:
            raise ValueError("required asks for a value in every row already; leave min_fraction out")
        return self

    def __str__(self) -> str:
        """For people: ``required``, ``optional``, ``in 95%, in 10 rows``."""
        if self.required:
            return "required"
        share = [] if self.min_fraction is None else [f"in {self.min_fraction * 100:g}%"]
        count = [] if self.min_count is None else [f"in {self.min_count:,} rows"]
        return ", ".join([*share, *count]) or "optional"


def _presence(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("required", "optional"):
            raise one_of(value, ("required", "optional"))
        return Presence(required=value == "required")
    if isinstance(value, Mapping) and not value:
        raise ValueError("says nothing; write required or optional, or give min_fraction or min_count")
    if not isinstance(value, (Mapping, Presence)):
        raise one_of(str(value), ("required", "optional"), ", or {min_fraction: 0.95, min_count: 1}")
    return value


def presence_plain(value: Presence) -> Any:
    """A presence as YAML has it: a word where one says it all."""
    said = value.model_dump(exclude_none=True)
    if said.keys() == {"required"}:
        return "required" if value.required else "optional"
    if not value.required and value.min_fraction != 1:
        del said["required"]
    return said


Required = Annotated[Presence, BeforeValidator(_presence), PlainSerializer(presence_plain)]


class Valency(Bounds):
    """How many values a list may hold; both ends included."""


class Unique(Bounds):
    """How many distinct values a batch may hold; both ends included."""


class Limits(Values):
    """How far the values of two batches may be apart.

    Attributes:
        infinity_norm: largest difference of a value's relative frequency (L-infinity), 0 to 1.
        jensen_shannon: Jensen-Shannon divergence in bits (base 2), 0 to 1.
        normalized_absolute_difference: largest difference of a value's counts over the sum of both batches' counts.
        max: of the measure that suits the feature: ``infinity_norm`` of categories, ``jensen_shannon`` of numbers
            and moments.
    """

    infinity_norm: float | None = Field(None, ge=0)
    jensen_shannon: float | None = Field(None, ge=0)
    normalized_absolute_difference: float | None = Field(None, ge=0)
    max: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _says_something(self) -> Limits:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"says nothing; give one of {', '.join(type(self).model_fields)}, or leave it out")
        return self


_NO_TYPE = "a value that is none of its type cannot be stored"
_OF_FEATURES = frozenset(Rule) - {Rule.NEW_COLUMN, Rule.CHECK, Rule.ROWS, Rule.KEYS, Rule.FRESHNESS}


def word_problems(severity: Any, on_error: Any, *, whole: bool, by_batch: Mapping[Rule, str]) -> Iterator[Problem]:
    """What severities and actions say that cannot be done.

    Args:
        severity: a feature's or the schema's.
        on_error: likewise.
        whole: they are the schema's, which may speak of every rule.
        by_batch: rules that no single row breaks here though one may elsewhere, and why.
    """
    severities = severity if isinstance(severity, Mapping) else {}
    actions = on_error if isinstance(on_error, Mapping) else {}
    if not whole:
        for key, said in (("severity", severities), ("on_error", actions)):
            for rule in said.keys() - _OF_FEATURES:
                yield (key, rule.value), f"'{rule.value}' is no rule of one feature; say it below schema"
    if severities.get(Rule.TYPE) is Severity.WARNING:
        yield ("severity", "type"), f"{_NO_TYPE}, so this is always an error"
    if actions.get(Rule.TYPE) is Action.WARN:
        yield ("on_error", "type"), f"{_NO_TYPE}; quarantine or refuse"
    for rule, action in actions.items():
        if action is Action.QUARANTINE and (rule not in ROW_RULES or rule in by_batch):
            why = by_batch.get(rule, "a batch breaks it as a whole")
            yield ("on_error", rule.value), f"{why}, so no row can be set apart; warn or refuse"
        if action is not Action.WARN and rule is not Rule.TYPE and severities.get(rule, severity) is Severity.WARNING:
            yield ("on_error", rule.value), only_told(action)
    if isinstance(on_error, Action) and on_error is not Action.WARN and severity is Severity.WARNING:
        yield ("on_error",), only_told(on_error)


def only_told(action: Action) -> str:
    """What is wrong with an action of a warning."""
    return f"a warning is only told, and this says {action.value}; make it an error, or leave this out"
