"""Lineage: where a version's rows came from, and what became of a raw file.

Read from the ledger alone, in a few bulk queries; no table and no raw file is opened.
"""

from __future__ import annotations

import re

from lakehouse.errors import NotFoundError
from lakehouse.lineage.drawing import Edge, Lineage, Node
from lakehouse.lineage.gathering import FORMS, Graph
from lakehouse.records import printable
from lakehouse.site import Site

__all__ = ["Edge", "Lineage", "Node", "lineage"]

_SHORTEST = 8  # characters of a raw file's hash that may stand for it


def lineage(site: Site, what: str | int) -> Lineage:
    """Where something came from and what became of it.

    Args:
        site: the opened lake.
        what: a dataset (its newest version), ``dataset@version``, ``execution:17`` (or 17), or a raw
            file's sha256 or its beginning.

    Raises:
        NotFoundError: there is no such thing, or several that are meant; lists them.
    """
    graph = Graph(site)
    text = str(what).strip()
    if number := re.fullmatch(r"(?:execution:)?(\d{1,7})|execution:(\d+)", text):
        return graph.of_execution(int(number[1] or number[2]))
    if "/" in text:
        name, _, version = text.partition("@")
        return graph.of_version(name, version)
    if re.fullmatch(rf"[0-9a-fA-F]{{{_SHORTEST},64}}", text):
        return graph.of_raw(text.lower())
    raise NotFoundError(f"'{printable(text)}' names nothing with a lineage; {FORMS}")
