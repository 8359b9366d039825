"""How many distinct values there are, from 16,384 registers that add up exactly.

HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007): a value's hash picks a register, which keeps the most zeros
that any of its hashes begins with, plus one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import cache

import polars as pl

__all__ = ["ERROR", "REGISTERS", "estimate", "fingerprint", "merge", "register", "registers_of", "slots"]

_BITS = 14
_MOST = 64 - _BITS + 1  # what a register can hold
REGISTERS = 1 << _BITS
ERROR = 1.04 / math.sqrt(REGISTERS)
"""The estimate's relative standard error: 0.8 %."""


def register(value: pl.Expr) -> pl.Expr:
    """The register a value belongs to (UInt16): the low bits of its hash."""
    return (value.hash() & (REGISTERS - 1)).cast(pl.UInt16)


def slots(values: pl.LazyFrame, figures: Mapping[str, pl.Expr] | None = None) -> pl.LazyFrame:
    """A frame's column ``value``, without nulls, by register.

    Args:
        values: the frame.
        figures: what else is wanted of the values of each register.

    Returns:
        ``register`` (UInt16), ``count`` (rows), ``least`` (UInt64), which is the smallest hash and so begins with most
        zeros, and the figures.
    """
    value = pl.col("value")
    return values.group_by(register(value).alias("register")).agg(
        pl.len().cast(pl.UInt64).alias("count"), value.hash().min().alias("least"), **(figures or {})
    )


def registers_of(found: pl.DataFrame) -> bytes:
    """The registers of what `slots` found, a byte each."""
    rank = pl.col("least").bitwise_leading_zeros().clip(upper_bound=_MOST - 1) + 1
    held = pl.zeros(REGISTERS, dtype=pl.UInt8, eager=True)
    return bytes(held.scatter(found["register"], found.select(rank.cast(pl.UInt8)).to_series()).to_list())


def merge(one: bytes, other: bytes) -> bytes:
    """The registers of the values of both."""
    return bytes(map(max, one, other))


def estimate(registers: bytes) -> int:
    """About how many distinct values the registers have seen.

    The estimator is Ertl's (New cardinality estimation algorithms for HyperLogLog sketches, 2017, algorithm 6): it
    needs no other one for few values, and has no bias in between.
    """
    found = Counter(registers)
    above = found[_MOST]
    total = REGISTERS * _tau(1 - above / REGISTERS)
    for rank in range(_MOST - 1, 0, -1):
        total = (total + found[rank]) / 2
    total += REGISTERS * _sigma(found[0] / REGISTERS)
    return round(REGISTERS * REGISTERS / (2 * math.log(2) * total))


def _sigma(x: float) -> float:
    """``x`` plus the sum of ``x ** 2 ** k * 2 ** (k - 1)`` over k from 1 on."""
    if x == 1:
        return math.inf
    power, before, total = 1.0, -1.0, x
    while total != before:
        x, before = x * x, total
        total += x * power
        power *= 2
    return total


def _tau(x: float) -> float:
    """A third of ``1 - x`` less the sum of ``(1 - x ** 2 ** -k) ** 2 * 2 ** -k`` over k from 1 on."""
    if x in (0, 1):
        return 0.0
    power, before, total = 1.0, -1.0, 1 - x
    while total != before:
        x, before = math.sqrt(x), total
        power /= 2
        total -= (1 - x) ** 2 * power
    return total / 3


@cache
def fingerprint() -> str:
    """What tells one way of hashing from another: polars does not promise its own to stay as it is.

    Registers whose fingerprints differ do not add up.
    """
    samples: list[pl.Series] = [
        pl.Series([1, 2**53 + 1, -7]),
        pl.Series([0.5, 1e300]),
        pl.Series(["", "a", "a longer text, of more than twelve bytes"]),
        pl.Series([b"a"]),
        pl.Series([1], dtype=pl.Int128),
        pl.Series([1], dtype=pl.UInt64),
        pl.Series([1], dtype=pl.Date),
        pl.Series([1], dtype=pl.Datetime("us", "UTC")),
        pl.Series(["1.50"]).cast(pl.Decimal(9, 2)),
    ]
    mixed = 0
    for number in (n for series in samples for n in series.hash().to_list()):
        mixed = (mixed * 1_000_003 + int(number)) % 2**64
    return f"{mixed:016x}"
