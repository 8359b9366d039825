"""What a run's end is called, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakehouse.scheduler.workers import Finished

__all__ = ["verdict"]


def verdict(done: Finished) -> tuple[str, str, dict[str, Any]]:
    """How to tell of a run that ended: level, event, facts."""
    facts = _facts(done)
    if done.timed_out:
        return "error", "timed_out", facts
    if done.stopped and not done.told:
        return "warning", "abandoned", facts
    if [error.get("type") for error in done.errors] == ["CommitError"] and not done.told:
        return "warning", "skipped", {"reason": done.errors[0].get("message")}
    if done.status:
        return "error", "failed", facts
    return "warning" if "odd" in facts else "info", "finished", facts


def _facts(done: Finished) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if done.told:
        facts = {"run": done.told.get("run"), **_counts(done.told)}
        if done.told.get("errors"):
            facts["errors"] = done.told["errors"]
        if odd := _odd(done.told):
            facts["odd"] = odd
    elif done.errors:
        facts["errors"] = [f"{error.get('type')}: {error.get('message')}" for error in done.errors]
    if done.trouble:
        facts["stderr"] = done.trouble
    if done.why:
        facts["errors"] = [done.why]
    return facts


def _counts(told: Mapping[str, Any]) -> dict[str, int]:
    """The sums of a run over its sources and datasets."""
    landed, curated = told.get("landed", []), told.get("curated", [])
    sums = {f"files_{name}": sum(step[name] for step in landed) for name in ("new", "failed")}
    sums["files_refused"] = sum(step["refused"] for step in curated)
    sums["anomalies"] = sum(step["anomalies"] for step in curated)
    return sums | {f"rows_{name}": sum(step[name] for step in curated) for name in ("read", "curated", "rejected")}


def _odd(told: Mapping[str, Any]) -> list[str]:
    """What a run's datasets say of anomalies in what was curated."""
    notes = [note for step in told.get("curated", []) for note in step.get("notes", [])]
    return [f"{note['where']}: {note['message']}" for note in notes if note["kind"] == "anomaly"]
