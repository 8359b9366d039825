"""What a dataset says of the format of its files, over what their source says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakehouse.formats import Format

__all__ = ["laid", "over"]


def over(said: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of a format with others over them; another type takes the place of all that was said."""
    return {**more} if more.get("type", said.get("type")) != said.get("type") else {**said, **more}


def laid(base: Format, said: Mapping[str, Any]) -> dict[str, Any]:
    """A source's format with a dataset's entries over it, as the format's class takes them."""
    return over(base.model_dump(exclude_unset=True) | {"type": base.type}, said)
