"""What the ledger remembers beside its records, and who is at what: on every backend, and as two that race see it."""

import threading
import time

import pytest
from servers import BACKENDS, KEPT

from lakehouse.metadata import Change, Lease, Ledger, Queued
from lakehouse.records import Context, Execution, ExecutionState

EVERY = pytest.mark.parametrize("ledger_url", BACKENDS, indirect=True)
SHARED = pytest.mark.parametrize("ledger_url", KEPT, indirect=True)


def run(name):
    """A run that waits, of a job."""
    execution = Execution("Run", state=ExecutionState.NEW, properties={"job": "nightly"})
    return Queued(execution, (Context("Run", name), Context("Job", "nightly")))


def at_once(url, work):
    """What eight do with the same database at the same moment, each with a ledger of its own."""
    barrier, found = threading.Barrier(8), []

    def one(number):
        with Ledger(url) as ledger:
            barrier.wait()
            found.append(work(ledger, number))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    return found


@EVERY
def test_texts_are_set_changed_and_taken_away_by_those_who_know_them(ledger_url):
    with Ledger(ledger_url) as ledger:
        assert ledger.remembered() == {}
        assert ledger.remember([Change("job/a", "x", None, "1"), Change("job/a", "y", None, "ü'\\%")]) == ()
        assert ledger.remember([Change("job/b", "x", None, "2")]) == ()
        assert ledger.remembered(["job/a"]) == {"job/a": {"x": "1", "y": "ü'\\%"}}
        assert ledger.remember([Change("job/a", "x", "1", "3"), Change("job/a", "y", "ü'\\%", None)]) == ()
        assert ledger.remembered() == {"job/a": {"x": "3"}, "job/b": {"x": "2"}}


@EVERY
def test_a_text_that_is_not_what_it_was_thought_to_be_changes_nothing_and_nothing_follows(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.remember([Change("s", "x", None, "1")])
        for before in (None, "2"):
            assert ledger.remember([Change("s", "x", before, "3"), Change("s", "y", None, "4")], [run("r")]) is None
        assert ledger.remembered() == {"s": {"x": "1"}}
        assert ledger.get_executions(type="Run") == []


@EVERY
def test_what_follows_is_recorded_with_its_contexts(ledger_url):
    with Ledger(ledger_url) as ledger:
        numbers = ledger.remember([Change("s", "x", None, "1")], [run("a"), run("b")])
        found = ledger.get_executions(type="Run", context=("Job", "nightly"))
        assert [one.id for one in found] == list(numbers)
        assert ledger.get_executions(type="Run", context=("Run", "b"))[0].id == numbers[1]


@EVERY
def test_an_execution_moves_only_from_the_states_that_are_said(ledger_url):
    with Ledger(ledger_url) as ledger:
        number = ledger.remember((), [run("a")])[0]
        taken = Execution("Run", id=number, state=ExecutionState.RUNNING, properties={"pid": 7})
        assert ledger.move(taken, [ExecutionState.NEW])
        assert not ledger.move(taken, [ExecutionState.NEW], [run("b")])
        assert not ledger.move(Execution("Run", id=number + 99, state=ExecutionState.RUNNING), [ExecutionState.NEW])
        found = ledger.get_executions(type="Run")
        assert [(one.id, one.state, one.properties) for one in found] == [
            (number, ExecutionState.RUNNING, {"job": "nightly", "pid": 7})
        ]


@SHARED
def test_of_several_that_come_to_the_same_conclusion_one_acts_on_it(ledger_url):
    told = at_once(ledger_url, lambda ledger, _: ledger.remember([Change("s", "x", None, "1")], [run("a")]))
    assert sum(numbers is not None for numbers in told) == 1
    with Ledger(ledger_url) as ledger:
        number = ledger.get_executions(type="Run")[0].id
    taken = Execution("Run", id=number, state=ExecutionState.RUNNING)
    assert sum(at_once(ledger_url, lambda ledger, _: ledger.move(taken, [ExecutionState.NEW]))) == 1


@SHARED
def test_a_lease_is_held_by_one_until_it_is_let_go_or_over(ledger_url):
    told = at_once(ledger_url, lambda ledger, n: ledger.lease(Lease("job/a", f"token{n}", f"host{n}", n, 0.0), 60.0))
    assert told.count(None) == 1
    assert {held for held in told if held} == {next(held for held in told if held)}
    with Ledger(ledger_url) as ledger:
        [held] = ledger.leases()
        other = Lease("job/a", "another", "elsewhere", 1, 0.0)
        assert not ledger.renew(other, 60.0)
        ledger.release(other)
        assert ledger.leases() == [held]
        assert ledger.renew(held, 0.2)
        time.sleep(0.3)
        assert ledger.leases() == []
        assert ledger.lease(other, 60.0) is None
        assert not ledger.renew(held, 60.0)
        ledger.release(other)
        assert ledger.remembered() == {}


@EVERY
def test_a_lease_of_this_machine_whose_lock_is_free_is_taken_over_at_once(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.lease(Lease("job/a", "dead", "here", 1, 0.0), 60.0)
        mine = Lease("job/a", "mine", "here", 2, 0.0)
        assert ledger.lease(mine, 60.0).token == "dead"
        assert ledger.lease(mine, 60.0, alone=True) is None
        assert ledger.lease(Lease("job/a", "far", "there", 3, 0.0), 60.0, alone=True).token == "mine"
