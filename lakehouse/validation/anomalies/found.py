"""What a validation found, as plain frozen values that print for people and go through JSON unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from lakehouse.schema import Action, Rule, Severity
from lakehouse.validation.anomalies.kinds import Kind
from lakehouse.validation.anomalies.wording import percent

__all__ = ["JSON", "Anomalies", "Anomaly", "Cause", "Measure"]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What a figure may be. Floats are finite; what is not is written as text (``"nan"``, ``"inf"``)."""

Comparison: TypeAlias = Literal["drift", "skew"]
Distance: TypeAlias = Literal["infinity_norm", "jensen_shannon", "normalized_absolute_difference"]


@dataclass(frozen=True)
class Cause:
    """A raw file's part in a drift.

    Attributes:
        raw: its sha256.
        name: its original name; ``""`` when not known.
        rows: how many rows of the batch came from it.
        share: its part of the drift, 0 to 1: see `lakehouse.validation.anomalies.explain`.
    """

    raw: str
    name: str
    rows: int
    share: float


@dataclass(frozen=True)
class Measure:
    """One distance between two batches, measured whether or not it is over its threshold.

    Attributes:
        path: the feature.
        comparison: ``drift`` (against the batch before) or ``skew`` (training against serving).
        measure: which distance.
        value: 0 to 1; None when it could not be measured.
        threshold: the most that the schema allows.
    """

    path: str
    comparison: Comparison
    measure: Distance
    value: float | None
    threshold: float


@dataclass(frozen=True)
class Anomaly:
    """One thing that is odd about a batch.

    Attributes:
        path: the feature's dotted path; ``""`` is the dataset.
        kind: what it is.
        rule: the rule of the schema that it breaks.
        severity: how bad, as the schema says.
        action: what is done about it, as the schema says.
        short: a few words: ``2 values outside the domain``.
        description: what, how many of how many, which values, the limit, and what to do.
        figures: the same as figures. No values of personal features.
        causes: the raw files that brought it, most to blame first; drift alone has them.
        proposal: the change of the schema that would accept it, in words; ``""`` when there is none.
    """

    path: str
    kind: Kind
    rule: Rule
    severity: Severity
    action: Action
    short: str
    description: str
    figures: Mapping[str, JSON] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    proposal: str = ""

    def __str__(self) -> str:
        named = f"{self.path}: {self.short}" if self.path else self.short
        brought = ", ".join(f"{cause.name or cause.raw[:12]} ({percent(cause.share, 1)})" for cause in self.causes)
        lines = [
            f"{self.severity.value:<7}  {named}",
            self.description,
            *([f"Brought by {brought}."] if brought else []),
        ]
        return "\n         ".join(lines)


@dataclass(frozen=True)
class Anomalies:
    """All that is odd about a batch, and what was measured on the way. True when anything is.

    Attributes:
        anomalies: the dataset's first, then features in the schema's order.
        measures: every drift and skew that the schema limits.
        rows: of the batch.
        data_missing: the batch has no rows: nothing else was looked at.
        environment: the one it was judged in; None: none named.
        notes: what could not be looked at, or not wholly, and why; a sentence each.
    """

    anomalies: tuple[Anomaly, ...] = ()
    measures: tuple[Measure, ...] = ()
    rows: int = 0
    data_missing: bool = False
    environment: str | None = None
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.anomalies) or self.data_missing

    @property
    def worst(self) -> Severity | None:
        """The highest severity among them; None without any."""
        found = {anomaly.severity for anomaly in self.anomalies}
        return Severity.ERROR if Severity.ERROR in found else next(iter(found), None)

    @property
    def refuses(self) -> bool:
        """Whether the schema asks that the batch be refused."""
        return any(anomaly.action is Action.REFUSE for anomaly in self.anomalies)

    def of(self, path: str) -> tuple[Anomaly, ...]:
        """Those of one feature; ``""`` gives the dataset's."""
        return tuple(anomaly for anomaly in self.anomalies if anomaly.path == path)

    def __str__(self) -> str:
        lines = [self._headline()]
        lines += [str(anomaly) for anomaly in self.anomalies]
        lines += [f"note     {note}" for note in self.notes]
        return "\n".join(lines)

    def _headline(self) -> str:
        where = f" in environment {self.environment}" if self.environment else ""
        if self.data_missing:
            return f"The batch has no rows{where}: nothing could be validated."
        rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        if not self.anomalies:
            return f"No anomalies in {rows}{where}."
        errors = sum(anomaly.severity is Severity.ERROR for anomaly in self.anomalies)
        warnings = len(self.anomalies) - errors
        counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
        return f"{' and '.join(counts)} in {rows}{where}:"

    def to_json(self) -> str:
        """The whole as one JSON object, its keys the attributes' names; `from_json` gives it back."""
        return json.dumps(
            {
                "rows": self.rows,
                "data_missing": self.data_missing,
                "environment": self.environment,
                "anomalies": [_anomaly_to_plain(anomaly) for anomaly in self.anomalies],
                "measures": [dict(vars(measure)) for measure in self.measures],
                "notes": list(self.notes),
            },
            ensure_ascii=False,
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Anomalies:
        """What `to_json` wrote.

        Raises:
            ValueError: the text is not what `to_json` writes.
        """
        try:
            plain = json.loads(text)
            return cls(
                anomalies=tuple(_anomaly_from_plain(anomaly) for anomaly in plain["anomalies"]),
                measures=tuple(Measure(**measure) for measure in plain["measures"]),
                rows=plain["rows"],
                data_missing=plain["data_missing"],
                environment=plain["environment"],
                notes=tuple(plain["notes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"these are no anomalies as the lake writes them: {error!r}") from error


def _anomaly_to_plain(anomaly: Anomaly) -> dict[str, Any]:
    return {**vars(anomaly), "figures": dict(anomaly.figures), "causes": [dict(vars(c)) for c in anomaly.causes]}


def _anomaly_from_plain(plain: Mapping[str, Any]) -> Anomaly:
    return Anomaly(
        **{
            **plain,
            "kind": Kind(plain["kind"]),
            "rule": Rule(plain["rule"]),
            "severity": Severity(plain["severity"]),
            "action": Action(plain["action"]),
            "causes": tuple(Cause(**cause) for cause in plain["causes"]),
        }
    )
