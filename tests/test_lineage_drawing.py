"""A lineage as Mermaid, as Graphviz and on the command line: whatever the labels are, the drawing stays well-formed."""

import html
import json
import re

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.cli import program
from lakehouse.lineage import Cut, Edge, Lineage, Node
from lakehouse.records import printable

NASTY = [
    'a"b[c]{d}(e)<f>&g;#h|i`j\\k',
    "style x:#fff;",
    "classDef a:#35;b",
    '%%{init: {"theme":"dark"}}%%',
    "#quot; &amp; &#35;",
    '"`md`"',
    "\\n \\N \\G \\l \\",
    "a\nb\x00c\u202ed",
    "n1 --> n2",
    "end",
    "é😀 ü",
    "",
]
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=30))

MERMAID_NODE = re.compile(r'  ([nc]\d+)\["((?:[^"#\\\n]|#\d+;)*)"\]')
MERMAID_EDGE = re.compile(r'  ([nc]\d+) (?:-->|-\.->)(?:\|"((?:[^"#\\\n]|#\d+;)*)"\|)? ([nc]\d+)')
DOT_NODE = re.compile(r'  ([nc]\d+) \[label="((?:[^"\\\n]|\\["\\])*)"(?:, style=bold|, shape=plain)?\];')
DOT_EDGE = re.compile(r'  ([nc]\d+) -> ([nc]\d+)(?: \[(?:label="((?:[^"\\\n]|\\["\\])*)"|style=dashed)\])?;')


def chain(texts):
    """A node a text, each made of the one before, with the text on its edge; something left out at the first."""
    nodes = tuple(Node("K", f"id{n}", text) for n, text in enumerate(texts))
    edges = tuple(Edge(f"id{n}", f"id{n + 1}", text) for n, text in enumerate(texts[1:]))
    return Lineage(("id0",), nodes, edges, (Cut("id0", "up", "RawFile", 12),))


def from_mermaid(text):
    return re.sub(r"#(\d+);", lambda number: chr(int(number[1])), text)


def from_dot(text):
    return html.unescape(re.sub(r"\\(.)", r"\1", text.replace("\\\\", "\\\\")))


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_mermaid_holds_every_label_and_nothing_else_of_it(texts):
    first, *lines = chain(texts).to_mermaid().split("\n")
    assert first == "flowchart LR"
    nodes = [MERMAID_NODE.fullmatch(line) for line in lines[: len(texts)]]
    assert [(node[1], from_mermaid(node[2])) for node in nodes] == [
        (f"n{n}", printable(t)) for n, t in enumerate(texts)
    ]
    edges = [MERMAID_EDGE.fullmatch(line) for line in lines[len(texts) : -2]]
    assert [(e[1], e[3], from_mermaid(e[2] or "")) for e in edges] == [
        (f"n{n}", f"n{n + 1}", printable(text)) for n, text in enumerate(texts[1:])
    ]
    assert lines[-2:] == ['  c0["#8230; 12 more RawFile"]'.replace("#8230;", "…"), "  c0 -.-> n0"]


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_graphviz_holds_every_label_and_nothing_else_of_it(texts):
    head, *lines, end = chain(texts).to_dot().split("\n")
    assert (head, lines[:2], end) == ("digraph lineage {", ["  rankdir=LR;", "  node [shape=box];"], "}")
    nodes = [DOT_NODE.fullmatch(line) for line in lines[2 : 2 + len(texts)]]
    assert [(node[1], from_dot(node[2])) for node in nodes] == [(f"n{n}", printable(t)) for n, t in enumerate(texts)]
    edges = [DOT_EDGE.fullmatch(line) for line in lines[2 + len(texts) : -2]]
    assert [(e[1], e[2], from_dot(e[3] or "")) for e in edges] == [
        (f"n{n}", f"n{n + 1}", printable(text)) for n, text in enumerate(texts[1:])
    ]
    assert lines[-2:] == ['  c0 [label="… 12 more RawFile", shape=plain];', "  c0 -> n0 [style=dashed];"]


def test_json_is_json_whatever_a_user_stored():
    properties = {"auc": float("nan"), "loss": float("inf"), "layers": [1, {"deep": float("-inf")}], "ok": True}
    found = Lineage(("x",), (Node("Model", "x", "Model x", properties),), ())

    def refuse(constant):
        raise AssertionError(constant)

    value = json.loads(found.to_json(), parse_constant=refuse)
    assert value["nodes"][0]["properties"] == {"auc": "nan", "loss": "inf", "layers": [1, {"deep": "-inf"}], "ok": True}


@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]), max_size=16),
    st.sets(st.integers(0, 7)),
    st.integers(0, 7),
)
def test_hiding_nodes_keeps_every_path_between_the_others(pairs, shown, focus):
    nodes = tuple(Node("Shown" if n in shown else "Hidden", str(n), f"{n}") for n in range(8))
    edges = tuple(Edge(str(a), str(b), "how") for a, b in sorted(pairs))
    cut = tuple(Cut(str(n), "down", "Shown", 1) for n in range(8))
    found = Lineage((str(focus),), nodes, edges, cut).only({"Shown"})
    kept = shown | {focus}
    expected = set()
    for start in kept:
        todo = [start]
        while todo:
            one = todo.pop()
            for end in (b for a, b in pairs if a == one):
                (expected.add((start, end)) if end in kept else todo.append(end))
    assert {node.id for node in found.nodes} == {str(n) for n in kept}
    assert {(int(edge.source), int(edge.target)) for edge in found.edges} == expected
    assert {edge.label for edge in found.edges if (int(edge.source), int(edge.target)) in pairs} <= {"how"}
    assert {int(one.node) for one in found.cut} == kept


@pytest.fixture(scope="module")
def trained(tmp_path_factory, new_project):
    """A version of two raw files, and a model of it."""
    project = new_project(tmp_path_factory.mktemp("drawing") / "project")
    project.deliver("a.csv", project.morning)
    project.deliver("b.csv", project.noon)
    project.run()
    with project.lake() as lake, lake.execution("Train", inputs=["aviation/flights"]) as run:
        run.output("Model", "s3://models/1", name="churn")
    return project


def command(project, *arguments):
    done = CliRunner().invoke(program, ["lineage", "--configs", str(project.folder / "configs"), *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_writes_every_format(trained):
    with trained.lake() as lake:
        found = lake.lineage("Model:churn")
    assert command(trained, "Model:churn") == (0, f"{found}\n", "")
    assert command(trained, "Model:churn", "--format", "json") == (0, f"{found.to_json()}\n", "")
    assert command(trained, "Model:churn", "--json") == (0, f"{found.to_json()}\n", "")
    assert command(trained, "Model:churn", "--format", "mermaid") == (0, f"{found.to_mermaid()}\n", "")
    assert command(trained, "Model:churn", "--format", "dot") == (0, f"{found.to_dot()}\n", "")


def test_the_command_takes_every_bound(trained):
    with trained.lake() as lake:
        kinds = lake.lineage("aviation/flights", types=["RawFile", "Model"], direction="up")
        near = lake.lineage("aviation/flights", hops=1, since="2026-01-01T00:00:00Z", limit=10)
        few = lake.lineage("aviation/flights", limit=1, until="2027-01-01T00:00:00Z")
    assert command(trained, "aviation/flights", "--type", "RawFile", "--type", "Model", "--up")[1] == f"{kinds}\n"
    assert command(trained, "aviation/flights", "--hops", "1", "--since", "2026-01-01T00:00:00Z")[1] == f"{near}\n"
    told = command(trained, "aviation/flights", "--limit", "1", "--until", "2027-01-01T00:00:00Z")[1]
    assert told == f"{few.tree(1)}\n"
    assert "… 1 more RawFile" in told


def test_the_command_tells_impact_and_causes(trained):
    with trained.lake() as lake:
        impact = lake.lineage("execution:2", direction="down").impact()
    assert impact.shown
    assert command(trained, "execution:2", "--impact") == (0, f"{impact}\n", "")
    assert command(trained, "execution:2", "--impact", "--json")[1] == f"{impact.to_json()}\n"
    status, _, told = command(trained, "aviation/flights", "--against", "7")
    assert (status, "no version 7" in told) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--impact", "--format", "dot"],
        ["--against", "0", "--format", "mermaid"],
        ["--impact", "--up"],
        ["--impact", "--against", "0"],
        ["--hops", "-1"],
        ["--limit", "0"],
        ["--format", "svg"],
        ["--type", "Modle"],
        ["--since", "soon"],
    ],
)
def test_options_that_cannot_go_together_or_say_nothing_are_usage_errors(trained, arguments):
    assert command(trained, "aviation/flights", *arguments)[0] == 2
