"""What happens to a folder of daily files: their rows, columns, types and bytes are not what they should be."""

import gzip

import polars as pl
import pytest


def told(steps, kind):
    """The messages of one kind, of landings or curations."""
    return [note.message for step in steps for note in step.notes if note.kind == kind]


def flights_column(project, **when):
    return project.read(**when)["flight"].to_list()


def days(project, count):
    """A compressible file, big enough to be cut in the middle."""
    rows = (f"2013-01-01T{i % 24:02}:00:00Z,AA,{i},JFK,{i * 7919 % 977}\n" for i in range(count))
    return project.header + "".join(rows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2013-01-01T07:00:00Z,AA,1,JFK,0,extra", "row: 6 fields, expected 5"),
        ("2013-01-01T07:00:00Z,AA,1", "row: 3 fields, expected 5"),
    ],
    ids=["an extra field", "too few fields"],
)
def test_a_row_with_the_wrong_number_of_fields_is_quarantined_with_its_file_line_and_text(project, line, reason):
    first, second = project.morning.removeprefix(project.header).splitlines(keepends=True)
    project.deliver("day1.csv", f"{project.header}{first}{line}\n{second}")
    project.deliver("day2.csv", project.noon)

    ran = project.run()

    assert flights_column(project) == [1545, 1141, 725, 461]
    [row] = project.quarantine()
    assert (row["reasons"], row["text"], row["_row"]) == ([reason], line, 2)
    with project.lake() as lake:
        trace = lake.trace(project.flights, row)
    assert (trace.origins[0].rpartition("/")[2], trace.line, trace.text) == ("day1.csv", 3, line)
    assert told(ran.curated, "rejected") == [
        (
            f"1 of 5 rows were rejected, from 'day1.csv'. Most often: {reason} (1). "
            "`lakehouse quarantine aviation/flights` shows them"
        )
    ]


def test_a_file_with_another_delimiter_is_refused_with_a_hint_and_the_others_go_on(project):
    project.deliver("day1.csv", project.morning.replace(",", ";"))
    project.deliver("day2.csv", project.noon)

    ran = project.run()

    assert not ran.ok
    assert told(ran.curated, "refused") == [
        (
            "'day1.csv' lacks the required column 'time_hour'. It has one column; is its delimiter ';'? "
            "Set format: {delimiter: ...} or mend the file"
        )
    ]
    assert flights_column(project) == [725, 461]


def test_text_in_an_integer_column_is_quarantined_with_its_value_and_rule(project):
    project.deliver("day1.csv", project.morning.replace("1141", "N1141"))

    project.run()

    [row] = project.quarantine()
    assert row["reasons"] == ["flight: not an int"]
    assert '"flight":"N1141"' in row["fields"]
    assert flights_column(project) == [1545]
    assert project.read().schema["flight"] == pl.Int64


def test_an_integer_column_that_becomes_text_is_quarantined_with_a_proposal_and_never_a_second_column(project):
    project.deliver("day1.csv", project.morning)
    project.run()
    project.deliver("day2.csv", project.noon.replace("725", "N725").replace("461", "N461"))

    ran = project.run()

    assert told(ran.curated, "rejected") == [
        (
            "2 of 2 rows were rejected, from 'day2.csv'. Most often: flight: not an int (2); if such values are right, "
            "set schema.features.flight.type to string. `lakehouse quarantine aviation/flights` shows them"
        )
    ]
    assert [name for name in project.read().columns if "flight" in name] == ["flight"]
    assert flights_column(project) == [1545, 1141]


def test_an_integer_that_becomes_a_float_is_kept_when_whole_and_widened_by_a_new_schema(project):
    project.deliver("day1.csv", project.morning.replace("1545", "1545.0").replace("1141", "12.5"))
    ran = project.run()
    assert flights_column(project) == [1545]
    assert project.quarantine()[0]["reasons"] == ["flight: not an int"]
    assert "set schema.features.flight.type to float" in told(ran.curated, "rejected")[0]

    project.change("datasets/aviation/flights", "flight: {type: int}", "flight: {type: float}")
    project.deliver("day2.csv", project.noon)
    refused = project.run()
    assert not refused.ok
    assert refused.errors == (
        (
            "SchemaError: dataset 'aviation/flights': the schema no longer fits its table (flight from Int64 to "
            "Float64). Run `lakehouse curate aviation/flights --again`: it curates all raw files into a new table, and "
            "every older version stays readable as it was"
        ),
    )
    with project.lake() as lake:
        widened = lake.curate(project.flights, again=True)

    assert (widened.version, widened.curated, widened.rejected) == (1, 4, 0)
    assert flights_column(project) == [1545.0, 12.5, 725.0, 461.0]
    assert project.quarantine() == []
    old = project.read(version=0)["flight"]
    assert (old.dtype, old.to_list()) == (pl.Int64, [1545])


@pytest.mark.parametrize("policy", ["add", "ignore", "reject"])
def test_a_new_column_is_added_ignored_or_refused_as_the_dataset_says_and_always_told(project, policy):
    project.change("datasets/aviation/flights", "", f"new_columns: {policy}")
    project.deliver("day1.csv", project.morning)
    project.run()
    wider = project.noon.replace("dep_delay\n", "dep_delay,tailnum\n").replace("NA\n", "NA,N1\n")
    project.deliver("day2.csv", wider.replace("-6\n", "-6,N2\n"))

    ran = project.run()

    message = {
        "add": "new in 'day2.csv': taken along as text",
        "ignore": "new in 'day2.csv': left out, kept in the raw file",
        "reject": "'day2.csv' has columns the schema does not know: 'tailnum'. Add them to the schema of "
        "'aviation/flights', or set new_columns to add or ignore",
    }[policy]
    assert told(ran.curated, "refused" if policy == "reject" else "new_column") == [message]
    assert ran.ok == (policy != "reject")
    rows = project.read()
    assert rows.height == (2 if policy == "reject" else 4)
    if policy == "add":
        assert rows["tailnum"].to_list() == [None, None, "N1", "N2"]
        assert "tailnum" not in project.read(version=0).columns
    else:
        assert "tailnum" not in rows.columns


def test_a_required_column_that_is_renamed_is_refused_with_the_nearest_name(project):
    project.deliver("day1.csv", project.morning.replace("carrier", "carier"))
    project.deliver("day2.csv", project.noon)

    ran = project.run()

    assert not ran.ok
    assert told(ran.curated, "refused") == ["'day1.csv' lacks the required column 'carrier'. Did you mean 'carier'?"]
    assert flights_column(project) == [725, 461]


def test_an_optional_column_that_is_missing_gives_nulls_and_is_told(project):
    project.deliver("day1.csv", project.morning.replace("dep_delay", "delay"))

    ran = project.run()

    assert ran.ok
    assert told(ran.curated, "missing_column") == ["not in 'day1.csv': taken as missing"]
    assert project.read()["dep_delay"].to_list() == [None, None]


def test_columns_in_another_order_are_fine(project):
    project.deliver("day1.csv", project.morning)
    project.deliver("day2.csv", "flight,origin,dep_delay,time_hour,carrier\n725,JFK,NA,2013-01-01T12:00:00Z,B6\n")

    ran = project.run()

    assert ran.ok
    assert project.read().select("flight", "carrier", "origin").rows()[-1] == (725, "B6", "JFK")


def test_na_is_missing_only_where_the_schema_says_so(project):
    project.change("datasets/aviation/flights", "carrier: {type: string}", "carrier: {type: string, null_values: []}")
    project.deliver("day1.csv", project.morning.replace("UA", "NA").replace(",-1", ",NA"))

    project.run()

    assert project.read().select("carrier", "dep_delay").rows() == [("NA", 2), ("AA", None)]


def test_integers_with_nulls_stay_integers(project):
    project.deliver("day1.csv", project.noon)

    project.run()

    delays = project.read()["dep_delay"]
    assert (delays.dtype, delays.to_list()) == (pl.Int64, [None, -6])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "day1.csv.gz: truncated gzip stream"),
        (
            lambda whole: whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 4]) + whole[len(whole) // 2 + 1 :],
            "day1.csv.gz: damaged gzip stream",
        ),
    ],
    ids=["truncated", "a flipped bit"],
)
def test_a_damaged_gz_is_refused_by_name_once_and_read_when_it_is_replaced(project, damage, message):
    whole = gzip.compress(days(project, 5000).encode(), mtime=0)
    project.deliver("day1.csv.gz", damage(whole))
    project.deliver("day2.csv", project.noon)

    first, second = project.run(), project.run()

    assert (first.ok, first.curated[0].refused, first.curated[0].curated) == (False, 1, 2)
    assert told(first.curated, "refused") == [f"{message}; replace the file; it is read again when it changes"]
    assert second.ok, "it is said once; later runs are not red for it"
    assert second.curated[0].execution == 0
    assert told(second.curated, "refused") == [
        (
            "still refused: 1 file, as the run that read them said; tried again after a change of configuration, or by "
            "`lakehouse curate aviation/flights --again`"
        )
    ]

    project.deliver("day1.csv.gz", whole)
    mended = project.run()
    assert (mended.ok, mended.curated[0].curated) == (True, 5000)
    assert project.read().height == 5002


def test_a_latin_1_file_where_utf_8_is_expected_has_its_undecodable_rows_quarantined_with_a_hint(project):
    project.deliver("day1.csv", project.morning.replace("UA", "Ü").encode("latin-1"))

    project.run()

    [row] = project.quarantine()
    assert row["reasons"] == ["row: not UTF-8 at byte 22; encoding latin-1?"]
    assert row["text"] == r"2013-01-01T05:00:00Z,\xdc,1545,EWR,2"
    assert flights_column(project) == [1141]

    project.change("sources/flights", "type: csv,", "type: csv, encoding: latin-1,")
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
    assert project.read()["carrier"].to_list() == ["Ü", "AA"]
    assert project.quarantine() == []


def test_a_batch_above_max_rejected_is_refused_whole_and_later_files_are_still_taken(project):
    project.change("datasets/aviation/flights", "", "max_rejected: 10%")
    project.deliver("day1.csv", project.morning.replace("1141", "N1141"))

    refused = project.run()
    project.deliver("day2.csv", project.noon)
    later = project.run()

    assert refused.errors == (
        (
            "SchemaError: dataset 'aviation/flights': 1 of 2 rows were rejected, more than max_rejected (10%) allows; "
            "nothing was appended. Most often: flight: not an int (1); if such values are right, set "
            "schema.features.flight.type to string. Mend the schema, the mapping or the source: 1 file refused, tried "
            "again after a change, or by `lakehouse curate aviation/flights --again`"
        ),
    )
    assert not refused.ok
    assert later.ok
    assert flights_column(project) == [725, 461]
    with project.lake() as lake:
        assert [version.total for version in lake.history(project.flights)] == [2], "nothing of the batch is visible"
    assert project.quarantine() == []

    project.change("datasets/aviation/flights", "max_rejected: 10%", "max_rejected: 50%")
    with project.lake() as lake:
        mended = lake.curate(project.flights, again=True)
    assert (mended.files, mended.curated, mended.rejected) == (2, 3, 1)
    assert flights_column(project) == [1545, 725, 461]
