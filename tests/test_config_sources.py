"""What a dataset says of its sources and code tables, and what of that is refused before anything runs."""

import pytest

from lakehouse import config
from lakehouse.config import Feed
from lakehouse.errors import ConfigError

FLIGHTS = "aviation/flights"
HEAD = (
    "schema:\n  features:\n    x: {type: float}\n    kind: {type: string}\n    y: {type: float, presence: optional}\n"
)


@pytest.fixture
def said(project):
    """Configures the flights with three sources to name and a dataset of kinds; what is read, or the problems."""
    for name in ("north", "south"):
        project.configure(f"sources/{name}", "type: files\npath: incoming/*\nformat: csv")
    kinds = "source: north\nschema:\n  features: {code: {type: string}, name: {type: string}, rank: {type: int}}"
    project.configure("datasets/reference/kinds", kinds)

    def read(text, head=HEAD):
        project.configure(f"datasets/{FLIGHTS}", f"{text}\n{head}")
        return config.load(project.folder / "configs", environ={}).datasets[FLIGHTS]

    return read


def test_the_source_own_entries_win_over_those_said_for_all(said):
    dataset = said(
        "rename: {a: x, k: kind}\nderive: {y: x * 2}\ncurate: jobs.f.g\n"
        "sources:\n  north:\n  south: {rename: {b: x}, derive: {y: x * 3}, curate: jobs.s.g}"
    )
    assert dataset.source_names == ("north", "south")
    assert dataset.source == ""
    north, south = dataset.of("north"), dataset.of("south")
    assert (north.source, north.rename, north.derive, north.curate) == (
        "north", {"a": "x", "k": "kind"}, {"y": "x * 2"}, "jobs.f.g",
    )  # fmt: skip
    assert (south.source, south.rename, south.derive, south.curate) == (
        "south", {"k": "kind", "b": "x"}, {"y": "x * 3"}, "jobs.s.g",
    )  # fmt: skip
    assert dataset.sources["north"] == Feed()
    with pytest.raises(KeyError):
        dataset.of("flights")


def test_a_dataset_of_one_source_has_the_same_hash_however_that_is_said(said, project):
    short = said("source: north\nrename: {a: x}\nderive: {y: x * 2}")
    source = config.load(project.folder / "configs", environ={}).source("north")
    one = said("rename: {a: x}\nsources: {north: {derive: {y: x * 2}}}").of("north")
    two = said("rename: {a: x}\nderive: {y: x * 2}\nsources: {south: {rename: {b: x}}, north: }")
    assert short.fingerprint(source) == one.fingerprint(source) == two.of("north").fingerprint(source)
    assert two.of("south").fingerprint(source) != short.fingerprint(source)
    assert two.schema.features["y"].computed
    assert not said("sources: {south: {derive: {y: x * 2}}, north: }").schema.features["y"].computed


def test_an_expression_over_its_own_feature_converts_it_and_reads_the_file(said):
    dataset = said("source: north\nderive: {x: (x - 32) * 5 / 9, y: x * 2}")
    assert not dataset.schema.features["x"].computed
    assert dataset.schema.features["y"].computed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("source: north\nsources: {south: }", "sources: source and sources are both set"),
        ("", "source: is required and missing"),
        ("sources: {}", "source: is required and missing"),
        ("sources: {nort: }", "sources.nort: there is no source 'nort'. Did you mean 'north'?"),
        ("sources: {north: {renam: {a: x}}}", "sources.north.renam: unknown key. Did you mean 'rename'?"),
        ("sources: [north]", "sources: "),
        ("sources: {north: {rename: {a: z}}}", "sources.north.rename.a: 'z' is not a feature"),
        (
            "sources: {north: , south: {derive: {y: z * 2}}}",
            "sources.south.derive.y: reads 'z', which is not a feature",
        ),
        (
            "derive: {y: x * 2}\nsources: {north: , south: {derive: {x: y * 2}}}",
            "write that expression out here (as source 'south' is mapped)",
        ),
        ("source: north\nderive: {x: x + y, y: y + x}", "derive.x: reads 'y', which is derived itself"),
        ("sources: {north: {columns: {x: [y]}}}", "sources.north.columns: says what the function"),
        ("history: snapshots\nkeys: [kind]\nsources: {north: , south: }", "sources: a snapshot is the full picture"),
        (
            "source: north\ncodes: {kind: {dataset: reference/kind, from: code, to: name}}",
            "codes.kind.dataset: there is no dataset 'reference/kind'. Did you mean 'reference/kinds'?",
        ),
        (
            "sources: {north: {codes: {kind: {dataset: reference/kinds, from: cod, to: name}}}}",
            "sources.north.codes.kind.from: 'cod' is not a feature of 'reference/kinds'. Did you mean 'code'?",
        ),
        (
            "source: north\ncodes: {kind: {dataset: reference/kinds, from: code, to: rank}}",
            "codes.kind.to: 'rank' of 'reference/kinds' is int, and 'kind' is string",
        ),
        (
            "source: north\ncodes: {kind: {dataset: aviation/flights, from: kind, to: kind}}",
            "codes.kind.dataset: is this dataset itself",
        ),
        (
            "source: north\ncodes: {kinds: {dataset: reference/kinds, from: code, to: name}}",
            "codes.kinds: 'kinds' is not a",
        ),
        (
            "source: north\nderive: {y: x * 2}\ncodes: {y: {dataset: reference/kinds, from: code, to: name}}",
            "codes.y: 'y' is computed",
        ),
        (
            "source: north\ncodes: {kind: {dataset: reference/kinds, to: name}}",
            "codes.kind.from: is required and missing",
        ),
    ],
)
def test_what_contradicts_itself_is_told_under_its_key(said, text, problem):
    with pytest.raises(ConfigError) as caught:
        said(text)
    assert f"{FLIGHTS}.yaml" in str(caught.value)
    assert problem in str(caught.value)


def test_code_tables_that_look_each_other_up_are_a_cycle(said, project):
    kinds = (
        "source: north\ncodes: {code: {dataset: aviation/flights, from: kind, to: kind}}\n"
        "schema:\n  features: {code: {type: string}, name: {type: string}}"
    )
    project.configure("datasets/reference/kinds", kinds)
    with pytest.raises(ConfigError, match=r"cycle|round|itself"):
        said("source: north\ncodes: {kind: {dataset: reference/kinds, from: code, to: name}}")
