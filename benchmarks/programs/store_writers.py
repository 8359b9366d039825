"""Eight processes that put 100 executions each: ``store_writers.py URL``; the last line is JSON.

``seconds`` is the longest that any put took; the program fails when any put does.
"""

import json
import multiprocessing
import sys
import time

from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState

_WRITERS, _PUTS = 8, 100


def write(arguments):
    """Put the executions of one process; the longest put, in seconds."""
    url, writer = arguments
    longest = 0.0
    with Ledger(url) as ledger:
        for n in range(_PUTS):
            made = Artifact("Data", uri=f"/out/{writer}/{n}", external_id=f"{writer}/{n}", properties={"a": n})
            step = Execution("Step", state=ExecutionState.COMPLETE, properties={"rows": n})
            started = time.perf_counter()
            ledger.put_execution(step, [(made, EventType.OUTPUT)], [Context("Run", f"run {n % 5}")])
            longest = max(longest, time.perf_counter() - started)
    return longest


if __name__ == "__main__":
    with Ledger(sys.argv[1]) as ledger:
        before = len(ledger.get_executions(type="Step"))
    with multiprocessing.get_context("spawn").Pool(_WRITERS) as pool:
        longest = max(pool.map(write, [(sys.argv[1], writer) for writer in range(_WRITERS)]))
    with Ledger(sys.argv[1]) as ledger:
        assert len(ledger.get_executions(type="Step")) == before + _WRITERS * _PUTS
    print(json.dumps({"seconds": longest}))
