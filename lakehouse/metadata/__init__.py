"""The ledger: what ran, what it read, what it made, kept in an ML Metadata database.

The only package that imports SQLAlchemy. It stores records and finds them again; it never touches
raw files or tables, and never decides what to run.

Its modules, each importing only from lines below its own or beside it:

    ledger                            the lake's own face: types register themselves, what is known is reused
    store                             ML Metadata's face: its whole model, as strict as it is
    replacing                         a ledger made anew in the place of a lost one
    database                          opening, transactions
    migrations                        the lake's own tables brought forward
    leasing                           who is at something just now
    remembering                       what is remembered between runs, and what follows from its changes
    writing, restoring                one execution with all that belongs to it; a ledger out of receipts
    subgraph, deletion, neighbours    lineage, tombstones, the other ends of events
    overview, dangling                totals and newest versions; broken references
    links, nodes, types               the rows of records: what ties them together, what they are of
    reading, filtering                rows as records; filter queries
    properties, structs               values as columns
    kinds, statements                 the three kinds of records; statements that are prepared once
    dialects, engines, failures       what the databases say differently; connections; errors
    tables                            ML Metadata's fifteen and the lake's own
"""

from __future__ import annotations

from lakehouse.metadata.leasing import Lease
from lakehouse.metadata.ledger import Ledger
from lakehouse.metadata.neighbours import MAKES, READS, End, Neighbour
from lakehouse.metadata.overview import Origins, Total
from lakehouse.metadata.remembering import Change, Queued
from lakehouse.metadata.store import ListOptions, Reuse, Store
from lakehouse.metadata.subgraph import Bounds, Direction, Ending, Subgraph
from lakehouse.metadata.writing import PutResult

__all__ = [
    "MAKES",
    "READS",
    "Bounds",
    "Change",
    "Direction",
    "End",
    "Ending",
    "Lease",
    "Ledger",
    "ListOptions",
    "Neighbour",
    "Origins",
    "PutResult",
    "Queued",
    "Reuse",
    "Store",
    "Subgraph",
    "Total",
]
