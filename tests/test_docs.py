"""What the pages show is what happens: every block of README and the guides is run, in order, in a folder of its own.

``python tests/test_docs.py`` writes what really came into the pages, where that differs from what they show.
"""

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import click
import pytest
import yaml

import lakehouse
from lakehouse import Lake, errors, formats
from lakehouse.cli import program
from lakehouse.config.features import FeatureSet
from lakehouse.config.jobs import Job, Retries, Windows
from lakehouse.config.loading import SOURCES, load
from lakehouse.config.models import Dataset, Settings
from lakehouse.config.openlineage import OpenLineage, Transport
from lakehouse.config.validation import HistoryPolicy, Validation
from lakehouse.formats import Format
from lakehouse.schema import (
    NOT_IN_FILES,
    Check,
    Domain,
    Feature,
    Length,
    Limits,
    Presence,
    Ratio,
    RowBounds,
    Rule,
    Schema,
    Unique,
    Valency,
)
from lakehouse.sources import Source

PROJECT = Path(__file__).parents[1]
README, TUTORIAL = PROJECT / "README.md", PROJECT / "docs" / "tutorial.md"
COMMANDS, CONFIGURATION = PROJECT / "docs" / "commands.md", PROJECT / "docs" / "configuration.md"
LINEAGE, VALIDATION = PROJECT / "docs" / "lineage.md", PROJECT / "docs" / "validation.md"
FEATURES = PROJECT / "docs" / "features.md"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.(?:yaml|py))\n")
DIFFERS = (  # from one run to the next
    (r"\b\d+\.\d s\b", "0.0 s"),
    (r'"seconds": [\d.e-]+', '"seconds": 0.0'),
    (r"\b20[2-9]\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "MOMENT"),
    (r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b", "RUN"),
    (r"\bconfiguration [0-9a-f]{12}\b", "configuration HASH"),
    (r"\b([\w/]+):[0-9a-f]{12}$", r"\1:HASH"),
    (r"^wrote (\S+\.html), .*", r"wrote \1, SIZE"),
    (r"\bcode [0-9a-f]{7,40}[^,]*", "code none"),
    (r"\blakehouse \d+\.\d+\.\d+\S*", "lakehouse VERSION"),
)


def same(text):
    """The text without what differs from one run to the next, as lines."""
    lines = []
    for line in text.rstrip().splitlines():
        for pattern, instead in DIFFERS:
            line = re.sub(pattern, instead, line)  # noqa: PLW2901
        lines.append(line.rstrip())
    return lines


def shows(shown, came):
    """Whether the output came as a page shows it; a line that is only ``…`` stands for any number of lines."""
    pattern = "".join("(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + "\n" for line in same(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in same(came))) is not None


@dataclass
class Reader:
    """Somebody who does all that a page shows, in order."""

    folder: Path
    space: dict = field(default_factory=dict)
    printed: str = ""

    def __post_init__(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "PYTEST_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**kept, "PATH": path, "NO_COLOR": "1", "PYTHONWARNINGS": "error"}

    def follow(self, page):
        """Run a page's blocks.

        Returns:
            The page with the output that came in the place of what it shows, where these differ.
        """
        try:
            return BLOCK.sub(lambda block: f"```{block[1]}\n{self._do(block[1], block[2])}```", page)
        finally:
            if "lake" in self.space:
                self.space["lake"].close()

    def _do(self, language, text):
        named = NAMED.match(text)
        if language in ("yaml", "python") and named:
            file = self.folder / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        elif language == "python":
            self._python(text)
        elif language == "text":
            return text if shows(text, self.printed) else self.printed
        elif language == "console":
            return self._console(text)
        return text

    def _python(self, text):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.chdir(self.folder):
            exec(compile(text, "page", "exec"), self.space)
        self.printed = out.getvalue()

    def _console(self, text):
        steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
        if steps[0][0].startswith(("make", "pip")):
            return text
        mark = "=*= done"
        script = "".join(f'{command}\nprintf "%s\\n" "{mark} $?"\n' for command, _ in steps)
        told = subprocess.run(
            ["/bin/sh", "-c", f"exec 2>&1\n{script}pwd"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        ).stdout
        *outputs, here = re.split(rf"{re.escape(mark)} \d+\n", told)
        statuses = [int(status) for status in re.findall(rf"{re.escape(mark)} (\d+)\n", told)]
        self.folder = Path(here.strip())
        lines = []
        for (command, shown), came, status in zip(steps, outputs, statuses, strict=True):
            odd = command.startswith("lakehouse validate") and status == 1 and "Error: " not in came
            assert status == 0 or odd or re.search(r"Error\b", shown), f"$ {command}\n{came}"
            lines.append(f"$ {command}\n{shown if not shown or shows(shown, came) else came}")
        return "".join(lines)


def lay_out(page, folder):
    """What a reader of this page has before the first line: the clone's own lake, data and jobs."""
    for name in ("configs", "jobs", "docs", "data/samples"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    if page == README:
        shutil.copytree(PROJECT / "data/samples/flights", folder / "path/to/your/files")
    return Reader(folder)


def read_through(page, folder):
    """The page as it stands, and as it would stand if it showed what really comes."""
    text = page.read_text("utf-8")
    runs = re.sub(r"^```yaml\n#", "```yml\n#", text, flags=re.MULTILINE) if page == README else text
    return text, lay_out(page, folder).follow(runs).replace("```yml\n#", "```yaml\n#")


PAGES = [README, TUTORIAL, COMMANDS, LINEAGE, VALIDATION, FEATURES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_runs_and_gives_what_the_page_shows(page, tmp_path):
    text, real = read_through(page, tmp_path / "clone")
    assert text == real, f"correct {page.name}, or run: python tests/test_docs.py"


def test_an_output_that_differs_from_the_shown_one_is_noticed(tmp_path):
    page = "```console\n$ echo 1; echo 2\n1\n3\n```\n"
    assert Reader(tmp_path).follow(page) == page.replace("3", "2")
    assert Reader(tmp_path).follow(page.replace("3", "…")) == page.replace("3", "…")
    with pytest.raises(AssertionError, match=r"\$ false"):
        Reader(tmp_path).follow("```console\n$ false\n```\n")


def test_the_dataset_that_readme_shows_is_a_valid_one(tmp_path):
    reader = lay_out(TUTORIAL, tmp_path / "clone")
    (shown,) = (text for language, text in BLOCK.findall(README.read_text("utf-8")) if language == "yaml")
    path = reader.folder / NAMED.match(shown)[1]
    path.write_text(shown, "utf-8")
    with Lake(reader.folder / "configs") as lake:
        assert lake.run("nightly").ok
        assert "gained" in lake.read("aviation/flights").columns


def test_the_demo_runs_and_begins_with_what_readme_shows(tmp_path):
    reader = lay_out(TUTORIAL, tmp_path / "clone")
    told = subprocess.run(
        ["/bin/sh", "docs/demo.sh"],
        cwd=reader.folder,
        env=reader.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert told.stderr == ""
    shown = next(text for _, text in BLOCK.findall(README.read_text("utf-8")) if "$ lakehouse run" in text)
    assert "\n".join(same(shown)) in "\n".join(same(told.stdout))
    assert "nothing new (31 files)" in told.stdout
    assert "the lake is whole" in told.stdout


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in pages():
        named = re.findall(r"^(?:\$ )?make ([a-z]+)|`make ([a-z]+)`", page.read_text("utf-8"), re.MULTILINE)
        assert {target for pair in named for target in pair if target} <= targets, page


def test_every_command_is_a_heading_and_every_heading_a_command_with_its_method():
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", COMMANDS.read_text("utf-8"), re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(program.commands)
    for verb, text in sections.items():
        assert (f"`Lake.{verb}`" in text) == hasattr(Lake, verb), verb
        parameters = [
            one for command in (program.commands[verb], *inner(program.commands[verb])) for one in command.params
        ]
        options = {option for option in parameters if not getattr(option, "hidden", False)}
        for option in (name for parameter in options for name in parameter.opts if name.startswith("--")):
            assert option in text, f"{verb} {option}"
        for option in re.findall(r"`(--[a-z-]+)", text):
            assert option in {name for parameter in parameters for name in parameter.opts}, verb
        for command in inner(program.commands[verb]):
            assert f"`{verb} {command.name}" in text, f"{verb} {command.name}"


def inner(command):
    """The commands of a group."""
    return list(command.commands.values()) if isinstance(command, click.Group) else []


def test_the_examples_of_every_help_keep_their_lines():
    for name, command in program.commands.items():
        told = command.get_help(click.Context(command, info_name=name))
        assert "\\b" not in told, name
        assert told.count("\n    lakehouse ") == inspect.cleandoc(command.help or "").count("\n  lakehouse "), name


def test_every_method_of_a_lake_is_in_the_commands_page():
    methods = {name for name, value in vars(Lake).items() if not name.startswith("_") and name != "close" and value}
    assert {name for name in methods if f"`Lake.{name}`" not in COMMANDS.read_text("utf-8")} == set()


def section(title, level="##"):
    """One section of the configuration's page."""
    pattern = rf"^{level} {re.escape(title)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)"
    return re.search(pattern, CONFIGURATION.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]


def keys_told(text):
    """The keys in the first column of a section's tables, and those of its prose that are `so`."""
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def fields(*models):
    """The names of models' fields."""
    return {
        name for model in models for name in getattr(model, "model_fields", getattr(model, "__pydantic_fields__", {}))
    }


RULES = {*Rule, "min_fraction", "min_count", "min_mass"}  # and what makes one a rule of the batch


@pytest.mark.parametrize(
    ("title", "level", "known"),
    [
        ("lakehouse.yaml", "##", fields(Settings) | {"environments"}),
        ("Datasets", "##", fields(Dataset, Feature, Schema, Validation) - {"name", *NOT_IN_FILES} | RULES),
        ("Schema", "###", fields(Schema)),
        ("Features", "###", fields(Feature) - NOT_IN_FILES.keys()),
        ("Severity and action", "###", RULES),
        ("Validation", "###", fields(Validation)),
        ("Jobs", "##", fields(Job, Windows) - {"name"}),
        ("Feature sets", "##", fields(FeatureSet) - {"name"}),
        ("OpenLineage", "##", fields(OpenLineage, Transport)),
    ],
)
def test_the_configuration_page_has_every_key_and_no_other(title, level, known):
    assert keys_told(section(title, level)) == known


def test_the_configuration_page_has_every_key_of_what_stands_inside_a_key():
    inner = (Domain, Length, Presence, Valency, Unique, Limits, RowBounds, Ratio, Check, HistoryPolicy)
    for words, models in ((section("Datasets"), inner), (section("Jobs"), (Retries, Windows))):
        assert {name for name in fields(*models) if not re.search(rf"\b{name}\b", words)} == set()


def test_the_configuration_page_has_every_key_of_every_source_and_no_other():
    text = section("Sources")
    parts = dict(re.findall(r"^`type: (\w+)`\n(.*?)(?=^`type: |\Z)", text, re.MULTILINE | re.DOTALL))
    assert parts.keys() == SOURCES.keys()
    for kind, dotted in SOURCES.items():
        module, _, name = dotted.rpartition(".")
        assert keys_told(parts[kind]) == fields(getattr(importlib.import_module(module), name)) - fields(Source), kind
    assert {name for name in fields(Source) if f"`{name}`" not in text.partition("`type:")[0]} == set()


def test_the_configuration_page_has_every_key_of_every_format_and_no_other():
    text = section("Formats")
    told = re.findall(r"^\| (`[\w`, ]+`) \| (.*) \|$", text.partition("| type | keys |")[2], re.MULTILINE)
    rows = {kind: keys for kinds, keys in told for kind in re.findall(r"\w+", kinds)}
    assert rows.keys() == formats.FORMATS.keys()
    own = {kind: fields(model) - fields(Format) for kind, model in formats.FORMATS.items()}
    for kind, keys in own.items():
        assert set(re.findall(r"`(\w+)`", rows[kind])) & set().union(*own.values()) == keys, kind
        assert set(re.findall(r"`(\w+)` (?:\(|is )", rows[kind])) <= keys, kind
    assert {name for name in fields(Format) if f"`{name}`" not in text} == set()


def configured(folder, text, last):
    """Write the files that a block of YAML shows.

    Args:
        folder: ``configs/`` of a project.
        text: the block; without a file's name it is a source.
        last: what the page showed as a whole source last; keys alone are keys of one like it.
    """
    named = text if text.startswith("# configs/") else f"# configs/sources/shown.yaml\n{text}"
    for name, shown in re.findall(r"^# configs/(\S+)\n(.*?)(?=^# configs/|\Z)", named, re.MULTILINE | re.DOTALL):
        told = yaml.safe_load(shown)
        if name.startswith("sources/"):
            if "type" in told:
                last.clear()
                last.update(told)
            told = {**last, **told}
        elif "schema" not in told:
            told["schema"] = {"features": {"a": {"type": "string"}}}
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(told), "utf-8")


@pytest.mark.parametrize("page", ["sources", "formats"])
def test_every_yaml_of_the_pages_of_sources_and_formats_is_a_valid_configuration(page, tmp_path):
    text = (PROJECT / "docs" / f"{page}.md").read_text("utf-8")
    text = re.sub(r"\$\{file:[^}]*\}", "${FILE}", text)
    secrets = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", text), "secret")
    last, folder = {"type": "files", "path": "incoming/*"}, tmp_path / "configs"
    shown = [block for language, block in BLOCK.findall(text) if language == "yaml"]
    assert len(shown) > 5
    for block in shown:
        if not block.startswith("# configs/datasets"):  # it goes with the source before it
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "lakehouse.yaml").write_text("root: data\n", "utf-8")
        configured(folder, block, last)
        config = load(folder, environ=secrets)
        assert config.sources


def test_the_source_of_ones_own_is_the_same_in_both_pages():
    own = [
        block
        for page in (TUTORIAL, PROJECT / "docs" / "sources.md")
        for _, block in BLOCK.findall(page.read_text("utf-8"))
        if block.startswith("# jobs/years.py")
    ]
    assert len(own) == 2
    assert len(set(own)) == 1


def pages():
    """Every page of the project."""
    found = (page.relative_to(PROJECT) for page in PROJECT.rglob("*.md"))
    hidden = {"node_modules", "dist", "build"}
    kept = [page for page in found if not any(part.startswith(".") or part in hidden for part in page.parts)]
    assert len(kept) > 10
    return [PROJECT / page for page in kept]


def anchors(page):
    """The places in a page that a link can name."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_pages_leads_somewhere():
    for page in pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text("utf-8"))):
            if link.startswith(("http://", "https://", "mailto:")):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page}: {link}"
            assert not anchor or anchor in anchors(target), f"{page}: {link}"


def lacks_an_extra(told):
    """A module may refuse to be imported where an extra that it names is not installed, and only there."""
    named = re.search(r"pip install 'lakehouse\[(\w+)\]'", told)
    assert named, told
    needs = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"][named[1]]
    with pytest.raises(metadata.PackageNotFoundError):
        [metadata.version(re.match(r"[\w-]+", need)[0]) for need in needs]


def test_the_public_names_are_there():
    functions = ["generate_statistics", "infer_schema", "update_schema", "validate_statistics"]
    assert lakehouse.__all__ == ["Lake", "Schema", "Statistics", *functions]
    for found in pkgutil.walk_packages(lakehouse.__path__, "lakehouse."):
        if not found.name.endswith("__main__"):
            try:
                module = importlib.import_module(found.name)
            except ImportError as error:
                lacks_an_extra(str(error))
                continue
            assert {name for name in getattr(module, "__all__", ()) if not hasattr(module, name)} == set(), found.name


def test_the_map_of_the_ledgers_modules_in_its_docstring_is_the_real_one():
    lines = re.findall(r"^    (\w+(?:, \w+)*)  ", lakehouse.metadata.__doc__, re.MULTILINE)
    place = {name: at for at, line in enumerate(lines) for name in line.split(", ")}
    assert place.keys() == {found.name for found in pkgutil.iter_modules(lakehouse.metadata.__path__)}
    package = Path(lakehouse.metadata.__file__).parent
    for path in set(package.rglob("*.py")) - {package / "__init__.py"}:
        own = path.relative_to(package).parts[0].removesuffix(".py")
        text = path.read_text("utf-8")
        together = "".join(re.findall(r"^from lakehouse\.metadata import ([^(]*?|\([^)]*\))$", text, re.MULTILINE))
        used = {*re.findall(r"^from lakehouse\.metadata\.(\w+)", text, re.MULTILINE), *re.findall(r"\w+", together)}
        assert {name for name in used if place[name] < place[own]} == set(), path


def test_the_tree_of_errors_in_the_docstring_is_the_real_one():
    tree, above = {}, []
    for marks, name in re.findall(r"^    ( *[+-] |)(\w+Error)\b", errors.__doc__, re.MULTILINE):
        del above[max(0, len(marks) - 2) // 2 :]
        tree[name] = above[-1] if above else "Exception"
        above.append(name)
    real = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")}
    assert tree == {name: kind.__base__.__name__ for name, kind in real.items()}


if __name__ == "__main__":
    for chosen in (README, TUTORIAL, COMMANDS, LINEAGE, VALIDATION):
        with tempfile.TemporaryDirectory() as scratch:
            before, after = read_through(chosen, Path(scratch) / "clone")
        if before != after:
            chosen.write_text(after, "utf-8")
            print(f"corrected {chosen}")  # noqa: T201
