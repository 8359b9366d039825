"""Data that evolves: statistics, schemas and anomalies of datasets, as the front doors ask for them."""

from lakehouse.evolution.judging import Against, validate
from lakehouse.evolution.measuring import statistics
from lakehouse.evolution.schemas import Proposal, SchemaDifference, Schemas, SchemaVersion

__all__ = ["Against", "Proposal", "SchemaDifference", "SchemaVersion", "Schemas", "statistics", "validate"]
