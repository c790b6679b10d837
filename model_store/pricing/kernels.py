"""From the forest's output to quantiles of prices, compiled at import by numba.

Quantiles, their mixtures, and what listings do not cover. For a single car the calls of numpy that
these loops replace would take longer than the forest. The exponential function of prices is numpy's
everywhere: another one may differ in the last bit.

This module imports no other kernels, so that `worker.kernel_cache` compiles each module once.
"""

# Numba infers the types of what it compiles from the signature of the outermost function.
# ruff: noqa: ANN001, ANN201, D417, PLR0917
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math

import numpy as np
from numba import types

from data.compilation import compiled

_MIN_SPAN = 1e-9
"""Least log price between two quantiles: equal ones would have an infinite density."""
_TOLERANCE = 1e-5
"""Length of the last step, log price; Newton's method is then much more exact than that."""
_MAX_EXCESS = 1e-3
"""Distance from the level before the last step."""
_MAX_STEPS = 60

_float = types.float64
_table = types.Array(_float, 2, "A", readonly=True)
_floats = types.Array(_float, 1, "C", readonly=True)
_parts = types.int64[::1]
_ints = types.Array(types.int64, 1, "C", readonly=True)
_pair = types.Tuple((_float, _float))
_int_table = types.Array(types.int64, 2, "A", readonly=True)
_levels = types.Array(types.int8, 1, "A", readonly=True)
_flags_in = types.Array(types.boolean, 1, "C", readonly=True)
_rows_in = types.Array(_float, 2, "C", readonly=True)
_bits_by_vehicle = types.int64[:, ::1]
_bits_by_value = types.int64[:, :, ::1]
_outputs = types.float64[::1]
_rows = types.float64[:, ::1]


@compiled(
    types.void(
        _floats, _floats, _floats, _float, _floats, _flags_in, _table, _table, _outputs, _outputs,
    )
)  # fmt: skip
def interpolate_scales(
    mean, std, factor, min_std, knots, is_young, below, above, scale_below, scale_above
):
    """Write the scales of the halves of each car's interval.

    Args:
        mean: (n,) log prices.
        std: (n,) standard deviations.
        factor: (n,) their factors.
        min_std: least standard deviation.
        knots: (knots,) increasing log prices.
        is_young: (n,) whether the second row of multipliers applies.
        below, above: (2, knots) multipliers at the knots, linear between them and constant beyond.
        scale_below, scale_above: (n,) outputs.
    """
    last = len(knots) - 1
    for car in range(len(mean)):
        age = 1 if is_young[car] else 0
        at = np.searchsorted(knots, mean[car], side="right") - 1
        if at < 0 or at >= last or knots[at] == mean[car]:
            at = min(max(at, 0), last)
            lower, upper = below[age, at], above[age, at]
        else:
            span, position = knots[at + 1] - knots[at], mean[car] - knots[at]
            lower = (below[age, at + 1] - below[age, at]) / span * position + below[age, at]
            upper = (above[age, at + 1] - above[age, at]) / span * position + above[age, at]
        spread = max(std[car], min_std) * factor[car]
        scale_below[car] = spread * lower
        scale_above[car] = spread * upper


@compiled(types.void(_levels, _floats, _floats, _floats, _rows_in, types.int64, _float, _rows))
def lay_out_quantiles(level, mean, below, above, factors, median, shift, quantiles):
    """Write the log prices of cars at the levels of the quantiles.

    Args:
        level: (n,) levels of information.
        mean: (n,) point estimates, log price.
        below, above: (n,) scales of either side.
        factors: (levels, q) by level of information and quantile.
        median: column of the median, which has the scale above.
        shift: added to every log price.
        quantiles: (n, q) output.
    """
    for car in range(len(mean)):
        middle = mean[car] + shift
        for at in range(quantiles.shape[1]):
            scale = below[car] if at < median else above[car]
            quantiles[car, at] = middle + factors[level[car], at] * scale


@compiled(types.void(_rows, _float))
def limit_log_prices(quantiles, most):
    """Limit log prices (n, q) to 0 and a maximum, in place."""
    for car in range(len(quantiles)):
        for at in range(quantiles.shape[1]):
            # Comparisons with NaN are false: it stays.
            if quantiles[car, at] < 0.0:
                quantiles[car, at] = 0.0
            elif quantiles[car, at] > most:
                quantiles[car, at] = most


@compiled(types.void(_rows))
def round_to_cents(prices):
    """Round prices (n, q) to two decimals, half to even, in place."""
    for car in range(len(prices)):
        for at in range(prices.shape[1]):
            prices[car, at] = np.rint(prices[car, at] * 100.0) / 100.0


@compiled(_pair(_table, _table, _parts, _floats, _float, types.int64))
def level_and_density(quantiles, slopes, parts, scores, price, scenario):
    """Level and density of a log price in the distribution of a scenario.

    The log-odds of the level are linear in the log price between two quantiles, and beyond the
    outer ones: a smooth distribution that needs one exponential.

    Args:
        quantiles: (scenarios, q) log prices, not decreasing along a row.
        slopes: (scenarios, q - 1) log-odds per log price between two quantiles.
        parts: (scenarios,) the quantile that the last price of each scenario was above; updated.
        scores: (q,) log-odds of the levels of `quantiles`.
        price: log price.
        scenario: number of the scenario.
    """
    # Prices of one car are asked in nearly increasing order.
    part, last = parts[scenario], quantiles.shape[1] - 2
    while part > 0 and price <= quantiles[scenario, part]:
        part -= 1
    while part < last and price > quantiles[scenario, part + 1]:
        part += 1
    parts[scenario] = part
    slope = slopes[scenario, part]
    score = scores[part] + (price - quantiles[scenario, part]) * slope
    level = 1.0 / (1.0 + math.exp(-score))
    return level, level * (1.0 - level) * slope


@compiled(_float(_table, _table, _parts, _floats, _floats, _float, _float, _float, _float))
def find_quantile(quantiles, slopes, parts, weights, scores, level, price, low, high):
    """The log price at a level of a mixture, by Newton's method inside a bracket.

    Args:
        quantiles: (scenarios, q) log prices, not decreasing along a row.
        slopes: (scenarios, q - 1) see `level_and_density`.
        parts: (scenarios,) see `level_and_density`.
        weights: (scenarios,) positive, with the sum 1.
        scores: (q,) log-odds of the levels of `quantiles`.
        level: between 0 and 1.
        price: first guess.
        low: lower end of the bracket.
        high: its upper end.
    """
    earlier = math.inf
    for _ in range(_MAX_STEPS):
        price = min(max(price, low), high)
        reached = density = 0.0
        for scenario in range(len(weights)):
            part, dense = level_and_density(quantiles, slopes, parts, scores, price, scenario)
            reached += weights[scenario] * part
            density += weights[scenario] * dense
        if reached > level:
            high = price
        else:
            low = price
        excess = reached - level
        following = price - excess / density if density > 0.0 else low - 1.0
        moved = abs(following - price)
        is_short = moved < _TOLERANCE
        if is_short and abs(excess) < _MAX_EXCESS:
            return min(max(following, low), high)
        if high - low < _TOLERANCE:
            break
        # The density jumps at every quantile, and the level where two are nearly equal: Newton's
        # method may leave the bracket, go in a circle, or stop far from the level.
        if is_short or moved > 0.5 * earlier or not low <= following <= high:
            following = 0.5 * (low + high)
        earlier, price = abs(following - price), following
    return 0.5 * (low + high)


@compiled(types.void(_table, _floats, _ints, _floats, _floats, types.float64[:, ::1]))
def mix_quantiles(quantiles, weights, starts, levels, scores, mixed):
    """Quantiles of each car's mixture of scenarios.

    Args:
        quantiles: (scenarios, q) log prices at `levels`, not decreasing along a row.
        weights: (scenarios,) positive; those of one car sum to 1.
        starts: (n + 1,) first scenario of each car, then the number of scenarios.
        levels: (q,) increasing levels between 0 and 1.
        scores: (q,) log-odds of the levels.
        mixed: (n, q) output: log prices at `levels`, not decreasing along a row.
    """
    most = 0
    for car in range(len(starts) - 1):
        most = max(most, starts[car + 1] - starts[car])
    slopes = np.empty((most, len(scores) - 1))
    parts = np.zeros(most, dtype=np.int64)
    for car in range(len(starts) - 1):
        first, last = starts[car], starts[car + 1]
        if last == first + 1:
            mixed[car] = quantiles[first]
            continue
        rows, shares = quantiles[first:last], weights[first:last]
        parts[: len(shares)] = 0
        for scenario in range(len(shares)):
            for part in range(len(scores) - 1):
                span = max(rows[scenario, part + 1] - rows[scenario, part], _MIN_SPAN)
                slopes[scenario, part] = (scores[part + 1] - scores[part]) / span
        for place in range(len(levels)):
            # The mixture's quantile lies between the lowest and the highest of the scenarios'.
            column = rows[:, place]
            low, high = column.min(), column.max()
            if place > 0:
                low = max(low, mixed[car, place - 1])
                high = max(low, high)
            guess = 0.0
            for scenario in range(len(shares)):
                guess += shares[scenario] * column[scenario]
            mixed[car, place] = find_quantile(
                rows, slopes, parts, shares, scores, levels[place], guess, low, high
            )


# The places are arguments: machine code that numba keeps on disk would not follow a constant of
# another module.
@compiled(
    types.boolean(
        _int_table,
        _table,
        _table,
        _levels,
        _ints,
        _bits_by_vehicle,
        types.float64[:, ::1],
        types.int64,
        _bits_by_value,
        types.int64,
        types.int64[::1],
    )
)
def note_uncovered(
    codes, numbers, categories, level, places, sparse, max_km, km_bit, unseen, outside, notes
):
    """Write the bits of the notes on each car that the listings of its model do not cover.

    Args:
        codes: (n, keys) of the cars.
        numbers: (n, numbers) of the cars, NaN where missing.
        categories: (n, categories) ordinal codes of the values, -1 where missing.
        level: (n,) levels of information.
        places: columns of the vehicle and the year in `codes`, of the kilometres in `numbers`, and
            of the fields of `unseen` in `categories`.
        sparse: (vehicles, years) bits of the note on the year.
        max_km: (vehicles, years) most kilometres that are covered.
        km_bit: of the note on more kilometres.
        unseen: (fields, vehicles, values + 1) bits of the note on a value, of a missing one first.
        outside: the level of a car with a number outside the training range.
        notes: (n,) output.

    Returns:
        Whether a car has the level `outside`.
    """
    any_outside = False
    vehicle_key, year_key, km_number = places[0], places[1], places[2]
    for car in range(len(notes)):
        vehicle, year = codes[car, vehicle_key], codes[car, year_key]
        found = sparse[vehicle, year]
        # A comparison with NaN is false.
        if numbers[car, km_number] > max_km[vehicle, year]:
            found |= km_bit
        notes[car] = found
        if level[car] == outside:
            any_outside = True
    for field in range(len(unseen)):
        column = places[3 + field]
        for car in range(len(notes)):
            value = int(categories[car, column])
            notes[car] |= unseen[field, codes[car, vehicle_key], value + 1]
    return any_outside
