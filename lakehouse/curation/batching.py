"""What a curation has to do, batch by batch: which raw files of which sources, or which snapshots, and where to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from lakehouse.config import Dataset
from lakehouse.curation import arrivals, planning
from lakehouse.curation.batch import cut
from lakehouse.curation.intakes import Intake
from lakehouse.curation.pending import Again, Look, Pending, Together, look, newest_looks, raw_files, verify
from lakehouse.curation.planning import Given
from lakehouse.records import RawFile
from lakehouse.site import Site
from lakehouse.timeline import Timeline

__all__ = ["batches", "look_at"]


def look_at(  # noqa: PLR0913  # the question's parts
    site: Site, dataset: Dataset, intakes: Mapping[str, Intake], past: Timeline, again: Again | None, *, judged: str
) -> Together:
    """Find what is to be read, of all sources of a dataset.

    Args:
        site: the opened lake.
        dataset: the dataset.
        intakes: how the files of each source become rows.
        past: the dataset's past.
        again: what is taken again.
        judged: of what batches are judged by now.

    Raises:
        NotFoundError: a raw file is to be taken again that there is not.
    """

    def parts(since: Mapping[str, Look]) -> dict[str, Pending]:
        return {
            source: look(
                site.ledger,
                source,
                past,
                fingerprint=intake.fingerprint,
                judged=judged,
                since=since.get(source),
                again=again,
                others=[other for other in intakes if other != source],
                corrects=dataset.corrects,
                keyed=dataset.keyed,
            )
            for source, intake in intakes.items()
        }

    since = newest_looks(past, intakes) if again is None else {}
    pending = Together(parts(since))
    if dataset.history == "snapshots" and since:
        # Where nothing came there is nothing to do; else it matters what there was before.
        landed = any(part.seen.landing != since[source].landing for source, part in pending.parts.items())
        new = landed or bool(pending.files)
        pending = Together(parts({})) if new else dataclasses.replace(pending, nothing_new=True)
    verify(again.raw if again is not None else (), pending.files, intakes)
    return pending


def batches(site: Site, dataset: Dataset, past: Timeline, pending: Together, again: Again | None) -> Iterator[Given]:
    """Cut what is pending in batches, a commit each; none where there is nothing to do.

    Raises:
        SchemaError: the rows would no longer fit the table.
        MetadataError: the ledger is older than the tables.
    """
    everything = again is not None and again.everything
    if dataset.history == "snapshots":
        yield from _snapshots(site, dataset, past, pending, again, everything=everything)
    elif pending.files or pending.replaced(()):
        yield from _files(site, dataset, past, pending, everything=everything)


def _files(site: Site, dataset: Dataset, past: Timeline, pending: Together, *, everything: bool) -> Iterator[Given]:
    """The files in their order, cut by their bytes."""
    target = planning.target(site, dataset, past, everything=everything)
    anew = target.anew or bool(pending.foreign)
    files = sorted(pending.files, key=lambda file: file.landed_at) if dataset.keyed else pending.files
    # What takes the place of everything must come in one commit.
    limit = None if anew else site.config.batch_bytes
    cuts = [piece for some in _rounds(files) for piece in cut(some, lambda file: file.size, limit)] or [[]]
    for number, piece in enumerate(cuts):
        yield Given(piece, pending, target, anew=anew and number == 0)


def _snapshots(  # noqa: PLR0913  # as batches
    site: Site, dataset: Dataset, past: Timeline, pending: Together, again: Again | None, *, everything: bool
) -> Iterator[Given]:
    """The snapshots in the order of their times."""
    if pending.nothing_new:
        return
    ((source, part),) = pending.parts.items()
    wanted = Again() if pending.foreign else again
    order = arrivals.look(site.ledger, source, dataset, past, refused=part.barred, again=wanted)
    target = planning.target(site, dataset, past, everything=everything)
    anew = target.anew or bool(pending.foreign)
    if anew:  # what they take the place of is all there is
        order = dataclasses.replace(order, gone=frozenset())
    if not (order.wanted or order.nameless or order.gone):
        return
    files = {file.sha256: file for file in raw_files(site.ledger, source, order.contents)}
    # What takes the place of older rows must come in one commit.
    limit = None if order.gone or anew else site.config.batch_bytes
    kept = order.kept
    for number, piece in enumerate(list(cut(order.wanted, lambda one: files[one.sha256].size, limit)) or [[]]):
        own = dataclasses.replace(order, kept=kept, wanted=tuple(piece))
        if number:
            own = dataclasses.replace(own, gone=frozenset(), nameless=())
        yield Given([files[sha] for sha in own.contents], pending, target, anew=anew and not number, order=own)
        kept = (*kept, *piece)


def _rounds(files: Sequence[RawFile]) -> Iterator[list[RawFile]]:
    """The files, cut so that no part holds the same bytes of two sources: a commit's rows name their bytes alone."""
    left = list(files)
    while left:
        now = {file.sha256: file for file in reversed(left)}  # the first of each
        yield [file for file in left if now[file.sha256] is file]
        left = [file for file in left if now[file.sha256] is not file]
