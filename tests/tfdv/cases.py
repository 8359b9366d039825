"""Runs lakehouse on a folder of cases that TensorFlow Data Validation was asked before, and compares the answers.

    python tests/tfdv/cases.py FOLDER [RESULTS.json]

A case is a folder with ``current.csv`` (and ``previous.csv``, ``previous_version.csv``, ``serving.csv``), the
``schema.pbtxt`` it is judged by, and ``expected.json``: what TensorFlow Data Validation answered. ``INDEX.json``
beside the folders, where there is one, lists them.

Everything goes through lakehouse's public functions. Four things are done as that library does them, and told here:
types are judged without widening (``widen=False``); types are guessed by its rules (``cautious=False``); its CSV
reader takes 007, +7 and " 7" for numbers, which lakehouse keeps as text; and where its schema has bytes with a domain
of numbers, which lakehouse reads as a number, text is the type asked for.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse import generate_statistics, infer_schema, update_schema, validate_statistics
from lakehouse.errors import NotFoundError
from lakehouse.schema import FeatureType, Schema
from lakehouse.tfmd import read_schema
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import Statistics

__all__ = ["Case", "cases", "compare", "run"]

_MEASURES = {
    "infinity_norm": "l_infinity",
    "jensen_shannon": "jensen_shannon",
    "normalized_absolute_difference": "normalized_absolute_difference",
}
_THEIRS = {
    "L_INFTY": "l_infinity",
    "JENSEN_SHANNON_DIVERGENCE": "jensen_shannon",
    "NORMALIZED_ABSOLUTE_DIFFERENCE": "normalized_absolute_difference",
}
_UNTYPED, _IN_TEXT = "type: it says none", "type: BYTES with"
_FAULTS = (  # what reading a schema tells of a feature, and theirs finds fault with
    _UNTYPED,
    "presence.min_fraction: ",
    "value_count: ",
    "domain: the schema has no domain",
    "distribution_constraints.min_domain_mass: it is for lists of strings",
)
_UNSUITED = "it does not suit a feature of type"
_NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$|^[+-]?(?i:nan|inf|infinity)$"
_CLOSE = 1e-6  # how near a distance must be; for histograms of numbers, which theirs are estimates of, see _near


@dataclass(frozen=True)
class Case:
    """One case: its folder, and what is said of it beside the data."""

    folder: Path
    said: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """``validate``, ``infer``, ``update``; ``stats`` and ``rows`` are compared elsewhere."""
        return str(self.said.get("kind", "validate"))

    @property
    def reader(self) -> dict[str, Any]:
        """How its files are to be read."""
        return self.said.get("reader") or {}

    def frame(self, which: str) -> pl.DataFrame | None:
        """One of its files as text, empty fields missing, lists split; None when it has no such file."""
        file = self.folder / f"{which}.csv"
        if not file.exists():
            return None
        frame = pl.read_csv(file, infer_schema=False)
        if not self.reader.get("types_from_schema"):
            text = pl.col(frame.columns)
            plain = text.str.strip_chars().str.replace(r"^\+", "").str.replace(r"^(-?)0+(\d)", "${1}${2}")
            frame = frame.with_columns(pl.when(text.str.contains(_NUMBER).all()).then(plain).otherwise(text))
        lists = [name for name in self.reader.get("multivalent_columns") or [] if name in frame.columns]
        return frame.with_columns(pl.col(lists).str.split(self.reader.get("secondary_delimiter") or ";"))

    def statistics(self, which: str, schema: Schema) -> Statistics | None:
        """Of one of its files; typed by the schema where the reader was told to."""
        frame = self.frame(which)
        if frame is None:
            return None
        typed = self.reader.get("types_from_schema")
        return generate_statistics(frame, schema=schema if typed else None)


def cases(folder: Path) -> list[Case]:
    """The cases of a folder, in the order of their names."""
    index = folder / "INDEX.json"
    listed = {entry["case"]: entry for entry in json.loads(index.read_text())} if index.exists() else {}
    found = []
    for data in sorted(folder.glob("*/current.csv")):
        expected = data.parent / "expected.json"
        said = json.loads(expected.read_text()) if expected.exists() else {}
        found.append(Case(data.parent, {**said, **listed.get(data.parent.name, {}), "reader": said.get("reader")}))
    return found


def run(case: Case) -> dict[str, Any]:
    """What lakehouse says of a case."""
    schema, left_out = read_schema((case.folder / "schema.pbtxt").read_text())
    current = case.statistics("current", schema)
    assert current is not None
    inferred = infer_schema(current, cautious=False) if case.kind == "infer" else None
    try:
        found = _validated(case, current, inferred or schema)
    except NotFoundError as error:
        return {"findings": [], "data_missing": False, "error": True, "drift": [], "message": str(error)}
    results = {
        "findings": _findings(found, left_out, schema, current),
        "data_missing": found.data_missing,
        "error": False,
        "drift": [[m.path, m.comparison, _MEASURES[m.measure], m.value] for m in found.measures if m.value is not None],
    }
    if inferred is not None:
        results["inferred"] = _inferred(inferred, current)
    if case.kind == "update":
        updated = update_schema(schema, current, environment=case.said.get("environment"), anomalies=found).schema
        results["after_update"] = _findings(_validated(case, current, updated), (), updated, current)
    return results


def _validated(case: Case, current: Statistics, schema: Schema) -> Anomalies:
    return validate_statistics(
        current,
        schema,
        environment=case.said.get("environment"),
        previous_statistics=case.statistics("previous", schema),
        serving_statistics=case.statistics("serving", schema),
        previous_version_statistics=case.statistics("previous_version", schema),
        widen=False,
    )


def _findings(found: Anomalies, left_out: tuple[str, ...], schema: Schema, current: Statistics) -> list[list[str]]:
    """Column and kind, with what theirs finds fault with in a schema, which lakehouse tells when it reads it."""
    told = [[one.path, one.kind.value] for one in found.anomalies]
    features = schema.paths()
    for path, _, line in (each.partition(": ") for each in left_out):
        seen, feature = current.features.get(path), features.get(path)
        if seen is None or feature is None or not feature.checked:
            continue  # theirs looks at the columns that are there
        if line.startswith(_UNTYPED) and feature.domain is None:
            told = [one for one in told if one[0] != path]  # it goes no further
        if line.startswith(_IN_TEXT):
            told = [one for one in told if one != [path, "UNEXPECTED_DATA_TYPE"]]
            numbers = not current.judged and seen.type in (FeatureType.INT, FeatureType.FLOAT)
            told += [[path, "UNEXPECTED_DATA_TYPE"]] if numbers else []
        if line.startswith(_FAULTS) or _UNSUITED in line:
            told.append([path, "schema_fault"])
    return told


def _inferred(schema: Schema, statistics: Statistics | None = None) -> dict[str, dict[str, Any]]:
    """What was inferred, in the words of TensorFlow Metadata."""
    found = {}
    for name, feature in schema.features.items():
        kind = {FeatureType.INT: "INT", FeatureType.FLOAT: "FLOAT"}.get(feature.type, "BYTES")
        domain: Any = None
        if feature.type is FeatureType.BOOL:  # theirs is of ints or of words
            ints = {*feature.true_values, *feature.false_values} == {"0", "1"}
            seen = statistics.features[name].type if statistics is not None else None
            kind, domain = "INT" if ints or seen is FeatureType.INT else "BYTES", "bool"
        elif feature.domain is not None and feature.domain.values is not None:
            domain = sorted(str(value) for value in feature.domain.values)
        elif feature.domain is not None and feature.type is FeatureType.INT:
            domain = "int"
        found[name] = {"type": kind, "required": feature.presence.required, "domain": domain}
    return found


def compare(case: Case, got: dict[str, Any], classes: dict[str, str]) -> list[str]:
    """Where an answer differs from TensorFlow Data Validation's; [] when it is the same.

    The same means: the same columns with anomalies of the same classes, the same word on missing data and errors,
    and each distance it measured.
    """
    want = case.said
    ours = {(column, classes.get(kind, kind)) for column, kind in got["findings"]}
    theirs = {(column, kind) for column, kind in want["classes"]}
    wrong = [f"misses {column or 'the dataset'}: {kind}" for column, kind in sorted(theirs - ours)]
    wrong += [f"says {column or 'the dataset'}: {kind}" for column, kind in sorted(ours - theirs)]
    wrong += [word for word in ("data_missing", "error") if bool(got[word]) != bool(want.get(word))]
    measured = {(column, comparison, name): value for column, comparison, name, value in got["drift"]}
    for one in want.get("drift_skew", []):
        key = (".".join(one["path"]), one["kind"], _THEIRS[one["measure"]])
        if key not in measured:
            wrong.append(f"no {key[2]} of {key[0]}")
        elif not _near(measured[key], one["value"], key[2]):
            wrong.append(f"{key[2]} of {key[0]}: {measured[key]:.6f}, theirs {one['value']:.6f}")
    if case.kind == "infer":
        wrong += _compare_inferred(case, got["inferred"])
    return wrong


def _near(ours: float, theirs: float, measure: str) -> bool:
    """Within what their histograms, made from sketches, are off."""
    room = max(0.003, 0.03 * theirs) if measure == "jensen_shannon" else _CLOSE
    return abs(ours - theirs) <= room


def _compare_inferred(case: Case, ours: dict[str, dict[str, Any]]) -> list[str]:
    theirs = _inferred(read_schema((case.folder / "inferred_schema.pbtxt").read_text())[0])
    return [
        f"{name}: inferred {str(ours.get(name))[:120]}, theirs {str(want)[:120]}"
        for name, want in theirs.items()
        if ours.get(name) != want
    ]


def main(arguments: list[str]) -> int:
    """The program: writes the answers, prints where they differ."""
    folder = Path(arguments[0])
    judged = [case for case in cases(folder) if case.kind not in ("stats", "rows")]
    results = {case.name: run(case) for case in judged}
    if len(arguments) > 1:
        Path(arguments[1]).write_text(json.dumps(results, indent=1))
    classes = json.loads((folder / "classes.json").read_text()) if (folder / "classes.json").exists() else {}
    same = 0
    for case in judged:
        if "classes" not in case.said:
            continue
        wrong = compare(case, results[case.name], classes)
        same += not wrong
        sys.stdout.write(f"{'same' if not wrong else 'DIFF'}  {case.name}  {'; '.join(wrong)}\n")
    sys.stdout.write(f"{same} of {len(judged)} the same\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
