"""What is proposed where a column's texts do not fit its type."""

import pytest

from lakehouse import Lake


def proposed(project, texts):
    """The end of the note about a batch with these flight numbers."""
    rows = "".join(f"2013-01-01T05:00:00Z,UA,{text},EWR,2\n" for text in ["1", *texts])
    project.deliver("1.csv", project.header + rows)
    [curated] = project.run().curated
    [note] = [note.message for note in curated.notes if note.kind == "rejected"]
    return note.partition("; if ")[2].partition(". `lakehouse")[0]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["n/a"], '\'n/a\' means that the value is missing, set schema.features.flight.null_values to ["NA", "n/a"]'),
        (["-"] * 2 + ["None"] * 3, "'None' and '-' mean that the value is missing, set"),
        (["ukjent"] * 3, "'ukjent' means that the value is missing, set"),
        (["unknown"] * 19 + ["N725"], "'unknown' means that the value is missing, set"),
        (["unknown"] * 8 + ["N725", "N726"], "such values are right, set schema.features.flight.type to string"),
        (["n/a", "-", "N725"], "such values are right, set schema.features.flight.type to string"),
        (["many"], "such values are right, set schema.features.flight.type to string"),
        (["N725"] * 5, "such values are right, set schema.features.flight.type to string"),
        (["12.5"] * 5, "such values are right, set schema.features.flight.type to float"),
    ],
)
def test_placeholders_are_null_values_and_all_else_is_another_type(project, texts, says):
    assert proposed(project, texts).startswith(says)


def test_what_is_proposed_takes_the_rows_in(project):
    told = proposed(project, ["-", "n/a", "-"])
    project.change(
        f"datasets/{project.flights}",
        "flight: {type: int}",
        f"flight: {{type: int, null_values: {told.split(' to ')[1]}",
    )
    project.change(f"datasets/{project.flights}", '"n/a"]', '"n/a"], presence: optional}')
    with Lake(project.folder / "configs") as lake:
        assert lake.curate(project.flights, again=True).rejected == 0


def test_a_bool_keeps_its_words(project):
    project.change(f"datasets/{project.flights}", "flight: {type: int}", "flight: {type: bool}")
    assert proposed(project, ["ja"] * 5) == "such values are right, set schema.features.flight.type to string"
