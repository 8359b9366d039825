"""A dataset's schema in YAML: each problem told with file, line and key; and what a fingerprint holds."""

import dataclasses
from datetime import timedelta

import pytest

from lakehouse.config import HistoryPolicy, load
from lakehouse.errors import ConfigError

WHERE = "configs/datasets/a/b.yaml"
PLAIN = "source: s\nschema:\n  features:\n    a: {type: string}\n"
FULL = """\
source: s
keys: [a, i]
event_time: at
max_rejected: 5%
rename: {A b: a}
derive: {sum: "i + 1"}
new_columns: add
missing_columns: reject
partition_by: [d]
description: words
schema:
  features:
    a: {type: string, domain: [x, NO, "1"], description: a name, unit: none}
    i: {type: int, presence: optional, domain: {min: 0, max: 10}, default: 3}
    f: {type: float, presence: required, domain: {min: -.inf, max: 1.5}, null_values: ["-"]}
    n: {type: decimal, precision: 10, scale: 2, domain: {values: [1, "2.50"]}}
    r: {type: string, domain: {regex: "[A-Z]+", length: {min: 1, max: 3}}, personal: true}
    l: {type: string, domain: {length: {max: 3}}, personal: false}
    d: {type: date, format: "%d.%m.%Y", domain: {min: 2013-01-01}}
    at: {type: datetime, timezone: Europe/Oslo}
    b: {type: bool, true_values: [ja], false_values: [nei], default: ja}
    blob: {type: bytes, presence: optional}
    sum: {type: int, presence: optional}
"""
# What release 0.2.0 gave for these two files (whose word for bytes was binary).
PINNED = {
    PLAIN: "d5414dfdac9c37e060a0fe5b83f583fb2e70227005cf8b020e6c0ff2c0ece7a1",
    FULL: "7edd20c0a9bcc295605e25cb6462997905751b3eed7986ae4df62a233c502c7a",
}


@pytest.fixture
def read(tmp_path):
    """Reads one dataset's text, beside a source of its own."""

    def one(text):
        for name, content in (
            ("sources/s", "type: files\npath: data/*.csv\nformat: {type: csv, null_values: [NA]}\n"),
        ):
            path = tmp_path / f"configs/{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        path = tmp_path / WHERE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        config = load(tmp_path / "configs", environ={})
        return config.dataset("a/b"), config.source("s")

    return one


@pytest.fixture
def problems(read):
    """What is wrong with one dataset's text, line by line."""

    def lines(text):
        with pytest.raises(ConfigError) as caught:
            read(text)
        return [line.strip() for line in str(caught.value).splitlines()[1:]]

    return lines


def test_every_key_of_a_schema_is_read(read):
    dataset, _ = read("""\
source: s
keys: [code]
event_time: at
validation: {environment: SERVING, history: {batches: 10, rate: 0.05}}
schema:
  environments: [TRAINING, SERVING]
  domains: {airport: [EWR, JFK], low: {min: 0, max: 9}}
  features:
    origin: {type: string, domain: airport, drift: {infinity_norm: 0.01}}
    delay: {type: int, presence: {min_fraction: 0.95, min_count: 1}, domain: low, skew: {max: 0.1}}
    dests:
      type: list[string]
      separator: ";"
      valency: {min: 1, max: 3}
    address: {type: struct, fields: {street: {type: string}, no: {type: int, presence: optional}}}
    label: {type: string, not_in_environment: [SERVING]}
    code: {type: string, unique: {min: 2}, domain: {values: [A, B], min_mass: 0.99}, severity: warning, tags: [x]}
    speed: {type: float, domain: {min: 0, finite: true}, severity: {domain: warning}, on_error: {presence: refuse}}
    at: {type: datetime, lifecycle: beta}
  rows: {min: 1, max: 9, drift: {min_fraction: 0.5, max_fraction: 2}}
  keys: unique
  checks:
    one: "delay >= 0"
    two: {sql: "speed < 1000", severity: warning, description: why}
  freshness: 2d
  severity: {rows: warning}
  on_error: {keys: refuse}
""")
    schema = dataset.schema
    assert schema.features["origin"].domain.values == ("EWR", "JFK")
    assert schema.features["dests"].kind == "list[string]"
    assert schema.features["dests"].valency.max == 3
    assert schema.freshness == timedelta(days=2)
    assert schema.checks["one"].sql == "delay >= 0"
    assert dataset.validation.history == HistoryPolicy(batches=10, rate=0.05)
    assert "label" not in schema.within(dataset.validation.environment).features


@pytest.mark.parametrize(
    ("said", "policy"), [("{}", HistoryPolicy()), ("{history: off}", None), ("{history: false}", None)]
)
def test_the_history_policy_is_on_unless_it_is_off(read, said, policy):
    assert read(PLAIN + f"validation: {said}\n")[0].validation.history == policy


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        ("{type: int, valency: {min: 1}}", "x.valency: only a list has one, this is int; write type: list[int]"),
        ("{type: int, repeated: true}", "x.repeated: unknown key. A list is written type: list[int]."),
        ("{type: int, domain_name: y}", "x.domain_name: unknown key. Write domain: and the name."),
        ("{type: int, domain: y}", "x.domain: there is no domain 'y' below schema.domains. The schema has no domains."),
        ("{type: struct}", "x: a struct has fields: fields: {street: {type: string}}"),
        ("{type: int, fields: {a: {type: int}}}", "x.fields: only a struct has them, this is int"),
        ("{type: struct, fields: {a: {type: int, domain: [b]}}}", "x.fields.a.domain.0: must be a whole number"),
        ("{type: int, severity: {domian: warning}}", "x.severity.domian: there is no rule 'domian'. Did you mean"),
        ("{type: int, severity: bad}", "x.severity: allowed is 'warning' or 'error', or a mapping of rules to them"),
        ("{type: int, severity: {domain: bad}}", "x.severity.domain: allowed is 'warning' or 'error', found 'bad'"),
        ("{type: int, on_error: {drift: quarantine}}", "x.on_error.drift: a batch breaks it as a whole"),
        ("{type: int, drift: {linf: 1}}", "x.drift.linf: unknown key. Known: infinity_norm, jensen_shannon, max"),
        ("{type: int, drift: {infinity_norm: high}}", "x.drift.infinity_norm: must be a valid number"),
        ("{type: int, presence: true}", "x.presence: allowed is 'required' or 'optional', or {min_fraction: 0.95"),
        (
            "{type: struct, fields: {a: {type: int, not_in_environment: [X]}}}",
            "x.fields.a.not_in_environment.0: 'X' is",
        ),
        ("{type: int, presence: maybe}", "x.presence: allowed is 'required' or 'optional', found 'maybe'"),
        (
            "{type: int, presence: {min_fraction: 2}}",
            "x.presence.min_fraction: must be less than or equal to 1, found 2",
        ),
        ("{type: binary}", "x.type: 'binary' is called 'bytes' now; write bytes, nothing else changes"),
        ("{type: list[int]}", 'within { } a type with brackets stands in quotes: {type: "list[int]"}'),
        ("{type: int, not_in_environment: [X]}", "x.not_in_environment.0: 'X' is not in schema.environments"),
        ("{type: int, typ: int}", "x.typ: unknown key. Did you mean 'type'?"),
    ],
)
def test_a_problem_of_a_feature_names_its_line_and_key(problems, feature, says):
    found = problems(f"source: s\nschema:\n  features:\n    y: {{type: int}}\n    x: {feature}\n")
    assert len(found) == 1
    assert found[0].startswith(f"{WHERE}:5: ")
    assert says in found[0]


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("checks: {c: 'x >'}", "schema.checks.c: not an SQL expression"),
        ("checks: {c: 'z > 1'}", "schema.checks.c: reads 'z', which is not a feature. Known: l, s, x."),
        ("checks: {c: 'x + 1'}", "schema.checks.c: must be true or false of a row, this gives Int64"),
        (
            "checks: {c: 'SUM(x) > 1'}",
            "schema.checks.c: is one value for a whole batch; a check must be of its own row",
        ),
        (
            "checks: {c: 'x > AVG(x) + 100'}",
            'schema.checks.c: col("x").mean() looks at other rows too; a check must be',
        ),
        ("checks: {c: 'x > LAG(x) OVER (ORDER BY s)'}", "looks at other rows too; a check must be of its own row"),
        (
            "checks: {c: 'COUNT(x) OVER (PARTITION BY s) < 9'}",
            "looks at other rows too; a check must be of its own row",
        ),
        ("checks: {c: '1 > 2'}", "schema.checks.c: reads no feature"),
        ("freshness: 0s", "schema.freshness: found '0s': no event is as new as that; give a time above 0"),
        ("domains: {d: {regex: '(['}}", "schema.domains.d: regex: unclosed character class"),
        ("checks: {c: '(SELECT 1) > 2'}", "schema.checks.c: must be an expression over its own row"),
        ("keys: unique", "schema.keys: the dataset names no keys"),
        ("freshness: 2d", "schema.freshness: is counted from event_time, which the dataset does not name"),
        ("rows: {min: 3, max: 1}", "schema.rows: min 3 is above max 1, so nothing is allowed"),
        ("rows: {mn: 3}", "schema.rows.mn: unknown key. Did you mean 'min'?"),
        ("domains: {d: {min: 3, max: 1}}", None),
        ("sevrity: warning", "schema.sevrity: unknown key. Did you mean 'severity'?"),
    ],
)
def test_a_problem_of_a_schema_names_its_line_and_key(problems, read, extra, says):
    features = '{x: {type: int}, l: {type: "list[int]"}, s: {type: string}}'
    text = f"source: s\nschema:\n  features: {features}\n  {extra}\n"
    if says is None:
        assert read(text)  # a domain that no feature names is looked at by none
        return
    [found] = problems(text)
    assert found.startswith(f"{WHERE}:4: ")
    assert says in found


@pytest.mark.parametrize(
    "sql",
    [
        "x > 3 AND s LIKE 'a%'",
        "CASE WHEN x > 1 THEN s = 'a' ELSE TRUE END",
        "COALESCE(x, 0) BETWEEN 1 AND 5",
        "STRFTIME(d, '%Y') = '2013' OR d > DATE '2013-01-01'",
        "ARRAY_LENGTH(l) > 1",
    ],
)
def test_a_check_of_its_own_row_is_taken(read, sql):
    features = '{x: {type: int}, l: {type: "list[int]"}, s: {type: string}, d: {type: date}}'
    dataset, _ = read(f'source: s\nschema:\n  features: {features}\n  checks: {{c: "{sql}"}}\n')
    assert dataset.schema.checks["c"].sql == sql


def test_a_shared_domain_is_held_against_every_feature_that_names_it(problems):
    features = "{a: {type: int, domain: d}, b: {type: string, domain: d}}"
    assert problems(f"source: s\nschema:\n  features: {features}\n  domains: {{d: [x, 1]}}\n") == [
        f"{WHERE}:4: schema.domains.d.0: of feature 'a': must be a whole number of at most 64 bits, found 'x'"
    ]


@pytest.mark.parametrize("key", ["keys: [x]", "event_time: x", "partition_by: [x]"])
def test_a_list_names_no_row(problems, key):
    text = f'source: s\n{key}\nschema:\n  features: {{x: {{type: "list[date]"}}, y: {{type: int}}}}\n'
    [found] = problems(text)
    assert found.startswith(f"{WHERE}:2: ")
    assert "'x' is list[date]" in found


def test_a_misspelt_environment_is_told_where_one_like_it_is_known(problems, read):
    text = "source: s\nschema:\n  environments: [SERVING]\n  features: {x: {type: int, in_environment: [%s]}}\n"
    for misspelt in ("SERVIGN", "serving"):
        [found] = problems(text % misspelt)
        says = f"schema.features.x.in_environment.0: '{misspelt}' is not in schema.environments. Did you mean 'SERVING'"
        assert says in found
    assert read(text % "RESEARCH")
    [found] = problems(text % "SERVING" + "validation: {environment: SRVING}\n")
    assert f"{WHERE}:5: validation.environment: there is no environment 'SRVING'. Did you mean 'SERVING'?" in found


# Fingerprints


@pytest.mark.parametrize("text", PINNED, ids=["plain", "full"])
def test_a_dataset_of_the_release_before_keeps_its_fingerprint(read, text):
    dataset, source = read(text)
    assert dataset.fingerprint(source) == PINNED[text]


DECIDES_NOTHING = (
    "drift: {max: 0.1}",
    "skew: {max: 0.1}",
    "unique: {min: 1}",
    "tags: [a]",
    "description: x",
    "unit: m",
    "not_in_environment: [B]",
    "lifecycle: production",
    "categorical: true",
    "domain: {values: [1], min_mass: 0.5}",
    "domain: [1], severity: {domain: warning}",
    "domain: [1], severity: warning, presence: optional",
)
DECIDES = (
    "valency: {max: 2}",
    "lifecycle: deprecated",
    "domain: [1], on_error: {domain: refuse}",
    "on_error: {type: refuse}",
    "severity: {presence: warning}",
)


def printed(read, feature, extra="", kind="int"):
    dataset, source = read(
        f"source: s\nkeys: [x]\nevent_time: at\nschema:\n  environments: [A, B]\n  features:\n"
        f"    x: {{type: int}}\n    at: {{type: datetime}}\n    f: {{type: {kind}{feature}}}\n{extra}"
    )
    return dataset.fingerprint(source)


@pytest.mark.parametrize("said", DECIDES_NOTHING)
def test_what_decides_no_row_is_not_in_the_fingerprint(read, said):
    bare = ", presence: optional" if "presence: optional" in said else ""
    assert printed(read, f", {said}") == printed(read, bare)


@pytest.mark.parametrize("said", DECIDES)
def test_what_decides_a_row_is_in_the_fingerprint(read, said):
    kind = '"list[int]"' if "valency" in said else "int"
    bare = ", domain: [1]" if "domain" in said else ""
    assert printed(read, f", {said}", kind=kind) != printed(read, bare, kind=kind)


@pytest.mark.parametrize(
    "extra",
    [
        "  rows: {min: 1}\n",
        "  keys: unique\n",
        "  freshness: 2d\n",
        "  severity: {rows: warning}\n",
        "  on_error: {drift: refuse}\n",
        "  checks: {c: {sql: 'x > 1', severity: warning}}\n",
        "validation: {statistics: false}\n",
        "validation: {environment: A}\n",
    ],
)
def test_what_is_asked_of_a_batch_is_not_in_the_fingerprint(read, extra):
    assert printed(read, "", extra) == printed(read, "")


def test_what_sets_rows_apart_is_in_the_fingerprint(read):
    checks = "  checks: {c: 'x > 1'}\n"
    prints = {
        printed(read, ""),
        printed(read, "", checks),
        printed(read, "", checks + "  on_error: {check: refuse}\n"),
        printed(read, "", "  on_error: refuse\n"),
        printed(read, ", not_in_environment: [B]", "validation: {environment: B}\n"),
        printed(read, "", kind='"list[int]"'),
        printed(read, ', separator: ";"', kind='"list[int]"'),
        printed(read, ", fields: {y: {type: int}}", kind="struct"),
        printed(read, ", fields: {y: {type: float}}", kind="struct"),
        printed(read, "", kind="float"),
        printed(read, ", domain: {finite: true}", kind="float"),
        printed(read, ", domain: {finite: false}", kind="float"),
    }
    assert len(prints) == 12


def test_a_shared_domain_decides_as_an_own_one(read):
    own = "source: s\nschema:\n  features: {a: {type: string, domain: [x]}}\n"
    shared = "source: s\nschema:\n  domains: {d: [x]}\n  features: {a: {type: string, domain: d}}\n"
    (one, source), (other, _) = read(own), read(shared)
    assert one.fingerprint(source) == other.fingerprint(source)
    assert dataclasses.replace(one, new_columns="add").fingerprint(source) != other.fingerprint(source)
