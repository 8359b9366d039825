"""Deleting records, and what stays of them."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, literal, select

from lakehouse.errors import RecordError
from lakehouse.metadata import Bounds, Ledger, tables
from lakehouse.records import Artifact, Context, EventType, Execution, Tombstone, TypeKind

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HANGING = (
    tables.artifact_property,
    tables.execution_property,
    tables.context_property,
    tables.event,
    tables.event_path,
    tables.attribution,
    tables.association,
    tables.parent_context,
)


def put(ledger):
    """Put table -> Train -> model -> Score -> scores, in a study and its team."""
    context = Context("Study", "churn", properties={"owner": "me"})
    team = Context("Team", "sales")
    table = Artifact("Table", name="table", properties={"rows": 3})
    model = Artifact("Model", name="model", uri="file:///m", external_id="m-1", properties={"auc": 0.9})
    train = ledger.put_execution(
        Execution("Train", name="first", properties={"lr": 0.1}),
        [(table, EventType.INPUT), (model, EventType.OUTPUT)],
        [context],
        parents=[(context, team)],
    )
    with ledger._database.writing() as connection:
        step = ["event_id", "is_index_step", "step_key"]
        of_each = select(
            tables.event.c.id, literal(value=False, type_=tables.event_path.c.is_index_step.type), literal("model")
        )
        connection.execute(insert(tables.event_path).from_select(step, of_each))
    scores = Artifact("Scores", name="scores")
    score = ledger.put_execution(
        Execution("Score"), [(train.artifact_ids[1], EventType.INPUT), (scores, EventType.OUTPUT)], [context]
    )
    return train, score


def count(ledger, *counted):
    """The rows of tables."""
    with ledger._database.reading() as connection:
        return [connection.scalar(select(func.count()).select_from(table)) for table in counted]


def test_a_deleted_artifact_is_gone_with_all_that_hung_on_it_and_leaves_a_tombstone(ledger_url):
    with Ledger(ledger_url, clock=lambda: NOW) as ledger:
        train, score = put(ledger)
        model = train.artifact_ids[1]
        events = [dataclasses.replace(event, path=()) for event in ledger.get_events(artifact_ids=[model])]
        expected = Tombstone(
            TypeKind.ARTIFACT, model, "Model", "model", "m-1", "file:///m", NOW, "wrong data", tuple(events)
        )
        assert ledger.delete([model], reason="wrong data") == [expected]
        assert ledger.tombstones() == [expected]
        assert [a.name for a in ledger.get_artifacts()] == ["table", "scores"]
        assert ledger.get_events(artifact_ids=[model]) == []
        assert len(ledger.get_events()) == 2
        assert ledger.get_artifacts(filter_query="properties.auc.double_value > 0") == []
        assert [a.name for a in ledger.get_artifacts(context=("Study", "churn"))] == ["table", "scores"]
        assert [e.id for e in ledger.get_executions()] == [train.execution_id, score.execution_id]


def test_when_everything_is_deleted_nothing_hangs_on_nothing(ledger_url):
    with Ledger(ledger_url) as ledger:
        train, score = put(ledger)
        contexts = [context.id for context in ledger.get_contexts()]
        gone = ledger.delete(
            [*train.artifact_ids, *score.artifact_ids], [train.execution_id, score.execution_id], contexts, reason="all"
        )
        assert [(one.kind, one.type) for one in gone] == [
            *((TypeKind.ARTIFACT, type_) for type_ in ("Table", "Model", "Scores")),
            *((TypeKind.EXECUTION, type_) for type_ in ("Train", "Score")),
            *((TypeKind.CONTEXT, type_) for type_ in ("Study", "Team")),
        ]
        assert count(ledger, tables.artifact, tables.execution, tables.context, *HANGING) == [0] * 11
        assert [len(one.events) for one in gone] == [1, 2, 1, 2, 2, 0, 0]


def test_a_deleted_execution_leaves_its_artifacts_and_is_gone_from_its_contexts(ledger_url):
    with Ledger(ledger_url) as ledger:
        train, score = put(ledger)
        ledger.delete(execution_ids=[train.execution_id], reason="a trial")
        assert [e.id for e in ledger.get_executions(context=("Study", "churn"))] == [score.execution_id]
        assert [a.name for a in ledger.get_artifacts()] == ["table", "model", "scores"]
        assert count(ledger, tables.association, tables.execution_property, tables.event, tables.event_path) == [
            1,
            0,
            2,
            0,
        ]


def test_a_deleted_context_leaves_its_members_and_its_parents(ledger_url):
    with Ledger(ledger_url) as ledger:
        put(ledger)
        study, team = ledger.get_contexts(names=["churn"])[0], ledger.get_contexts(names=["sales"])[0]
        ledger.delete(context_ids=[study.id], reason="over")
        assert [c.name for c in ledger.get_contexts()] == ["sales"]
        assert len(ledger.get_artifacts()) == 3
        assert ledger.get_child_contexts([team.id]) == {team.id: []}
        assert ledger.get_contexts(artifact_id=1) == []


def test_ids_are_never_given_again_and_the_same_external_id_makes_a_new_record(ledger_url):
    with Ledger(ledger_url) as ledger:
        train, score = put(ledger)
        last = max(score.artifact_ids)
        ledger.delete([train.artifact_ids[1], last], [score.execution_id], reason="wrong")
        model = Artifact("Model", name="model", external_id="m-1")
        again = ledger.put_execution(Execution("Train"), [(model, EventType.OUTPUT)])
        assert again.artifact_ids[0] > last
        assert again.execution_id > score.execution_id
        assert [(t.id, t.name) for t in ledger.tombstones(external_ids=["m-1"])] == [(train.artifact_ids[1], "model")]
        ledger.delete(again.artifact_ids, reason="wrong again")
        assert [t.reason for t in ledger.tombstones(external_ids=["m-1"])] == ["wrong", "wrong again"]


def test_lineage_says_what_was_deleted_where_an_event_used_to_lead(ledger_url):
    with Ledger(ledger_url) as ledger:
        train, score = put(ledger)
        ledger.delete([train.artifact_ids[1]], reason="wrong")
        up = ledger.subgraph([score.artifact_ids[1]], bounds=Bounds("upstream"))
        assert [a.name for a in up.artifacts] == ["scores"]
        assert [(t.name, t.reason, {e.execution_id for e in t.events}) for t in up.deleted] == [
            ("model", "wrong", {train.execution_id, score.execution_id})
        ]
        ledger.delete(execution_ids=[score.execution_id], reason="too")
        up = ledger.subgraph([score.artifact_ids[1]], bounds=Bounds("upstream"))
        assert [(t.kind, t.type) for t in up.deleted] == [(TypeKind.EXECUTION, "Score")]
        assert ledger.subgraph([score.artifact_ids[1]], bounds=Bounds("downstream")).deleted == ()
        assert ledger.subgraph([score.artifact_ids[1]], bounds=Bounds("upstream", hops=0)).deleted == ()
        assert ledger.subgraph([score.artifact_ids[1]], bounds=Bounds(execution_types=["Train"])).deleted == ()


@pytest.mark.parametrize(
    ("asked", "reason", "problem", "message"),
    [
        ({"artifact_ids": [1, 99]}, "x", "missing", "no artifact 99 to delete; nothing was deleted"),
        ({"execution_ids": [99], "artifact_ids": [1]}, "x", "missing", "no execution 99"),
        ({"context_ids": [99]}, "x", "missing", "no context 99"),
        ({"artifact_ids": [1]}, " ", "invalid", "needs a reason"),
    ],
)
def test_a_deletion_that_cannot_be_done_deletes_nothing(asked, reason, problem, message):
    with Ledger("sqlite://") as ledger:
        put(ledger)
        before = count(ledger, *tables.THEIRS, *tables.OURS)
        with pytest.raises(RecordError, match=message) as caught:
            ledger.delete(**asked, reason=reason)
        assert caught.value.problem == problem
        assert count(ledger, *tables.THEIRS, *tables.OURS) == before


def test_what_the_lake_itself_rests_on_is_not_deleted(project):
    project.deliver("morning.csv", project.morning)
    project.run()
    with project.lake() as lake:
        ledger = lake._site.ledger
        for asked in (
            *({"artifact_ids": [artifact.id]} for artifact in ledger.get_artifacts()),
            *({"execution_ids": [execution.id]} for execution in ledger.get_executions()),
            *({"context_ids": [context.id]} for context in ledger.get_contexts()),
        ):
            with pytest.raises(RecordError, match="which the lake itself rests on"):
                ledger.delete(**asked, reason="to see")
        assert ledger.tombstones() == []


@pytest.mark.parametrize("ledger_url", ["memory", "postgresql"], indirect=True)
def test_thousands_of_records_are_deleted_in_one_transaction(ledger_url):
    with Ledger(ledger_url, clock=lambda: NOW + timedelta(days=1)) as ledger:
        made = [(Artifact("Thing", external_id=f"{at}"), EventType.OUTPUT) for at in range(5_100)]
        put_ = ledger.put_execution(Execution("Make"), made)
        assert len(ledger.delete(put_.artifact_ids, reason="many")) == 5_100
        assert count(ledger, tables.artifact, tables.event, tables.tombstone) == [0, 0, 5_100]
        assert len(ledger.subgraph(execution_ids=[put_.execution_id]).deleted) == 5_100
