"""What is past its dataset's retention: worth knowing, and no damage."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse import timeline
from lakehouse.integrity.problems import Problem, problem
from lakehouse.site import Site

__all__ = ["check_retention"]


def check_retention(site: Site) -> Iterator[Problem]:
    """Tell of every dataset that holds more than its retention says."""
    for name, dataset in site.config.datasets.items():
        if (found := timeline.overdue(site, dataset)) is not None:
            yield problem(name, str(found), "decide; the lake deletes nothing by itself", harmless=True)
