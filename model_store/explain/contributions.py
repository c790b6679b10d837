"""From effects on the log price to shares of the price in MAD."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.domain.car import CarFeatures
from shared.domain.valuation import Contribution, Explanation


def explanation(
    car: CarFeatures, *, price_mad: float, base_log: float, effects_log: Mapping[str, float]
) -> Explanation:
    """Explain a price.

    Args:
        car: whose fields the effects belong to.
        price_mad: exp(base_log + all effects), rounded to the cent.
        base_log: log price of a car about which nothing is known.
        effects_log: what each field of the car adds to it.

    Returns:
        The largest contributions first; fields without any effect are left out. The cents that
        rounding leaves over stand in the base.
    """
    fields = list(effects_log)
    effects_mad = np.round(
        shapley_values_mad(base_log, [effects_log[field] for field in fields]), 2
    )
    contributions = [
        Contribution(feature=field, value=_as_json_value(getattr(car, field)), effect_mad=effect)
        for field, effect in zip(fields, effects_mad.tolist(), strict=True)
        if effect
    ]
    contributions.sort(key=lambda contribution: -abs(contribution.effect_mad))
    return Explanation(
        base_mad=round(price_mad - sum(each.effect_mad for each in contributions), 2),
        contributions=tuple(contributions),
    )


def shapley_values_mad(base_log: float, effects_log: Sequence[float]) -> NDArray[np.float64]:
    """Shapley values of the game whose worth is exp(base_log + effects of the fields that play).

    Each has its effect's sign, and their sum is exp(base_log + all effects) - exp(base_log).
    On this scale effects multiply, so that a field's share depends on the others; the Shapley
    value is its mean over all orders in which the fields could be added. It is the integral over
    t in [0, 1] of exp(base_log) (exp(a_j) - 1) prod_{i != j} (t exp(a_i) + 1 - t), a polynomial
    in t, which Gauss-Legendre quadrature finds exactly.
    """
    factors = np.exp(np.asarray(effects_log, dtype=np.float64))
    points, weights = np.polynomial.legendre.leggauss(len(factors) // 2 + 1)
    t, weights = (points + 1.0) / 2.0, weights / 2.0
    mixed = np.multiply.outer(t, factors - 1.0) + 1.0
    others = mixed.prod(axis=1, keepdims=True) / mixed
    return np.asarray(np.exp(base_log) * (weights[:, None] * (factors - 1.0) * others).sum(axis=0))


def _as_json_value(value: Any) -> Any:
    """A category as the text that stands for it."""
    return str(value) if isinstance(value, StrEnum) else value
