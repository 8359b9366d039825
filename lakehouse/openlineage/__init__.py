"""OpenLineage: events of every execution and every run of a job, for the catalogs and tools that read them.

They are made from the ledger's records once these are written, and never instead of them: where events cannot be
delivered the work goes on, and the result and a log line say so.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakehouse.config import Config
from lakehouse.errors import ConfigError
from lakehouse.metadata import Ledger
from lakehouse.records import Clock, Context, ExecutionState, Note
from lakehouse.site import Listener

if TYPE_CHECKING:  # a fifth of a second that a command without events need not spend
    from lakehouse.openlineage.delivery import Delivery
    from lakehouse.openlineage.events import Events

__all__ = ["listener"]

_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())  # who sets up logging reads it; else the result says it alone


def listener(config: Config, clock: Clock) -> Listener:
    """Whoever the configuration wants told.

    Raises:
        ConfigError: events are configured and openlineage-python is not installed.
    """
    if config.openlineage is None:
        return Listener()
    try:
        found = importlib.util.find_spec("openlineage.client") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise ConfigError(
            f"{config.folder.name}/lakehouse.yaml: openlineage: needs the package openlineage-python; install it with "
            "`pip install 'lakehouse[openlineage]'`, or take the key out"
        )
    return _Emitter(config, clock)


class _Emitter(Listener):
    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._parts: tuple[Events, Delivery] | None = None
        self._problems: Counter[str] = Counter()
        self._lock = threading.Lock()  # users' steps may run in several threads

    def execution(self, ledger: Ledger, execution: int, contexts: Sequence[Context]) -> None:
        try:
            from lakehouse.openlineage.gathering import gather  # noqa: PLC0415  # see above

            step = gather(ledger, execution)
            if step.record.type == "Run":
                return  # told by `run`
            events, delivery = self._opened()
            for event in events.of_step(step, contexts):
                delivery.send(event)
        except Exception as error:  # noqa: BLE001  # told by settle(); the work is done and recorded
            self._failed(error)

    def run(self, contexts: Sequence[Context], state: ExecutionState, error: str = "") -> None:
        try:
            events, delivery = self._opened()
            for name in [context.name for context in contexts if context.type == "Run"]:
                delivery.send(events.of_run(name, self._clock(), state, error))
        except Exception as failure:  # noqa: BLE001  # as above
            self._failed(failure)

    def settle(self) -> tuple[Note, ...]:
        problems, self._problems = self._problems, Counter()
        if self._parts is not None:
            problems += self._parts[1].settle()
        if not problems or self._config.openlineage is None:
            return ()
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in problems.items())
        told = self._config.redact(f"events were not delivered: {reasons}. The work is done and recorded all the same")
        _LOG.warning("openlineage: %s", told)
        return (Note("openlineage", self._config.openlineage.transport.type, told),)

    def close(self) -> None:
        self.settle()
        if self._parts is not None:
            self._parts[1].close()
            self._parts = None

    def _opened(self) -> tuple[Events, Delivery]:
        with self._lock:
            if self._parts is None:
                from lakehouse.openlineage.delivery import open_delivery  # noqa: PLC0415  # see above
                from lakehouse.openlineage.events import Events  # noqa: PLC0415  # see above

                assert self._config.openlineage is not None  # noqa: S101  # listener() looked
                delivery = open_delivery(self._config.openlineage.transport, self._config.project)
                self._parts = Events(self._config), delivery
            return self._parts

    def _failed(self, error: Exception) -> None:
        self._problems[f"{type(error).__name__}: {error}"] += 1
