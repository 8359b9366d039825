"""What every part of a schema is, and how its problems are told: all at once, each with its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from lakehouse.errors import nearest
from lakehouse.schema.rules import Rule

__all__ = ["AS_SAID", "FROM_FILE", "STORED", "Bounds", "Problem", "Values", "one_of", "refuse", "words"]

T = TypeVar("T", bound=StrEnum)

Problem: TypeAlias = tuple[tuple[str | int, ...], str]
"""A key path, and what is wrong there."""

AS_SAID = "as_said"
"""The type of an error whose text stands for itself, without the value."""


FROM_FILE = {"file": True}
"""The context of values that a file holds, where what only code may say is refused."""

STORED = {"stored": True}
"""The context of values that were taken once, perhaps by a release that refused less: they are taken as they are."""


class Values(BaseModel):
    """Frozen, and without keys that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Bounds(Values):
    """A lowest and a highest count, both included; at least one of them is set."""

    min: int | None = Field(None, ge=0, strict=True)
    max: int | None = Field(None, ge=0, strict=True)

    @model_validator(mode="after")
    def _bounds_something(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("says nothing; give min, max or both, or leave it out")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}, so nothing is allowed")
        return self


def refuse(title: str, problems: Iterable[Problem]) -> None:
    """Raise all problems of a value, each with its key path; nothing where there is none.

    Raises:
        ValidationError: pydantic's, which adds the path that leads to the value.
    """
    lines = [
        InitErrorDetails(type=PydanticCustomError(AS_SAID, "{error}", {"error": text}), loc=path, input=None)
        for path, text in problems
    ]
    if lines:
        raise ValidationError.from_exception_data(title, lines, hide_input=True)


def one_of(value: str, allowed: Iterable[str], more: str = "") -> PydanticCustomError:
    """The error of a word that is none of those allowed, as pydantic words it."""
    expected = " or ".join(f"'{word}'" for word in allowed) + more
    return PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected, "word": value})


def words(kind: type[T]) -> BeforeValidator:
    """Reads what may be one word for every rule, or a mapping of a rule to its word."""
    read: Callable[[Any], dict[Rule, T]] = TypeAdapter(dict[Rule, kind]).validate_python  # type: ignore[valid-type]  # a type at run time

    def one_word_or_many(value: Any) -> Any:
        if isinstance(value, Mapping):
            if not value:
                raise ValueError("says nothing; give a word, or a rule its word, or leave it out")
            refuse(
                kind.__name__,
                (
                    ((str(key),), f"there is no rule '{key}'.{nearest(str(key), Rule)}")
                    for key in value.keys() - set(Rule)
                ),
            )
            return read(value)
        if value is None or isinstance(value, kind):
            return value
        if isinstance(value, str) and value in set(kind):
            return kind(value)
        raise one_of(str(value), kind, ", or a mapping of rules to them")

    return BeforeValidator(one_word_or_many)
