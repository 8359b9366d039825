"""What came of what, and whether the lake is whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from lakehouse import catalog, executions, integrity, lineage
from lakehouse import config as configuration
from lakehouse.integrity import Problem
from lakehouse.lake.opened import Opened
from lakehouse.lineage import Causes, Lineage, Personal

__all__ = ["Explaining"]


class Explaining(Opened):
    """What came of what, and whether the lake is whole."""

    def lineage(  # noqa: PLR0913  # bounds, by keyword only
        self,
        what: str | int,
        *,
        column: str | None = None,
        direction: lineage.Direction = "both",
        hops: int | None = None,
        types: Collection[str] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Lineage:
        """What something came of and what came of it: ``print`` it, take its ``upstream()`` or its ``impact()``.

        A bound also bounds the work; what it left out is in the lineage's ``cut``.

        Args:
            what: ``aviation/flights``, ``aviation/flights@12``, ``execution:17``, ``artifact:9``,
                ``Model:churn``, the URI of an artifact, or a raw file's sha256 or its beginning. A dataset is its
                newest version, downstream also the older ones that steps read.
            column: only of this column of a dataset or raw file: columns it was made from, or that were made
                from it, and the steps that read them. Without a version it is of all versions.
            direction: ``up``, ``down`` or ``both``.
            hops: how many edges to follow.
            types: kinds of nodes to show; a path through others becomes one edge.
            since: executions that began before are not followed.
            until: nor those that began after.
            limit: how many neighbours of one kind to follow from one node; the others are counted.

        Raises:
            NotFoundError: there is no such thing, or several that are meant; lists them.
            ConfigError: a bound is none.
        """
        return lineage.lineage(
            self._site,
            what,
            column=column,
            direction=direction,
            hops=hops,
            types=types,
            since=since,
            until=until,
            limit=limit,
        )

    def causes(self, what: str, against: int | None = None) -> Causes:
        """Which raw files, code and configuration made one version of a dataset differ from another.

        Args:
            what: ``aviation/flights@12``; without a number its newest version.
            against: the other version, older or newer; None for the one before.

        Raises:
            NotFoundError: there is no such version.
            ConfigError: it is no dataset.
        """
        return lineage.causes(self._site, what, against)

    def personal(self) -> Personal:
        """The record of personal data: where they came in, and every place that holds them.

        Personal is what is marked ``personal: true``, and what is made from that, unless it is marked
        ``personal: false``. No value is in it.
        """
        return lineage.personal(self._site)

    def execution(
        self,
        type: str,  # noqa: A002  # ML Metadata's word
        inputs: executions.Inputs = (),
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> AbstractContextManager[executions.Run]:
        """A step of your own, for a ``with`` statement: recorded as RUNNING at its start, as COMPLETE with its outputs.

        An error inside marks it FAILED, with the error; it is raised again, and no output is recorded.

        Args:
            type: your own word for what is done: ``Train``.
            inputs: what is read, as `lineage` names things; a mapping says which columns of each.
            parameters: what it is done with.
            name: for people.

        Raises:
            RecordError: the type is one of the lake's own, or a parameter cannot be stored.
            NotFoundError: an input is not there; lists or suggests.
        """
        return executions.execution(self._site, type, inputs, parameters, name)

    def check(self) -> tuple[Problem, ...]:
        """Prove that the lake is whole by reading all of it again; every problem found.

        Raises:
            ConfigError: the function of a dataset cannot be loaded.
        """
        configuration.load_functions(self._site.config, self._site.config.datasets)
        return tuple(integrity.check(self._site))

    def list(self, *, subject: str | None = None) -> catalog.Listing:
        """Every source, dataset, job and feature set at a glance.

        Args:
            subject: only a subject's datasets, and what feeds, refreshes and uses these.

        Raises:
            NotFoundError: no dataset has that subject.
        """
        return catalog.listing(self._site, subject)

    def search(self, text: str, *, limit: int | None = catalog.FOUND) -> tuple[catalog.Hit, ...]:
        """Where every word of a text is met: names, descriptions, owners and labels of datasets, features and others.

        The best come first. A word may be mistyped, or be part of one.

        Args:
            text: one word or several; the parts of ``dep_delay`` are words too.
            limit: the most to tell; None for all.

        Raises:
            ConfigError: there is no word in the text.
        """
        return catalog.search(self._site, text, limit=limit)

    def show(
        self, name: str, kind: str | None = None, *, limit: int | None = catalog.SHOWN, raw: Sequence[str] = ()
    ) -> catalog.Detail:
        """One source, dataset, job, feature set, feature or subject in full.

        Args:
            name: its name; of a feature ``aviation/flights:dep_delay``. A subject is meant where nothing else has it.
            kind: ``source``, ``dataset``, ``job``, ``feature_set``, ``feature`` or ``subject``, where the name alone
                could be two of them.
            limit: how many raw files, versions, failures and users, the newest; None for all.
            raw: of a source's raw files just those whose sha256 is one of these, or begins so.

        Raises:
            NotFoundError: nothing has that name.
        """
        return catalog.show(self._site, name, kind, limit=limit, raw=raw)
