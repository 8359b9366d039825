"""A look that begins at an earlier one must answer as a look at everything does, whatever came in between."""

import dataclasses
import json
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from looking import reckon

from lakehouse import timeline
from lakehouse.curation.pending import Again, Together, look, newest_looks
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Sighting, raw_id, utc_now

CONTENTS = [f"{n}" * 64 for n in range(4)]
DATASETS = ["one/x", "one/x", "two/y"]
KINDS = ["arrive"] * 6 + ["land"] * 2 + ["curate"] * 2 + ["configure"] * 2 + ["again", "raw", "source"]


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that happens: files arrive and are curated, or less than that, or more."""

    kind: str
    dataset: str
    seen: list  # (origin, content)
    bad: set  # contents that are refused
    only: str
    size: int  # of batches
    stop: str  # how the curation is killed
    anew: bool
    seed: int


STEPS = st.builds(
    Step,
    st.sampled_from(KINDS),
    st.sampled_from(DATASETS),
    st.lists(st.tuples(st.sampled_from("123"), st.sampled_from(CONTENTS)), min_size=1, max_size=3),
    st.sets(st.sampled_from(CONTENTS), max_size=2),
    st.sampled_from(CONTENTS),
    st.integers(1, 3),
    st.sampled_from(["", "", "", "", "", "begun", "prepared", "failed"]),
    st.booleans(),
    st.integers(0, 1 << 16),
)


class Recorded:
    """A ledger in which landings and curations leave their records, crashes theirs, and nothing else is done.

    Before each curation its look is compared: with one at everything by the same code, and with a reckoning.
    """

    def __init__(self, ledger):
        self.ledger = ledger
        self.sources = {"one/x": "a", "two/y": "a"}
        self.fingerprints = {"one/x": "f", "two/y": "f"}

    def take(self, step):
        """Let it happen."""
        chance = random.Random(step.seed)
        if step.kind == "source":
            self.sources[step.dataset] = chance.choice("ab")
        if step.kind == "configure":
            self.fingerprints[step.dataset] = "g" if self.fingerprints[step.dataset] == "f" else "f"
        if step.kind in {"arrive", "land", "source"}:
            self.land(self.sources[step.dataset], step.seen, killed=chance.random() < 0.2)
        if step.kind != "land":
            again = step.kind in {"again", "raw"}
            only = step.only if step.kind == "raw" else None
            self.curate(step.dataset, step.bad, chance, step.stop, step.size, again=again, only=only, anew=step.anew)

    def land(self, source, seen, *, killed):
        """Record what a landing saw."""
        about = [Context("Source", source)]
        for e in self.ledger.get_executions(type="Land", state=ExecutionState.RUNNING, context=("Source", source)):
            self.ledger.put_execution(Execution("Land", id=e.id, state=ExecutionState.FAILED), (), about)
        land = self.ledger.put_execution(Execution("Land", state=ExecutionState.RUNNING), (), about).execution_id
        for origin, sha in seen:
            identity, moment = raw_id(source, sha), utc_now()
            own = {"source": source, "sha256": sha, "name": "n", "size": 1, "landed_at": moment.isoformat()}
            raw = Artifact("RawFile", name=identity, external_id=identity, properties=own)
            running = Execution("Land", id=land, state=ExecutionState.RUNNING)
            sightings = [Sighting(source, origin, 1, "", sha, moment)]
            self.ledger.put_execution(running, [(raw, EventType.OUTPUT)], about, sightings=sightings)
        if not killed:
            self.ledger.put_execution(Execution("Land", id=land, state=ExecutionState.COMPLETE), (), about)

    def curate(self, dataset, bad, chance, stop, size, *, again=False, only=None, anew=False):  # noqa: PLR0913
        """Look, and record what a curation makes of that."""
        self.settle(dataset)
        pending = self.looked(dataset, again=again, only=only)
        everything = again and only is None
        if pending is None or (pending.foreign and not everything):
            return
        if not pending.files and not pending.replaced(()):
            return
        anew = everything and (anew or bool(pending.foreign))
        files = list(pending.files)
        batches = [files[at : at + size] for at in range(0, len(files), size)] if files and not anew else [files]
        stopped = chance.randrange(len(batches))
        gone = frozenset()
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1 and only is None
            ended = self.batch(
                dataset, pending, batch, bad, anew=anew, gone=gone if last else None,
                refused=chance.random() < 0.15, stop=stop if number == stopped else "",
            )  # fmt: skip
            if ended is None:
                return
            gone |= ended

    def said(self, dataset):
        """What a curation says as it begins."""
        return {"fingerprint": self.fingerprints[dataset]}

    def batch(self, dataset, pending, files, bad, *, anew, gone, refused, stop):  # noqa: PLR0913
        """One batch as a curation records it; the rows it replaced, None when it was killed or failed."""
        about, fingerprint = [Context("Dataset", dataset)], self.fingerprints[dataset]
        begun = Execution("Curate", state=ExecutionState.RUNNING, properties=self.said(dataset))
        schema = Artifact("Schema", name=f"{dataset}:{fingerprint}", external_id=f"schema/{dataset}/{fingerprint}")
        execution = self.ledger.put_execution(begun, [(schema, EventType.INPUT)], about).execution_id

        def put(state, links=(), **properties):
            self.ledger.put_execution(
                Execution("Curate", id=execution, state=state, properties=properties), links, about
            )

        if stop == "begun":
            return None
        if stop == "failed":
            put(ExecutionState.FAILED, error="a full disk")
            return None
        if refused and files:
            put(ExecutionState.FAILED, [(f.id, EventType.DECLARED_INPUT) for f in files], error="too many")
            return frozenset()
        read = [f for f in files if f.sha256 not in bad]
        replaced = pending.replaced({f.sha256 for f in read}, anew=anew)
        supersedes = pending.superseded(replaced)
        plan = {
            "inputs": [f.id for f in read],
            "refused": [f.id for f in files if f.sha256 in bad],
            "versioned": bool(replaced) or any(f.sha256[0] != "0" for f in read),  # content 0 has no rows
            "looked": "" if gone is None else pending.seen_after(gone | replaced).to_json(),
        }
        whys = {f.sha256: "no" for f in files if f.sha256 in bad}
        put(
            ExecutionState.RUNNING,
            refused=json.dumps(whys),
            supersedes=json.dumps(supersedes),
            plan=json.dumps(plan),
        )
        if stop == "prepared":
            return None
        self.carry_out(dataset, execution, plan)
        return replaced

    def carry_out(self, dataset, execution, plan):
        """Finish a batch's record, at once or after a crash."""
        links = [(id_, EventType.INPUT) for id_ in plan["inputs"]]
        links += [(id_, EventType.DECLARED_INPUT) for id_ in plan["refused"]]
        properties, looked = {"plan": ""}, ({"looked": plan["looked"]} if plan["looked"] else {})
        if plan["versioned"]:
            last = timeline.read(self.ledger, dataset).last
            version = 0 if last is None else last.version + 1
            counts = dict.fromkeys(["rows", "total", "rejected", "files", "table_version"], 0)
            moment = utc_now().isoformat()
            own = {"dataset": dataset, "version": version, "committed_at": moment, "execution": execution, **counts}
            links.append((Artifact("TableVersion", name=f"{dataset}@{version}", properties=own), EventType.OUTPUT))
            properties["version"] = version
        done = Execution(
            "Curate", id=execution, state=ExecutionState.COMPLETE, properties=properties, custom_properties=looked
        )
        self.ledger.put_execution(done, links, [Context("Dataset", dataset)])

    def settle(self, dataset):
        """Close what a killed curation left open."""
        about = [Context("Dataset", dataset)]
        for e in self.ledger.get_executions(type="Curate", state=ExecutionState.RUNNING, context=("Dataset", dataset)):
            if plan := e.properties.get("plan"):
                self.carry_out(dataset, e.id, json.loads(plan))
            else:
                failed = Execution("Curate", id=e.id, state=ExecutionState.FAILED, properties={"error": "interrupted"})
                self.ledger.put_execution(failed, (), about)

    def looked(self, dataset, *, again, only):
        """The look, compared with the slow ways."""
        source, fingerprint = self.sources[dataset], self.fingerprints[dataset]
        past = timeline.read(self.ledger, dataset)
        slow = reckon(self.ledger, source, dataset, fingerprint, again=again)
        if only is not None:
            if only not in slow.files:
                return None
            slow.files = [only]
        arguments = {"fingerprint": fingerprint, "again": Again((only,) if only else ()) if again else None}
        whole = look(self.ledger, source, past, **arguments)
        assert (whole.visible, whole.live, whole.earlier) == (slow.visible, slow.live, slow.earlier)
        short = look(self.ledger, source, past, since=newest_looks(past, [source]).get(source), **arguments)
        for found in (whole, short):
            assert [f.sha256 for f in found.files] == slow.files
            assert (found.refused, found.foreign, found.left) == (slow.refused, slow.foreign, slow.left)
            for read in (set(), set(slow.files), set(slow.files[::2])):
                gone = slow.replaced(read)
                assert found.replaced(read) == gone
                assert found.superseded(gone) == slow.superseded(gone)
        if again:
            assert short.replaced((), anew=True) == slow.visible
        return short


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=8, max_size=16))
def test_a_look_since_an_earlier_one_finds_what_a_look_at_everything_finds(steps):
    with Ledger("sqlite://") as ledger:
        recorded = Recorded(ledger)
        for step in steps:
            recorded.take(step)


SEVERAL = ["arrive"] * 6 + ["land"] * 2 + ["configure", "again", "sources", "sources"]


@dataclasses.dataclass(frozen=True)
class Change:
    """Something that happens to a dataset with one or two of three sources."""

    kind: str
    source: str
    sources: tuple
    seen: list  # (origin, content)
    bad: set  # contents that are refused
    size: int  # of batches
    stop: str  # how the curation is killed
    seed: int


CHANGES = st.builds(
    Change,
    st.sampled_from(SEVERAL),
    st.sampled_from("ab"),
    st.sampled_from([("a",), ("a", "b"), ("a", "b"), ("b", "a"), ("b",), ("b", "c")]),
    st.lists(st.tuples(st.sampled_from("12"), st.sampled_from(CONTENTS)), min_size=1, max_size=3),
    st.sets(st.sampled_from(CONTENTS), max_size=1),
    st.integers(1, 3),
    st.sampled_from(["", "", "", "", "begun", "prepared"]),
    st.integers(0, 1 << 16),
)


@dataclasses.dataclass
class Part:
    """What is pending, as a batch of some of its files sees it: contents by their sha256 alone."""

    pending: Together
    batch: list

    def replaced(self, read, *, anew):
        """The rows that these contents of the batch replace."""
        return self.pending.replaced([f for f in self.batch if f.sha256 in read], anew=anew)

    def superseded(self, gone):
        """The same in the ledger's form."""
        return self.pending.superseded(gone)

    def seen_after(self, gone):
        """The looks to keep."""
        self.looks = self.pending.looks_after(gone)
        return self

    def to_json(self):
        """The looks, as they are kept."""
        return self.looks


class Several(Recorded):
    """A ledger of one dataset with several sources; each curation's looks are compared with looks at everything."""

    def __init__(self, ledger):
        super().__init__(ledger)
        self.named = ("a", "b")
        self.marks = dict.fromkeys("abc", "f")
        self.refused = set()

    def said(self, dataset):  # noqa: ARG002  # there is one
        """What a curation says as it begins."""
        marks = {source: self.marks[source] for source in self.named}
        if len(marks) == 1:
            return {"fingerprint": marks[self.named[0]]}
        return {"fingerprint": "-".join(marks.values()), "fingerprints": json.dumps(marks)}

    def take(self, step):
        """Let it happen."""
        chance = random.Random(step.seed)
        if step.kind == "sources":
            self.named = step.sources
        if step.kind == "configure":
            self.marks[step.source] = "g" if self.marks[step.source] == "f" else "f"
        if step.kind in {"arrive", "land"}:
            self.land(step.source, step.seen, killed=False)
        if step.kind != "land":
            self.curated(step, chance, again=step.kind == "again")

    def look(self, since, *, again):
        """Each source's part, and all together."""
        past = timeline.read(self.ledger, DATASETS[0])
        return Together(
            {
                source: look(
                    self.ledger, source, past, fingerprint=self.marks[source], since=since.get(source),
                    again=Again() if again else None, others=[other for other in self.named if other != source],
                )
                for source in self.named
            }
        )  # fmt: skip

    def curated(self, step, chance, *, again):
        """A curation of what is pending; afterwards what lies at the sources is there, once."""
        self.settle(DATASETS[0])
        whole = self.look({}, again=again)
        pending = self.look(newest_looks(timeline.read(self.ledger, DATASETS[0]), self.named), again=again)
        assert (pending.files, pending.refused, pending.left) == (whole.files, whole.refused, whole.left)
        assert pending.foreign == whole.foreign
        for read in ((), whole.files, whole.files[::2]):
            gone = whole.replaced(read)
            assert pending.replaced(read) == gone
            assert pending.superseded(gone) == whole.superseded(gone)
        if pending.foreign and not again:
            return
        files, rounds = list(pending.files), []
        while files:  # no batch may hold the same bytes of two sources
            first = {f.sha256: f for f in reversed(files)}
            rounds.append([f for f in files if first[f.sha256] is f])
            files = [f for f in files if first[f.sha256] is not f]
        anew = bool(pending.foreign)
        batches = [some[at : at + step.size] for some in rounds for at in range(0, len(some), step.size)]
        batches = (rounds if anew else batches) or [[]] * bool(anew or pending.replaced(()))
        stopped, gone = chance.randrange(len(batches) or 1), frozenset()
        for number, batch in enumerate(batches):
            ended = self.batch(
                DATASETS[0], Part(pending, batch), batch, step.bad, anew=anew and not number,
                gone=gone if number == len(batches) - 1 else None, refused=False,
                stop=step.stop if number == stopped else "",
            )  # fmt: skip
            self.refused |= step.bad
            if ended is None:
                return
            gone |= ended
        self.right()

    def right(self):
        """What counts of each source is what lies there now, each content once, but for what was refused."""
        for source in self.named:
            slow = reckon(self.ledger, source, DATASETS[0], "")
            shown = [sha for _, sha in slow.visible - slow.foreign]
            assert len(shown) == len(set(shown))
            assert slow.live - set(shown) <= self.refused
            assert set(shown) - slow.live <= {sha for new in slow.live & self.refused for sha in slow.earlier[new]}


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.lists(CHANGES, min_size=8, max_size=16))
def test_each_source_is_looked_at_for_itself_whatever_became_of_the_others(steps):
    with Ledger("sqlite://") as ledger:
        several = Several(ledger)
        for step in steps:
            several.take(step)
