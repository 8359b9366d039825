"""Point-in-time features for training, and the newest of each key for serving."""

from __future__ import annotations

from lakehouse.features.assembling import TTL, Assembled, assemble
from lakehouse.features.choosing import Chosen, chosen, columns, entity_keys
from lakehouse.features.joining import point_in_time
from lakehouse.features.publishing import Published, publish
from lakehouse.features.serving import Keys, Server
from lakehouse.features.training import TrainingSet, find, save, usable

__all__ = [
    "TTL",
    "Assembled",
    "Chosen",
    "Keys",
    "Published",
    "Server",
    "TrainingSet",
    "assemble",
    "chosen",
    "columns",
    "entity_keys",
    "find",
    "point_in_time",
    "publish",
    "save",
    "usable",
]
