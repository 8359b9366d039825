"""Rows and batch agree: a row rule is told of a batch with exactly the rows that are in quarantine for it."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import LakehouseError, SchemaError
from lakehouse.schema import Action

DATASET = """
    source: flights
    schema:
      features:
        time_hour: {type: datetime}
        carrier: {type: string, domain: [AA, UA], severity: {domain: warning}}
        flight: {type: int, domain: {max: 99}}
        origin: {type: string, default: EWR}
        dep_delay: {type: int, presence: optional}
      checks:
        early: {sql: "dep_delay >= -20", severity: warning}
        short: "dep_delay < 60"
"""
LINE = st.tuples(
    st.sampled_from(["2013-01-01T05:00:00Z", "2013-01-01T06:00:00Z", "noon"]),
    st.sampled_from(["AA", "UA", "B6", "NA"]),
    st.sampled_from(["1", "99", "100", "1.0", "x"]),
    st.sampled_from(["EWR", "NA"]),
    st.sampled_from(["5", "-30", "90", "NA", "late", "5,surplus"]),
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(LINE, max_size=12), min_size=1, max_size=3))
def test_what_a_batch_is_told_to_break_is_what_its_quarantine_holds(new_project, tmp_path_factory, files):
    project = new_project(tmp_path_factory.mktemp("agree") / "project")
    project.configure(f"datasets/{project.flights}", DATASET)
    good = ("2013-01-01T05:00:00Z", "AA", "1", "EWR", "5")
    for number, lines in enumerate(files):
        project.deliver(f"{number}.csv", project.header + "".join(",".join(line) + "\n" for line in [good, *lines]))
    [done] = project.run().curated
    with project.lake() as lake:
        schema = lake.config.dataset(project.flights).schema
        broken = lake.statistics(project.flights, batch=True).broken
        quarantine = lake.quarantine(project.flights).collect() if done.rejected else None
        curated = lake.read(project.flights)
    reasons = Counter() if quarantine is None else Counter(r for row in quarantine["reasons"] for r in row)
    rejecting = {b.reason: b.rows for b in broken if schema.action_of(b.rule, b.path) is not Action.WARN}
    assert rejecting == reasons
    assert quarantine is None or all(quarantine["reasons"].list.len())
    assert curated.height == done.read - done.rejected
    warned = Counter(b.reason for b in broken if b.reason not in rejecting)
    assert warned.keys() <= {"carrier: not in its domain", "check early: dep_delay >= -20"}


def test_a_rule_that_refuses_leaves_nothing_of_the_batch_and_counts_in_the_message(project):
    project.change(
        f"datasets/{project.flights}",
        "flight: {type: int}",
        "flight: {type: int, domain: {max: 99}, on_error: {domain: refuse}}",
    )
    project.deliver("1.csv", project.morning)
    with project.lake() as lake:
        lake.land("flights")
        with pytest.raises(SchemaError, match=r"flight"):
            lake.curate(project.flights)
        with pytest.raises(LakehouseError):
            lake.read(project.flights)


def test_a_warned_rule_is_told_and_its_rows_are_curated(project):
    project.change(
        f"datasets/{project.flights}",
        "flight: {type: int}",
        "flight: {type: int, domain: {max: 1200}, severity: warning}",
    )
    project.deliver("1.csv", project.morning)
    [done] = project.run().curated
    assert (done.curated, done.rejected) == (2, 0)
    with project.lake() as lake:
        [broken] = lake.statistics(project.flights, batch=True).broken
    assert (broken.path, broken.reason, broken.rows, broken.examples) == (
        "flight",
        "flight: above 1200",
        1,
        (("1545", 1),),
    )
