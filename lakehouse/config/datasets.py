"""A dataset's schema as the YAML a person would have written, and changes to the file that holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lakehouse.config import yaml
from lakehouse.config.checks import dataset_problems
from lakehouse.config.editing import Edit, edited, replaced
from lakehouse.config.flow import block
from lakehouse.config.models import Config, Dataset
from lakehouse.config.problems import File, Problems
from lakehouse.errors import ConfigError
from lakehouse.schema import Schema
from lakehouse.storage import refused

__all__ = ["change_dataset", "dataset_file", "schema_text"]

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_SPREAD = ("features", "domains", "checks")


def schema_text(schema: Schema) -> str:
    """The ``schema:`` of a dataset's file: a line a feature where it fits, what is at its default left out."""
    lines = ["schema:"]
    for key, value in schema.plain().items():
        if key in _SPREAD:
            lines.append(f"  {key}:")
            lines += [line for name, inner in value.items() for line in block(name, inner, "    ")]
        else:
            lines += block(key, value, "  ")
    return "\n".join(lines) + "\n"


def dataset_file(name: str, config: Config) -> str:
    """Where a dataset's file lies, as messages name it."""
    return (config.folder / "datasets" / f"{name}.yaml").relative_to(config.project).as_posix()


def change_dataset(config: Config, name: str, edits: Sequence[Edit]) -> Dataset:
    """Change keys of a dataset's file and nothing else of it; all of them, or none.

    Args:
        config: the configuration that the file is of.
        name: the dataset.
        edits: the changes.

    Returns:
        The dataset as its file says now; ``config`` still holds it as it was.

    Raises:
        ConfigError: the file cannot be changed safely, or would contradict itself; nothing was written.
        StorageError: the disk refused.
    """
    path, shown = config.folder / "datasets" / f"{name}.yaml", dataset_file(name, config)
    with refused(f"reading {shown}"), _alone(path.parent):
        before = path.read_bytes()
        try:
            text = before.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"{shown}: not UTF-8; save the file as UTF-8") from None
        mark = _MARK if text.startswith(_MARK) else ""
        after = mark + edited(text.removeprefix(_MARK), edits, shown)
        changed = _checked(after.removeprefix(_MARK), name, shown)
        if after != text:
            replaced(path, before, after.encode(), shown)
    return changed


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else changes a file of the folder so; an editor's hand is not held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _checked(text: str, name: str, shown: str) -> Dataset:
    """The dataset that a text describes.

    Raises:
        ConfigError: it contradicts itself.
    """
    file, problems = File(shown, yaml.parse(text)), Problems()
    dataset = problems.value(Dataset, {**file.document.data, "name": name}, file)
    if dataset is not None:
        for path, what in dataset_problems(dataset):
            problems.add(file, file.as_written(path), what)
    problems.raise_any(str, where=f"{shown} as it would be", undone="nothing was written")
    if dataset is None:
        raise ConfigError(f"{shown}: holds no dataset")
    return dataset
