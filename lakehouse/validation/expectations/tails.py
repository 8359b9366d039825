"""Student's t distribution: how likely a value so far out is."""

from __future__ import annotations

import math

__all__ = ["beyond", "limit"]

_STEPS = 300
_CLOSE = 1e-14
_TINY = 1e-300


def beyond(t: float, freedom: float) -> float:
    """The chance that a t variable is further from 0 than ``t``, on either side.

    Args:
        t: how far, in scales.
        freedom: degrees of freedom, above 0.
    """
    within = freedom + t * t
    return _regularised_beta(freedom / within, t * t / within, freedom / 2, 0.5)


def limit(chance: float, freedom: float) -> float:
    """The ``t`` beyond which a t variable lies with this chance, on either side; the inverse of `beyond`."""
    low, high = 0.0, 1.0
    while beyond(high, freedom) > chance:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if beyond(middle, freedom) > chance:
            low = middle
        else:
            high = middle
    return high


def _regularised_beta(x: float, y: float, a: float, b: float) -> float:
    """I_x(a, b), by Lentz's continued fraction (Abramowitz and Stegun, 26.5.8); ``y`` is 1 - x, to its last digit."""
    if x <= 0 or y <= 0:
        return float(y <= 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _regularised_beta(y, x, b, a)
    front = a * math.log(x) + b * math.log(y) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _STEPS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + numerator * d)
            c = _away(1 + numerator / c)
            fraction *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return math.exp(front) * fraction / a


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
