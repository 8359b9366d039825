"""What may explain that rows made again are others, or could have: code, packages, raw files, configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lakehouse.rebuild.recorded import Step, packages_of
from lakehouse.rebuild.replaying import Fresh
from lakehouse.records import printable
from lakehouse.site import Site

__all__ = ["explained"]

_LISTED = 3  # executions or files named


def explained(site: Site, steps: Sequence[Step], fresh: Fresh) -> Iterator[str]:
    """One sentence a reason."""
    if fresh.damaged:
        names = [printable(uri) for uri in fresh.damaged.values()]
        yield f"raw files: {len(names):,} are gone or no longer what was landed: {_listed(names)}"
    found: dict[str, list[int]] = {}
    now = packages_of(site.captured)
    for step in steps:
        for reason in _reasons(step, fresh, now):
            found.setdefault(reason, []).extend(step.executions)
    for reason, executions in found.items():
        yield f"{reason} (execution:{_listed([str(number) for number in executions])})"


def _reasons(step: Step, fresh: Fresh, now: Mapping[str, str]) -> Iterator[str]:
    first = step.executions[0]
    if first in fresh.failed:
        yield f"could not be done again: {printable(fresh.failed[first])}"
    elif fresh.codes.get(first, step.code) != step.code:
        feeds = [feed.curate for feed in step.dataset.sources.values()]
        functions = sorted({name for name in (step.dataset.curate, *feeds) if name})
        yield f"code: the file of {' and '.join(functions)} is another than it was"
    if step.lacking:
        yield f"configuration: the record leaves out {step.lacking}; today's was taken"
    others = [
        f"{name} {then} then, {now.get(name, 'not installed')} now"
        for name, then in step.packages.items()
        if now.get(name) != then
    ]
    if others:
        yield f"packages: {', '.join(others)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"
