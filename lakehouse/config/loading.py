"""Reads a configuration's folder: every file, one after the other, then what ties them together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from lakehouse import formats
from lakehouse.config import yaml
from lakehouse.config.checks import code_problems, dataset_problems
from lakehouse.config.derived import cycles, input_problems
from lakehouse.config.dotted import format_class, load_object
from lakehouse.config.feature_sets import feature_problems
from lakehouse.config.features import FeatureSet
from lakehouse.config.jobs import Job, job_problems
from lakehouse.config.models import Config, Dataset, Settings
from lakehouse.config.openlineage import OpenLineage
from lakehouse.config.problems import File, Problems
from lakehouse.config.reading import laid
from lakehouse.config.secrets import Secrets
from lakehouse.errors import ConfigError, nearest
from lakehouse.formats import Format
from lakehouse.sources import Source

__all__ = ["load"]

SOURCES = {
    "files": "lakehouse.sources.files.FilesSource",
    "http": "lakehouse.sources.http.HttpSource",
    "singer": "lakehouse.sources.singer.SingerSource",
    "push": "lakehouse.sources.push.PushSource",
    "sql": "lakehouse.sources.sql.SqlSource",
    "objects": "lakehouse.sources.objects.ObjectsSource",
    "sftp": "lakehouse.sources.sftp.SftpSource",
}
"""The kinds of source that come with the lake, by the ``type`` that picks them."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_ZONES = ("raw", "curated", "quarantine", "statistics", "features")
_FOLDERS = ("sources", "datasets", "jobs", "features")
_DATABASES = ("sqlite", "mysql+pymysql", "postgresql+psycopg")
_ONLINE = ("sqlite", "redis", "rediss")


def load(folder: Path | str, env: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration.

    Args:
        folder: the configuration's folder (``configs``).
        env: which of ``environments`` to lay over the settings; else ``LAKEHOUSE_ENV`` says.
        environ: the environment variables.

    Raises:
        ConfigError: something is wrong; the message lists all that is, each with file, line and key.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # not resolve(): a linked project stays where its user sees it
    if not folder.is_dir():
        raise ConfigError(f"there is no configuration folder '{folder}'; 'lakehouse init' makes one")
    return _Loading(folder, env or environ.get("LAKEHOUSE_ENV") or None, environ).load()


class _Loading:
    """One reading of one folder."""

    def __init__(self, folder: Path, env: str | None, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._project = folder.parent
        self._env = env
        self._problems = Problems()
        self._secrets = Secrets(environ, self._project, self._problems)
        self._files: dict[str, dict[str, File]] = {kind: {} for kind in _FOLDERS}

    def load(self) -> Config:
        settings, settings_file = self._settings()
        self._unknown_files()
        root = self._root(settings.root, settings_file)
        sources = self._sources(tuple(root / zone for zone in _ZONES), settings.timezone)
        datasets = self._datasets()
        jobs = self._jobs(settings.timezone)
        feature_sets = self._feature_sets()
        self._references(datasets, sources)
        self._job_references(jobs, sources, settings.pools)
        self._feature_references(feature_sets, datasets)
        metadata = self._metadata(settings.metadata, root, settings_file)
        self._hide_openlineage(settings.openlineage)
        online = self._online(settings.online, root, settings_file)
        self._problems.raise_any(self._secrets.redact)
        return Config(
            folder=self._folder,
            root=root,
            metadata=SecretStr(metadata),
            env=self._env,
            timezone=settings.timezone,
            batch_bytes=settings.batch_bytes,
            openlineage=settings.openlineage,
            sources=sources,
            datasets=datasets,
            jobs=jobs,
            feature_sets=feature_sets,
            online=SecretStr(online),
            pools=settings.pools,
            redact=self._secrets.redact,
        )

    def _read(self, path: Path, *, allow_empty: bool = False) -> File | None:
        name = path.relative_to(self._project).as_posix()
        try:
            return File(name, yaml.read(path, allow_empty=allow_empty))
        except yaml.YamlError as error:
            self._problems.add(name, (), str(error), error.line)
        except OSError as error:
            self._problems.add(name, (), f"cannot be read: {error.strerror}")
        return None

    def _settings(self) -> tuple[Settings, File | None]:
        path = self._folder / "lakehouse.yaml"
        file = (
            self._read(path, allow_empty=True)
            if path.exists()
            else File(f"{self._folder.name}/{path.name}", yaml.Document({}, {}))
        )
        if file is None:
            return Settings(), None
        data = dict(file.document.data)
        environments = data.pop("environments", None) or {}
        overlay: dict[str, Any] = {}
        if not isinstance(environments, dict):
            self._problems.add(file, ("environments",), "must be a mapping (name: {key: value})")
        else:
            overlay = self._overlay(environments, file)
        # The environment's values stand elsewhere in the file: each key is looked up where it came from.
        laid = {**data, **overlay}
        filled = {
            key: self._secrets.fill(value, file, ("environments", self._env or "", key) if key in overlay else (key,))
            for key, value in laid.items()
        }
        self._problems.unfilled |= {
            (name, path[2:]) for name, path in self._problems.unfilled if path[:1] == ("environments",)
        }
        shown = File(file.name, yaml.Document(laid, self._lines(file, overlay)))
        settings = self._problems.value(Settings, filled, shown)
        root = filled.get("root")
        # With another key wrong, the root is still looked at.
        return settings or Settings(root=root if isinstance(root, str) and root else "data"), shown

    def _overlay(self, environments: dict[str, Any], file: File) -> dict[str, Any]:
        for name, values in environments.items():
            if not isinstance(values, dict):
                self._problems.add(file, ("environments", name), "must be a mapping (key: value)")
                continue
            for key in values.keys() - Settings.model_fields.keys():
                hint = nearest(key, Settings.model_fields)
                self._problems.add(file, ("environments", name, key), f"unknown key.{hint}")
        if self._env is None:
            return {}
        if self._env not in environments:
            hint = nearest(self._env, environments) or " lakehouse.yaml has no environments."
            self._problems.add(file, ("environments",), f"there is no environment '{self._env}'.{hint}")
            return {}
        chosen = environments[self._env]
        return {k: v for k, v in chosen.items() if k in Settings.model_fields} if isinstance(chosen, dict) else {}

    def _lines(self, file: File, overlay: Mapping[str, Any]) -> dict[tuple[str | int, ...], int]:
        lines = dict(file.document.lines)
        prefix = ("environments", self._env or "")
        for path, line in file.document.lines.items():
            if path[:2] == prefix and len(path) > 2 and path[2] in overlay:
                lines[path[2:]] = line
        return lines

    def _unknown_files(self) -> None:
        known = (*_FOLDERS, "lakehouse.yaml")
        for entry in sorted(self._folder.iterdir()):
            odd = entry.is_dir() or entry.suffix in (".yaml", ".yml")
            if odd and entry.name not in known and not entry.name.startswith((".", "_")):
                name = entry.relative_to(self._project).as_posix()
                self._problems.add(name, (), f"unknown here.{nearest(entry.name, known)}")

    def _yaml_files(self, kind: str) -> Iterator[tuple[str, tuple[str, ...], File]]:
        """Each readable YAML file below a folder: its place, its parts without the ending, what it holds."""
        top = self._folder / kind
        for where, folders, names in os.walk(top):
            folders[:] = sorted(folder for folder in folders if not folder.startswith((".", "_")))
            for name in sorted(names):
                path = Path(where, name)
                place = path.relative_to(self._project).as_posix()
                if path.suffix == ".yml" and not name.startswith("."):
                    self._problems.add(place, (), f"ends in .yml, and would not be read; rename it to {path.stem}.yaml")
                if path.suffix != ".yaml" or name.startswith("."):
                    continue
                parts = path.relative_to(top).with_suffix("").parts
                bad = next((part for part in parts if not _NAME.fullmatch(part)), None)
                if bad is not None:
                    self._problems.add(place, (), f"the name '{bad}' may hold only letters, digits, '_' and '-'")
                    continue
                file = self._read(path)
                if file is not None:
                    yield place, parts, file

    def _keep(self, kind: str, name: str, file: File) -> bool:
        """Note a file under its name, unless another has that name or one that differs only by case."""
        for other, known in self._files[kind].items():
            if other.lower() == name.lower():
                self._problems.add(file, (), f"has the name '{name}', as {known.name} has '{other}'; rename one")
                return False
        self._files[kind][name] = file
        return True

    def _sources(self, zones: tuple[Path, ...], timezone: str | None) -> dict[str, Source]:
        found = {}
        for _, parts, file in self._yaml_files("sources"):
            if self._keep("sources", parts[-1], file):
                source = self._source(file)
                if source is not None:
                    found[parts[-1]] = source.within(self._project, self._secrets.redact, zones, timezone)
        return found

    def _source(self, file: File) -> Source | None:
        kind = self._kind(file)
        data = self._secrets.fill(file.document.data, file)
        for url in _urls(data):
            self._secrets.hide_url(url)
        own = kind.default_format(data) if kind is not None else None
        format_ = self._format(data.get("format", own), file)
        if kind is None:
            return None
        # Without a format the rest is still checked, so that one reading finds every problem.
        source = self._problems.value(kind, {**data, "format": format_ or _any_format()}, file)
        return source if format_ is not None else None

    def _kind(self, file: File) -> type[Source] | None:
        name = file.document.data.get("type")
        if not isinstance(name, str):
            self._problems.add(file, ("type",), f"is required; one of {', '.join(SOURCES)} or a dotted path")
            return None
        if name not in SOURCES and "." not in name:
            self._problems.add(file, ("type",), f"there is no kind of source '{name}'.{nearest(name, SOURCES)}")
            return None
        try:
            kind = load_object(SOURCES.get(name, name), self._project)
        except ConfigError as error:
            self._problems.add(file, ("type",), str(error))
            return None
        if not (isinstance(kind, type) and issubclass(kind, Source)):
            self._problems.add(file, ("type",), f"'{name}' is not a subclass of lakehouse.sources.Source")
            return None
        return kind

    def _format(self, data: Any, file: File) -> Format | None:
        known: dict[str, type[Format]] = formats.FORMATS
        given = {"type": data} if isinstance(data, str) else data
        if not isinstance(given, dict) or not isinstance(given.get("type"), str):
            self._problems.add(file, ("format",), f"is required; one of {', '.join(known)}, or {{type: csv, …}}")
            return None
        try:
            kind = format_class(given["type"], self._project)
        except ConfigError as error:
            self._problems.add(file, ("format",), str(error))
            return None
        return self._problems.value(kind, given, file, ("format",))

    def _datasets(self) -> dict[str, Dataset]:
        found = {}
        for _, parts, file in self._yaml_files("datasets"):
            if len(parts) != 2:
                self._problems.add(file, (), "a dataset's file is datasets/<subject>/<dataset>.yaml, two levels")
                continue
            name = "/".join(parts)
            if not self._keep("datasets", name, file) or not self._no_name(file):
                continue
            dataset = self._problems.value(Dataset, {**file.document.data, "name": name}, file)
            if dataset is None:
                continue
            for path, text in dataset_problems(dataset):
                self._problems.add(file, file.as_written(path), text)
            found[name] = dataset
        return found

    def _jobs(self, timezone: str | None) -> dict[str, Job]:
        found = {}
        for _, parts, file in self._yaml_files("jobs"):
            if len(parts) != 1:
                self._problems.add(file, (), "a job's file is jobs/<job>.yaml, one level")
                continue
            if not self._keep("jobs", parts[0], file) or not self._no_name(file):
                continue
            data = {"timezone": timezone or "UTC", **file.document.data, "name": parts[0]}
            job = self._problems.value(Job, data, file)
            if job is not None:
                found[parts[0]] = job
        return found

    def _feature_sets(self) -> dict[str, FeatureSet]:
        found = {}
        for _, parts, file in self._yaml_files("features"):
            if len(parts) != 1:
                self._problems.add(file, (), "a feature set's file is features/<name>.yaml, one level")
                continue
            if not self._keep("features", parts[0], file) or not self._no_name(file):
                continue
            feature_set = self._problems.value(FeatureSet, {**file.document.data, "name": parts[0]}, file)
            if feature_set is not None:
                found[parts[0]] = feature_set
        return found

    def _no_name(self, file: File) -> bool:
        if "name" in file.document.data:
            self._problems.add(file, ("name",), "unknown key. The file's path is the name.")
        return "name" not in file.document.data

    def _readers(self, file: File, dataset: Dataset, sources: Mapping[str, Source]) -> None:
        """Hold what a dataset says of its files' format, over what the source says, against the format's class."""
        for name in dataset.source_names:
            said = dataset.of(name).format
            if not said or name not in sources:
                continue
            own = name in dataset.sources and bool(dataset.sources[name].format)
            where = ("sources", name, "format") if own else ("format",)
            base = sources[name].format
            values = laid(base, said)
            kind = type(base) if values["type"] == base.type else formats.FORMATS.get(str(values["type"]))
            if kind is None:
                hint = nearest(str(values["type"]), formats.FORMATS)
                self._problems.add(file, where, f"there is no format '{values['type']}'.{hint}")
            else:
                self._problems.value(kind, values, file, where)

    def _unfit(self, file: File, dataset: Dataset, sources: Mapping[str, Source]) -> None:
        """Sources whose files do not make the history that a dataset keeps."""
        for name in dataset.source_names:
            why = sources[name].unfit(dataset.history) if name in sources else ""
            if why:
                path = ("sources", name) if name in dataset.sources else ("source",)
                self._problems.add(file, path, f"'{name}' {why}")

    def _references(self, datasets: Mapping[str, Dataset], sources: Mapping[str, Source]) -> None:
        for file in self._files["datasets"].values():
            for key, source in _named_sources(file.document.data):
                if source not in self._files["sources"]:
                    hint = nearest(source, self._files["sources"]) or " There is no file in sources/."
                    self._problems.add(file, key, f"there is no source '{source}'.{hint}")
        for name, of_it in datasets.items():
            self._readers(self._files["datasets"][name], of_it, sources)
            self._unfit(self._files["datasets"][name], of_it, sources)
            known = of_it, datasets, self._files["datasets"]
            for path, text in (*code_problems(*known), *input_problems(*known)):
                self._problems.add(self._files["datasets"][name], path, text)
        for looped, path, text in cycles(datasets):
            self._problems.add(self._files["datasets"][looped], path, text)

    def _job_references(self, jobs: Mapping[str, Job], sources: Mapping[str, Source], pools: Mapping[str, int]) -> None:
        for name, job in jobs.items():
            for path, text in job_problems(job, jobs, self._files, pools):
                self._problems.add(self._files["jobs"][name], path, text)
            for index, watched in enumerate(job.watch):
                source = sources.get(watched)
                if source is not None and (not source.watchable or source.timed):
                    why = "asks for a stretch of time" if source.timed else f"is of type {source.type}"
                    text = f"'{watched}' {why}, and cannot be watched for new files; give the job a schedule"
                    self._problems.add(self._files["jobs"][name], ("watch", index), text)

    def _feature_references(self, feature_sets: Mapping[str, FeatureSet], datasets: Mapping[str, Dataset]) -> None:
        for name, feature_set in feature_sets.items():
            for path, text in feature_problems(feature_set, datasets, self._files["datasets"]):
                self._problems.add(self._files["features"][name], path, text)

    def _root(self, root: str, file: File | None) -> Path:
        where = file or "lakehouse.yaml"
        scheme, colon, _ = root.partition("://")
        if colon and scheme == "file":
            parts = urlsplit(root)
            if parts.netloc not in ("", "localhost"):
                self._problems.add(where, ("root",), "a file URL has three slashes: file:///folder")
            root = unquote(parts.path)
        elif colon and re.fullmatch(r"[a-z][a-z0-9+.-]+", scheme):
            self._problems.add(
                where, ("root",), f"object storage ({scheme}://) is not supported by this version; name a local folder"
            )
            return self._project
        if "\0" in root or "?" in root:
            self._problems.add(where, ("root",), "may not hold '?' or a zero byte")
            return self._project
        made = Path(os.path.abspath(self._project / Path(root).expanduser()))  # noqa: PTH100  # see load()
        if unquote(str(made)) != str(made):  # Delta would look for its tables in the folder that the codes stand for
            self._problems.add(where, ("root",), f"'{made}' holds a percent code such as %20; name another folder")
        return made

    def _metadata(self, given: SecretStr | None, root: Path, file: File | None) -> str:
        if given is None:
            return f"sqlite:///{root / 'metadata.db'}"
        url = given.get_secret_value()
        self._secrets.hide_url(url)
        scheme, colon, rest = url.partition("://")
        if file is not None and (file.name, ("metadata",)) in self._problems.unfilled:
            return url
        if not colon or scheme not in _DATABASES:
            text = (
                "must be a database URL: sqlite:///data/metadata.db, mysql+pymysql://user@host/name (MariaDB too) "
                "or postgresql+psycopg://user@host/name"
            )
            self._problems.add(file or "lakehouse.yaml", ("metadata",), text)
            return url
        path = rest.removeprefix("/")
        if scheme != "sqlite" or path.startswith((":memory:", "file:")) or not path:
            return url
        name, mark, query = path.partition("?")
        return f"{scheme}:///{self._project / name}{mark}{query}"

    def _online(self, given: SecretStr | None, root: Path, file: File | None) -> str:
        if given is None:
            return f"sqlite:///{root / 'online.db'}"
        url = given.get_secret_value()
        self._secrets.hide_url(url)
        scheme, colon, rest = url.partition("://")
        if file is not None and (file.name, ("online",)) in self._problems.unfilled:
            return url
        if not colon or scheme not in _ONLINE or (scheme == "sqlite" and not rest.removeprefix("/")):
            text = "must be a store's URL: sqlite:///data/online.db or redis://host:6379/0 (rediss:// with TLS)"
            self._problems.add(file or "lakehouse.yaml", ("online",), text)
            return url
        return f"sqlite:///{self._project / rest.removeprefix('/')}" if scheme == "sqlite" else url

    def _hide_openlineage(self, given: OpenLineage | None) -> None:
        if given is None:
            return
        self._secrets.hide_url(given.transport.url or "")
        if given.transport.auth is not None:
            self._secrets.hide(given.transport.auth.api_key.get_secret_value())


def _named_sources(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The sources that a dataset's file names, and where."""
    source, several = data.get("source"), data.get("sources")
    if isinstance(source, str) and source:
        yield ("source",), source
    if isinstance(several, dict):
        yield from ((("sources", name), name) for name in several if isinstance(name, str))


def _any_format() -> Format:
    return next(iter(formats.FORMATS.values())).model_construct(type="")


def _urls(data: Any) -> Iterator[str]:
    """Every text in the values that may be an address."""
    if isinstance(data, (dict, list)):
        for inner in data.values() if isinstance(data, dict) else data:
            yield from _urls(inner)
    elif isinstance(data, str) and "://" in data:
        yield data
