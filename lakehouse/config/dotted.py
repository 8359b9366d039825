"""Loads users' own Python by dotted path, from the project's folder first."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from lakehouse.config.models import Config, Dataset
from lakehouse.errors import ConfigError, nearest
from lakehouse.formats import FORMATS, Format

__all__ = ["curate_function", "format_class", "load_functions", "load_object", "recorded_format"]

_LOCK = threading.Lock()
_PLACES: list[str] = []
"""Projects put on the import path; only the newest stays there."""


def load_object(dotted: str, project: Path) -> Any:
    """The object a dotted path names: ``jobs.aviation.flights.curate``.

    Args:
        dotted: module and name.
        project: the folder that holds the users' packages.

    Raises:
        ConfigError: no such module or name, or importing it failed.
    """
    name, _, attribute = dotted.rpartition(".")
    if not all(part.isidentifier() for part in dotted.split(".")) or not name:
        raise ConfigError(f"'{dotted}' is not a dotted path (package.module.name)")
    with _LOCK:
        module = _module(name, dotted, project)
    try:
        return getattr(module, attribute)
    except AttributeError:
        hint = nearest(attribute, (known for known in vars(module) if not known.startswith("_")))
        raise ConfigError(f"'{dotted}': the module {name} has no '{attribute}'.{hint}") from None


def format_class(name: str, project: Path) -> type[Format]:
    """The class of a format: one of the lake's by its name, the user's own by its dotted path.

    Raises:
        ConfigError: there is none.
    """
    kind: object = FORMATS.get(name)
    if kind is None and "." in name:
        kind = load_object(name, project)
    if not (isinstance(kind, type) and issubclass(kind, Format)):
        raise ConfigError(f"there is no format '{name}'.{nearest(name, FORMATS)}")
    return kind


def recorded_format(values: Mapping[str, Any], project: Path) -> Format:
    """A format as a `Schema` artifact tells it.

    Raises:
        ConfigError: it is the user's own, and its class is gone.
    """
    return format_class(str(values["type"]), project).model_validate(dict(values))


def curate_function(dataset: Dataset, project: Path) -> Callable[[Any], Any] | None:
    """The dataset's own function, loaded; None for a dataset without one.

    Raises:
        ConfigError: it cannot be loaded or is not a function.
    """
    if dataset.curate is None:
        return None
    try:
        function = load_object(dataset.curate, project)
    except ConfigError as error:
        raise ConfigError(f"dataset {dataset.name}: curate: {error}") from error
    if not callable(function):
        raise ConfigError(f"dataset {dataset.name}: curate: '{dataset.curate}' is not a function")
    return function  # type: ignore[no-any-return]  # callable() cannot say what it gives


def load_functions(config: Config, datasets: Iterable[str]) -> None:
    """Load the functions of datasets, so that one that cannot be is told before anything runs.

    Raises:
        ConfigError: some cannot be loaded; says all of them.
    """
    wrong = []
    for name in datasets:
        dataset = config.dataset(name)
        for one in [dataset.of(source) for source in dataset.source_names] or [dataset]:
            try:
                curate_function(one, config.project)
            except ConfigError as error:
                wrong.append(str(error))
    if wrong:
        raise ConfigError("; ".join(dict.fromkeys(wrong)))


def _module(name: str, dotted: str, project: Path) -> ModuleType:
    while _PLACES:
        # Only the entry made here goes: the folder may stand in the path for reasons of its own.
        with contextlib.suppress(ValueError):
            sys.path.remove(_PLACES.pop())
    _PLACES.append(str(project))
    _forget_another_projects(name.partition(".")[0], project)
    sys.path.insert(0, str(project))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(f"'{dotted}': there is no module '{error.name}' in the project or installed") from None
        raise ConfigError(f"'{dotted}': importing {name} failed: {error}") from error
    except Exception as error:  # users' code may raise anything while it is imported
        raise ConfigError(f"'{dotted}': importing {name} failed: {type(error).__name__}: {error}") from error


def _forget_another_projects(top: str, project: Path) -> None:
    """Unload a package of that name which came from elsewhere, when this project has its own."""
    if not ((project / top).is_dir() or (project / f"{top}.py").is_file()):
        return
    loaded = {name: module for name, module in sys.modules.items() if name == top or name.startswith(top + ".")}
    files = [Path(file) for module in loaded.values() if (file := getattr(module, "__file__", None))]
    if all(file.is_relative_to(project / top) or file == project / f"{top}.py" for file in files):
        return
    for name in loaded:
        del sys.modules[name]
