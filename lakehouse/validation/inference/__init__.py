"""A schema from statistics, and proposals to change one: for a person to read and accept, never a gate."""

from __future__ import annotations

from pydantic import ValidationError

from lakehouse.errors import SchemaError
from lakehouse.schema import PROVENANCE, Schema
from lakehouse.validation.inference.changes import Change, Update
from lakehouse.validation.inference.inferring import features
from lakehouse.validation.inference.proposing import update_schema
from lakehouse.validation.statistics import Statistics

__all__ = ["Change", "Update", "infer_schema", "update_schema"]


def infer_schema(statistics: Statistics, *, max_domain: int = 100, cautious: bool = True) -> Schema:
    """The schema that statistics suggest, for a person to read.

    A feature is required when no row lacks it, else one value must be there. A text column of few distinct values
    gets them as its domain. Numbers get no range: the next batch's largest is as likely as not above this one's.

    Args:
        statistics: of a batch, or of a whole dataset.
        max_domain: text columns of more distinct values get no domain.
        cautious: expect tomorrow's rows too. Numbers are ``bool`` only where both 0 and 1 were seen; texts that are
            all dates, datetimes or truth values become that; a column where more than a quarter of the values were
            seen just once gets no domain, and one where any was gets ``severity: {domain: warning}``, so that a
            new value is told but its row is kept. Without caution, TensorFlow Data Validation's rules to the letter.

    Raises:
        SchemaError: there is no column, or one has a name that no feature can have.
    """
    known = {path: one for path, one in statistics.features.items() if path.split(".")[0] not in PROVENANCE}
    if not known:
        raise SchemaError("no schema can be inferred: the statistics have no columns")
    try:
        return Schema.model_validate({"features": features(known, max_domain, cautious=cautious)})
    except ValidationError as error:
        said = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors(include_input=False))
        raise SchemaError(f"no schema can be inferred: {said}") from None
