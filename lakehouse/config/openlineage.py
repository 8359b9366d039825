"""Where a lake's OpenLineage events go: the ``openlineage`` of ``lakehouse.yaml``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from lakehouse.units import Duration

__all__ = ["OpenLineage", "Transport"]

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
_OF = {"file": ("path",), "console": (), "http": ("url", "endpoint", "timeout", "auth")}


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not value.isprintable() or " " in value:
        raise ValueError("must be an address that starts with http:// or https:// and names a host")
    return value


class ApiKey(BaseModel):
    """A key that is sent as ``Authorization: Bearer …``."""

    model_config = _STRICT

    type: Literal["api_key"]
    api_key: SecretStr = Field(min_length=1)


class Transport(BaseModel):
    """How events are delivered.

    Attributes:
        type: ``file`` (a line of JSON an event, appended), ``console`` (the same on standard error) or ``http``.
        path: of ``file``: the file; a relative one starts at the project's folder.
        url: of ``http``: the server.
        endpoint: of ``http``: where below it events are posted.
        timeout: of ``http``: the longest a server may take for an event, and an operation for what is left at its end.
        auth: of ``http``.
    """

    model_config = _STRICT

    type: Literal["file", "console", "http"]
    path: str | None = Field(None, min_length=1)
    url: Annotated[str, AfterValidator(_url)] | None = None
    endpoint: str = Field("api/v1/lineage", min_length=1)
    timeout: Annotated[Duration, Field(gt=timedelta(), le=timedelta(minutes=1))] = timedelta(seconds=5)
    auth: ApiKey | None = None

    @model_validator(mode="after")
    def _has_the_keys_of_its_type(self) -> Transport:
        own = _OF[self.type]
        if odd := sorted(self.model_fields_set - {"type", *own}):
            keys = f"its keys are {', '.join(own)}" if own else "it has no other keys"
            raise ValueError(f"{odd[0]}: does not belong to type: {self.type}; {keys}")
        if own and getattr(self, own[0]) is None:
            raise ValueError(f"{own[0]}: is required with type: {self.type}")
        return self


class OpenLineage(BaseModel):
    """What is told to the outside of every run, and how.

    Attributes:
        namespace: of the jobs; one a lake, so that two lakes' jobs of one name stay apart.
    """

    model_config = _STRICT

    namespace: str = Field("default", min_length=1)
    transport: Transport
