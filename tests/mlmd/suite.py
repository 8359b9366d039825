"""Runs the tests that ML Metadata ships in its wheel against our client, on every kind of database.

    .venv-mlmd/bin/python tests/mlmd/suite.py                     # memory, SQLite file, MariaDB, PostgreSQL
    .venv-mlmd/bin/python tests/mlmd/suite.py memory -k lineage   # fewer

Their tests take ``MetadataStore`` out of the package and open a new, empty store each: here they get ours, on an
emptied database. ML Metadata's own library is replaced by one that refuses, so that nothing can come from it.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import ClassVar

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

PASSED = 106  # of 108: two, about schemas of old, are marked by their authors as not to be run
LIBRARY = "ml_metadata.metadata_store.pywrap.metadata_store_extension"


class Refusing(types.ModuleType):
    """A module that has nothing."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssertionError(f"ML Metadata's own library was asked for {name}")


sys.modules[LIBRARY] = types.ModuleType(LIBRARY)
sys.modules[LIBRARY].metadata_store = Refusing("metadata_store")

import ml_metadata  # noqa: E402  # without its library
from servers import BACKENDS, Servers  # noqa: E402
from sqlalchemy import NullPool, create_engine  # noqa: E402

from lakehouse.compat.mlmd import MetadataStore  # noqa: E402
from lakehouse.metadata import tables  # noqa: E402
from tests.mlmd.configuration import configuration  # noqa: E402


class Backend:
    """What the stores of a run are opened on."""

    servers = Servers()
    made: ClassVar = {}
    name = ""
    folder = Path()

    @classmethod
    def empty(cls):
        """The configuration of an empty database; a server's is emptied, as making one anew takes a second."""
        if cls.name in {"memory", "sqlite"}:
            url = cls.servers.url(cls.name, Path(tempfile.mkdtemp(dir=cls.folder)))
        elif cls.name in cls.made:
            url, connection = cls.made[cls.name]
            with connection.begin():
                for table in reversed(tables.THEIRS):
                    if table is not tables.mlmd_env:
                        built_in = {"type": len(tables.BUILT_IN_TYPES)}.get(table.name.lower(), 0)
                        connection.execute(table.delete().where(next(iter(table.c)) > built_in))
        else:
            url = cls.servers.new(cls.name, cls.folder)
            cls.made[cls.name] = url, create_engine(url, poolclass=NullPool).connect()
        return configuration(url)


class Emptied(MetadataStore):
    """Our client, whose unnamed databases are new ones of the run's kind."""

    def __init__(self, config, enable_upgrade_migration=False):
        if config.WhichOneof("config") == "sqlite" and not config.sqlite.filename_uri:
            named = Backend.empty()
            if config.HasField("retry_options"):
                named.retry_options.CopyFrom(config.retry_options)
            config = named
        super().__init__(config, enable_upgrade_migration)


class Outcomes:
    """Counts what became of the tests."""

    def __init__(self):
        self.counts = collections.Counter()

    def pytest_runtest_logreport(self, report):
        """Count one; called by pytest."""
        if report.when == "call" or not report.passed:
            self.counts["xfailed" if hasattr(report, "wasxfail") else report.outcome] += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("backends", nargs="*", default=BACKENDS, metavar="backend", help=", ".join(BACKENDS))
    parser.add_argument("-k", help="which tests only, as for pytest")
    given = parser.parse_args()
    ml_metadata.MetadataStore = Emptied
    tests = Path(ml_metadata.__file__).parent / "metadata_store" / "metadata_store_test.py"
    options = ["-q", "-c", "/dev/null", "-p", "no:cacheprovider", "--tb=short", *(["-k", given.k] if given.k else [])]
    lacking = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            Backend.folder = Path(folder)
            for Backend.name in given.backends:
                outcomes, began = Outcomes(), time.monotonic()
                pytest.main([*options, str(tests)], plugins=[outcomes])
                passed = outcomes.counts["passed"]
                print(f"{Backend.name}: {passed} of {PASSED} passed in {time.monotonic() - began:.1f} s")  # noqa: T201  # the result
                if passed != PASSED or outcomes.counts["failed"]:
                    lacking.append(Backend.name)
    finally:
        for _, connection in Backend.made.values():
            connection.close()
        Backend.servers.drop()
    return 1 if lacking and not given.k else 0


if __name__ == "__main__":
    sys.exit(main())
