"""What the ledger keeps of what came of a batch."""

from __future__ import annotations

import json

from lakehouse.curation import arrivals, measuring
from lakehouse.curation.batch import Written
from lakehouse.curation.planning import Batch
from lakehouse.curation.reasons import commonest
from lakehouse.records import Value

__all__ = ["counted", "summary"]

_KEPT = 20  # reasons of rejected rows, the most frequent ones


def summary(batch: Batch, written: Written) -> dict[str, Value]:
    """What the ledger keeps of a batch's result."""
    # Left out where there are none: so the few that have them are found without looking at the others.
    found = {"refused": written.refused, "supersedes": batch.superseded(written), "appended": written.appended}
    silent = {"unchanged": written.unchanged, "duplicates": written.duplicates, "deleted": written.deleted}
    return {
        **counted(written),
        **{name: count for name, count in silent.items() if count},
        **({"snapshots": arrivals.to_property(written.applied)} if written.applied else {}),
        **({"accepted": json.dumps(written.accepted)} if written.accepted else {}),
        "files": json.dumps(written.counts),
        **{name: json.dumps(value) for name, value in found.items() if value},
    }


def counted(written: Written) -> dict[str, Value]:
    """How many rows were read and rejected, and why most often."""
    reasons = dict(commonest(written.rejected, _KEPT)) if written.bad else {}
    return {
        "read": written.read,
        "rejected": written.bad,
        **({"reasons": json.dumps(reasons, ensure_ascii=False)} if reasons else {}),
        **measuring.tally(written),
    }
