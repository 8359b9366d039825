"""A dataset's features together, and what holds for a batch of its rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from lakehouse.errors import NotFoundError, nearest
from lakehouse.schema import plain
from lakehouse.schema.demands import Actions, Severities, only_told, word_problems
from lakehouse.schema.differences import Difference, differences
from lakehouse.schema.domains import Domain, listed
from lakehouse.schema.features import Feature, name_problems
from lakehouse.schema.rules import ROW_RULES, Action, Rule, Severity
from lakehouse.schema.types import FeatureType
from lakehouse.schema.values import STORED, Bounds, Problem, Values, refuse
from lakehouse.units import Duration

__all__ = ["Check", "Ratio", "RowBounds", "Schema"]

_CHECK_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Ratio(Values):
    """How many rows a batch may have, as a share of those of another; both ends included."""

    min_fraction: float | None = Field(None, ge=0)
    max_fraction: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _bounds_something(self) -> Ratio:
        low, high = self.min_fraction, self.max_fraction
        if low is None and high is None:
            raise ValueError("says nothing; give min_fraction, max_fraction or both, or leave it out")
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_fraction {low:g} is above max_fraction {high:g}, so nothing is allowed")
        return self


class RowBounds(Values):
    """How many rows a batch may have; both ends included.

    Attributes:
        min: at least.
        max: at most.
        drift: against the batch before.
        version: against all rows that the version before shows.
    """

    min: int | None = Field(None, ge=0, strict=True)
    max: int | None = Field(None, ge=0, strict=True)
    drift: Ratio | None = None
    version: Ratio | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> RowBounds:
        if not self.model_dump(exclude_none=True):
            raise ValueError("says nothing; give min, max, drift or version, or leave it out")
        if self.min is not None or self.max is not None:
            Bounds(min=self.min, max=self.max)
        return self


class Check(Values):
    """What must hold across the columns of each row. A YAML text is short for ``{sql: ...}``.

    Attributes:
        sql: a boolean SQL expression over the features; a row where it is null passes.
        description: for people.
        severity: how bad a row is that breaks it.
        on_error: what an error does.
    """

    sql: str = Field(min_length=1)
    description: str = ""
    severity: Severity | None = None
    on_error: Action | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Check:
        if self.severity is Severity.WARNING and self.on_error in (Action.QUARANTINE, Action.REFUSE):
            refuse("Check", [(("on_error",), only_told(self.on_error))])
        return self


def _some_time(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("no event is as new as that; give a time above 0, for example 2d")
    return value


def _check(value: Any) -> Any:
    return {"sql": value} if isinstance(value, str) else value


class Schema(Values):
    """A dataset's features, in the order of its columns, and what holds for its rows together.

    Attributes:
        features: by name.
        environments: where rows come from or go to (``TRAINING``, ``SERVING``); features are in all of them
            unless they say otherwise.
        domains: domains that features share, by name.
        rows: how many rows a batch may have.
        keys: ``unique``: no two rows of a batch share the dataset's ``keys``.
        checks: what must hold across the columns of each row, by name.
        freshness: how old the newest event of a batch may be when it is curated.
        severity: how bad a broken rule is: one word for all, or rule to word; features and checks may say otherwise.
        on_error: what an error does, likewise.
    """

    features: dict[str, Feature] = Field(min_length=1)
    environments: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    domains: dict[str, Annotated[Domain, BeforeValidator(listed)]] = Field(default_factory=dict)
    rows: RowBounds | None = None
    keys: Literal["unique"] | None = None
    checks: dict[str, Annotated[Check, BeforeValidator(_check)]] = Field(default_factory=dict)
    freshness: Annotated[Duration, AfterValidator(_some_time)] | None = None
    severity: Severities = None
    on_error: Actions = None

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> Schema:
        self.features.update({name: self._with_domain(feature) for name, feature in self.features.items()})
        if info.context != STORED:
            refuse("Schema", self._problems())
        return self

    def _with_domain(self, feature: Feature) -> Feature:
        fields = {name: self._with_domain(inner) for name, inner in feature.fields.items()}
        update: dict[str, Any] = {"fields": fields} if fields else {}
        if feature.domain_name is not None:
            update["domain"] = self.domains.get(feature.domain_name)
        return feature.model_copy(update=update) if update else feature

    def _problems(self) -> Iterator[Problem]:
        for name in self.features:
            if name.startswith("_"):
                yield ("features", name), f"'{name}' starts with '_', which the lake keeps for its own columns"
        yield from ((("features", *path), text) for path, text in name_problems(self.features))
        seen = set[str]()
        for name, feature in self.features.items():
            for path, inner in feature.descend(name):
                if path in seen:
                    yield ("features", name), f"the path '{path}' is another feature's too; rename one"
                seen.add(path)
                yield from (((*self.key_path(path), *key), text) for key, text in self._named_domain(inner))
        for index, name in enumerate(self.environments):
            if name in self.environments[:index]:
                yield ("environments", index), f"'{name}' stands here twice"
        for name in self.checks:
            if not _CHECK_NAME.fullmatch(name):
                yield ("checks", name), "a check's name is of letters, digits, '_' and '-'"
        yield from word_problems(self.severity, self.on_error, whole=True, by_batch={})

    def _named_domain(self, feature: Feature) -> Iterator[Problem]:
        if feature.domain_name is None or feature.type is FeatureType.STRUCT:
            return
        if feature.domain is None:
            hint = nearest(feature.domain_name, self.domains) or " The schema has no domains."
            yield ("domain",), f"there is no domain '{feature.domain_name}' below schema.domains.{hint}"
        else:
            for key, text in feature.domain_problems(feature.domain):
                yield key, f"'{feature.domain_name}': {text}"

    @property
    def marks(self) -> dict[str, bool]:
        """What features say of being personal; without those that say nothing."""
        return {n: feature.personal for n, feature in self.features.items() if "personal" in feature.model_fields_set}

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Feature name to polars dtype, without the provenance columns."""
        return {name: feature.dtype for name, feature in self.features.items()}

    def paths(self) -> dict[str, Feature]:
        """Each feature by its dotted path, those within structs too: ``address``, ``address.street``.

        What lies in a personal struct is personal.
        """
        return {
            path: inner.model_copy(update={"personal": True}) if feature.personal and not inner.personal else inner
            for name, feature in self.features.items()
            for path, inner in feature.descend(name)
        }

    def feature(self, path: str) -> Feature | None:
        """The feature of a dotted path; None where there is none."""
        chain = _chain(self.features, path)
        return chain[-1][1] if chain and chain[-1][0] == path else None

    def key_path(self, path: str) -> tuple[str, ...]:
        """The keys below ``schema:`` that lead to a feature, or would to a new one; ``features`` is the first."""
        chain = _chain(self.features, path)
        names, above = list[str](), ""
        for known, _ in chain:
            names.append(known.removeprefix(above))
            above = f"{known}."
        if not chain or chain[-1][0] != path:
            names.append(path.removeprefix(above))
        return ("features", names[0], *(key for name in names[1:] for key in ("fields", name)))

    def within(self, environment: str | None) -> Schema:
        """The schema of one environment: without the features that are not in it. None is all of them.

        A feature is in an environment that its ``in_environment`` names; else it is not when its
        ``not_in_environment`` does; else it is in those of the schema's ``environments``.

        Raises:
            NotFoundError: nothing in the schema names that environment.
        """
        if environment is None:
            return self
        known = self.known_environments()
        if environment not in known:
            hint = nearest(environment, known) or " The schema names none."
            raise NotFoundError(f"no environment '{environment}'.{hint}")
        features = _within(self.features, environment, default=environment in self.environments)
        return self.model_copy(update={"features": features})

    def known_environments(self) -> tuple[str, ...]:
        """Every environment that the schema or one of its features names, in the order they are met."""
        said = dict.fromkeys(self.environments)
        for feature in self.paths().values():
            said |= dict.fromkeys((*feature.in_environment, *feature.not_in_environment))
        return tuple(said)

    def severity_of(self, rule: Rule, path: str = "") -> Severity:
        """How bad it is when a rule is broken.

        Args:
            rule: what is broken.
            path: the feature's dotted path, ``checks.<name>`` for a check, "" for the dataset.
        """
        if rule is Rule.TYPE:
            return Severity.ERROR  # what is no value of its type cannot be stored
        for owner in self._owners(rule, path):
            if (word := _said(owner.severity, rule)) is not None:
                return Severity(word)
        return Severity.ERROR

    def action_of(self, rule: Rule, path: str = "") -> Action:
        """What is done when a rule is broken; a warning is told and no more.

        Args:
            rule: what is broken.
            path: as for `severity_of`.
        """
        if self.severity_of(rule, path) is Severity.WARNING:
            return Action.WARN
        by_row = self.by_row(rule, path)
        for owner in self._owners(rule, path):
            word = _said(owner.on_error, rule)
            # One word for all rules is for those it makes sense for.
            senseless = (word is Action.QUARANTINE and not by_row) or (word is Action.WARN and rule is Rule.TYPE)
            if word is not None and not senseless:
                return Action(word)
        return Action.QUARANTINE if by_row else Action.WARN

    def by_row(self, rule: Rule, path: str = "") -> bool:
        """Whether a single row can break a rule there, and so be set apart."""
        feature = self.feature(path)
        if rule is Rule.PRESENCE:
            return feature is None or feature.required
        if rule is Rule.DOMAIN:
            return feature is None or feature.domain is None or feature.domain.by_row
        return rule in ROW_RULES

    def _owners(self, rule: Rule, path: str) -> list[Feature | Check | Schema]:
        """Who may say what a broken rule means, the nearest first."""
        if rule is Rule.CHECK:
            check = self.checks.get(path.removeprefix("checks."))
            return [check, self] if check is not None else [self]
        return [*(feature for _, feature in reversed(_chain(self.features, path))), self]

    def differences(self, other: Schema) -> tuple[Difference, ...]:
        """What to change in this schema to make it the other."""
        return differences(self, other)

    def plain(self) -> dict[str, Any]:
        """The schema as YAML has it: without what is left at its default, short where YAML is."""
        return plain.schema(self)

    def to_json(self) -> str:
        """The whole schema as JSON; `from_json` reads it back."""
        return json.dumps(self.plain(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """A schema from what `to_json` wrote, in this version or one before.

        Raises:
            ValueError: it is none.
        """
        return cls.model_validate(plain.upgraded(json.loads(text)), context=STORED)


def _chain(features: Mapping[str, Feature], path: str, above: str = "") -> list[tuple[str, Feature]]:
    """The features on the way to a dotted path, the outermost first, each with its path; as far as they are known.

    A feature's own name may hold dots.
    """
    if path in features:
        return [(above + path, features[path])]
    found: list[tuple[str, Feature]] = []
    for end in (match.start() for match in re.finditer(r"\.", path)):
        if (outer := features.get(path[:end])) is not None:
            way = [(above + path[:end], outer), *_chain(outer.fields, path[end + 1 :], f"{above}{path[:end]}.")]
            found = max(found, way, key=len)
    return found


def _said(value: Any, rule: Rule) -> Any:
    return value.get(rule) if isinstance(value, Mapping) else value


def _within(features: Mapping[str, Feature], environment: str, *, default: bool) -> dict[str, Feature]:
    found = {}
    for name, feature in features.items():
        inside = environment in feature.in_environment or (default and environment not in feature.not_in_environment)
        if inside:
            fields = _within(feature.fields, environment, default=default)
            found[name] = feature if fields == feature.fields else feature.model_copy(update={"fields": fields})
    return found
