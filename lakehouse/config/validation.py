"""What is measured and judged when a dataset is curated."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["HistoryPolicy", "Validation"]

_FORBID = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HistoryPolicy(BaseModel):
    """How a batch is held against the dataset's own past, without limits that anybody wrote.

    Attributes:
        batches: how many of the newest batches are its past.
        rate: of batches with nothing odd about them, the share that may be called odd all the same.
    """

    model_config = _FORBID

    batches: int = Field(30, ge=2, le=1000, strict=True)
    rate: float = Field(0.01, gt=0, le=0.5)


def _policy(value: Any) -> Any:
    if value is False or value == "off":
        return None
    if value is True or value == "on":
        return HistoryPolicy()
    if isinstance(value, str):
        raise ValueError("must be off, or {batches: 30, rate: 0.01}")  # noqa: TRY004  # pydantic's way
    return value


class Validation(BaseModel):
    """A dataset's ``validation:``.

    Attributes:
        statistics: whether statistics are gathered and kept at every curation; without them nothing about a batch
            as a whole is judged, and rows are checked all the same.
        environment: which of the schema's environments the rows are of.
        history: how a batch is held against those before it; None is off.
    """

    model_config = _FORBID

    statistics: bool = Field(default=True, strict=True)
    environment: str | None = None
    history: Annotated[HistoryPolicy | None, BeforeValidator(_policy)] = HistoryPolicy()
