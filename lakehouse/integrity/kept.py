"""Kept states: each as it was written. Nothing needs them, so nothing that is wrong with one is harm."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse import views
from lakehouse.integrity.problems import Problem, problem
from lakehouse.site import Site

__all__ = ["check_kept"]


def check_kept(site: Site) -> Iterator[Problem]:
    """Hash the current states that are kept, as their names say."""
    for uri, wrong in views.kept_states(site):
        if wrong:
            yield problem(uri, wrong, "remove it: it is not read, and is made again where it pays", harmless=True)
