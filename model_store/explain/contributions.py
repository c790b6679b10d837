"""Converts effects on the log price to contributions in MAD."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.domain.car import CarFeatures
from shared.domain.valuation import Contribution, Explanation


def explanation(
    car: CarFeatures,
    *,
    price_mad: float,
    base_log: float,
    effects_log: Mapping[str, float],
    known: Collection[str],
    averages: Mapping[str, float],
) -> Explanation:
    """Explain a price by the fields that are known of the car.

    Args:
        car: the priced car.
        price_mad: exp(base_log + all effects), rounded to the cent.
        base_log: log price of a car of which no field is known.
        effects_log: effect of each field on the log price.
        known: fields with a value that training has seen; the others are priced as not stated.
        averages: of the training listings, see `Explanation`.

    Returns:
        Contributions by decreasing absolute value; fields without an effect are left out. The base
        includes the effects of the other fields, so it is the price of an average car that is usual
        in them, and the rounding difference, so that all parts sum to the price.
    """
    reasons = {name: log for name, log in effects_log.items() if name in known}
    others = math.fsum(log for name, log in effects_log.items() if name not in known)
    effects_mad = np.round(shapley_values_mad(base_log + others, list(reasons.values())), 2)
    values = (getattr(car, field) for field in reasons)
    contributions = [
        Contribution(field, str(value) if isinstance(value, str) else value, effect)
        for field, value, effect in zip(reasons, values, effects_mad.tolist(), strict=True)
        if effect
    ]
    contributions.sort(key=lambda contribution: -abs(contribution.effect_mad))
    return Explanation(
        base_mad=round(price_mad - sum(each.effect_mad for each in contributions), 2),
        contributions=tuple(contributions),
        averages=averages,
    )


def shapley_values_mad(base_log: float, effects_log: Sequence[float]) -> NDArray[np.float64]:
    """Shapley values, MAD, of the game whose value is exp(base_log + effects of the known fields).

    Each has the sign of its effect; their sum is exp(base_log + all effects) - exp(base_log).
    Effects on the log price multiply the price, so the contribution of a field depends on which
    fields are known before it; the Shapley value averages it over all orders. It is the integral
    over t in [0, 1] of exp(base_log) (exp(a_j) - 1) prod_{i != j} (t exp(a_i) + 1 - t), a
    polynomial in t that Gauss-Legendre quadrature integrates exactly.
    """
    factors = np.exp(np.asarray(effects_log, dtype=np.float64))
    points, weights = np.polynomial.legendre.leggauss(len(factors) // 2 + 1)
    t, weights = (points + 1.0) / 2.0, weights / 2.0
    mixed = np.multiply.outer(t, factors - 1.0) + 1.0
    others = mixed.prod(axis=1, keepdims=True) / mixed
    return np.asarray(np.exp(base_log) * (weights[:, None] * (factors - 1.0) * others).sum(axis=0))
