"""The ledger made whole: completed where it is sound, made anew beside and put in its place where it is not."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import MetadataError
from lakehouse.faults import point
from lakehouse.integrity.recorded import Deleted, conflict, deleted
from lakehouse.metadata import Ledger, replacing
from lakehouse.receipts import Receipt, begun
from lakehouse.records import MAKERS, Clock, ExecutionState, Progress, Repaired, Report, TypeKind
from lakehouse.repair.finding import Found
from lakehouse.storage import Storage, sync_file

__all__ = ["Rebuilding"]

_PART = 500  # executions compared in one set of queries
_NEW = ".new"  # the ending of a ledger that is being made


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger that is there knows.

    Attributes:
        wrong: why it must be made anew; "" where it is sound.
        alone: its executions that left no receipt, as far as they can be read.
        missing: executions that left a trace in the lake and are not in it.
    """

    wrong: str = ""
    alone: dict[int, Receipt] = field(default_factory=dict)
    missing: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """One repair of a ledger; only while nobody else is at work in the lake."""

    storage: Storage
    url: str
    clock: Clock
    report: Report
    found: Found

    def ledger(self) -> Repaired:
        """Make the ledger whole.

        Raises:
            MetadataError: it cannot be opened for another reason than damage, it is on a server and not whole,
                or it is one in memory; nothing was changed.
        """
        file = replacing.file_of(self.url)
        if file is None and self.url.startswith("sqlite"):
            raise MetadataError("a ledger in memory cannot be repaired: name a file as `metadata:` in lakehouse.yaml")
        if file is not None and not file.exists():
            self._take_up(file)
        if file is not None and not file.exists():
            return self._made_anew(file, _Known("it was gone"))
        known = self._look()
        if not known.wrong:
            return self._completed(known)
        if file is None:
            raise MetadataError(
                f"the ledger on the server is not whole ({known.wrong}), and is left as it is: name an empty database "
                "as `metadata:` in lakehouse.yaml and run `lakehouse check --repair` again"
            )
        return self._made_anew(file, known)

    def _take_up(self, file: Path) -> None:
        """Put in its place what a repair made that was killed before it did so itself."""
        new = file.with_name(file.name + _NEW)
        with contextlib.suppress(MetadataError):  # what cannot be opened is made anew
            if new.exists():
                with Ledger(replacing.url_of(new), self.clock):
                    pass
                _put_in_place(new, file)

    def _look(self) -> _Known:
        try:
            with Ledger(self.url, self.clock) as ledger:
                if damage := ledger.damage():
                    return _Known(f"its database was damaged: {damage[0]}")
                executions = [execution.id for execution in ledger.get_executions()]
                alone = [number for number in executions if number not in self.found.files]
                own = {r.execution.id: r for part in _parts(alone) for r in ledger.receipts(part)}
                gone = deleted(ledger)
                left = self.found.files.keys() | self.found.traced.keys()
                missing = left - set(executions) - gone[TypeKind.EXECUTION]
                wrong = next(iter(ledger.dangling()), "") or self._conflict(ledger, executions, gone)
                if wrong and not self._ours(ledger, executions):
                    return _Known("it was of another lake")
                if open_ := self._open(own.values()):
                    wrong = (
                        wrong or f"it knew of execution:{min(open_)} only that it began, and its work is in the lake"
                    )
                return _Known(wrong, {n: r for n, r in own.items() if n not in open_}, frozenset(missing))
        except MetadataError as error:
            if replacing.is_damage(error):
                return _Known(str(error))
            raise
        except (ValueError, KeyError, TypeError) as error:  # what was read is none of what the ledger writes
            return _Known(f"a record could not be read ({type(error).__name__}: {error})")

    def _ours(self, ledger: Ledger, executions: Sequence[int]) -> bool:
        """Whether any receipt in the lake is of an execution that the ledger knows; what is not is not taken over."""
        both = [number for number in executions if number in self.found.files]
        for part in _parts(both):
            for known in ledger.get_executions(ids=part, only=()):
                if (known.type, known.created_at) == begun(self.found.files[known.id]):
                    return True
        return not both

    def _open(self, own: Collection[Receipt]) -> set[int]:
        """Those that the ledger saw begin, and whose end a trace tells of; a plan that it keeps says more than that."""
        known = {r.execution.id: r.execution for r in own if r.execution.id in self.found.traced}
        return {
            number
            for number, execution in known.items()
            if execution.state is ExecutionState.RUNNING
            and execution.type in MAKERS
            and not execution.properties.get("plan")
        }

    def _conflict(self, ledger: Ledger, executions: Sequence[int], gone: Deleted) -> str:
        """In what the ledger contradicts the first receipt that it contradicts; "" where it does not."""
        for part in _parts([number for number in executions if number in self.found.files]):
            for recorded in ledger.receipts(part):
                number = recorded.execution.id
                if differing := conflict(self.found.receipt(number), recorded, gone):
                    return f"it said something else of execution:{number} than its receipt: {', '.join(differing)}"
        return ""

    def _completed(self, known: _Known) -> Repaired:
        """Put back what a sound ledger lacks."""
        if not known.missing:
            return Repaired()
        with Ledger(self.url, self.clock) as ledger:
            wanted = (r for r in self.found.receipts(self.storage, {}) if r.execution.id in known.missing)
            restored = ledger.restore(self._told(wanted, len(known.missing)), self.found.highest)
        return Repaired(restored=restored, approximate=tuple(sorted(known.missing & self.found.traced.keys())))

    def _made_anew(self, file: Path, known: _Known) -> Repaired:
        """Make a ledger beside, and put it in the place of the one that is damaged or gone when it is whole."""
        new = file.with_name(file.name + _NEW)
        replacing.remove(new)
        highest = max(self.found.highest, *known.alone, 0)
        every = {*self.found.files, *self.found.traced, *known.alone}
        with Ledger(replacing.url_of(new), self.clock) as ledger:
            receipts = self.found.receipts(self.storage, known.alone)
            restored = ledger.restore(self._told(receipts, len(every)), highest)
        sync_file(new)
        point("repair.built")
        aside = ""
        if file.exists():
            mark = f"damaged-{self.clock():%Y%m%dT%H%M%SZ}"
            while file.with_name(f"{file.name}.{mark}").exists():
                mark += "+"
            aside = str(replacing.set_aside(file, mark))
            point("repair.aside")
        _put_in_place(new, file)
        point("repair.placed")
        approximate = tuple(sorted(self.found.traced.keys() - known.alone.keys()))
        return Repaired(known.wrong, aside, restored, approximate, lost=highest - len(every))

    def _told(self, receipts: Iterator[Receipt], total: int) -> Iterator[Receipt]:
        for at, receipt in enumerate(receipts):
            if at % 100 == 0:
                self.report(Progress("repair", "the ledger", at, total, "executions"))
            yield receipt
        self.report(Progress("repair", "the ledger", total, total, "executions", finished=True))


def _put_in_place(new: Path, file: Path) -> None:
    replacing.remove(file)  # a log that a lost database left would be taken for the new one's
    new.rename(file)
    sync_file(file.parent)


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[at : at + _PART] for at in range(0, len(numbers), _PART))
