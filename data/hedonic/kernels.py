"""Sums over a hedonic model's cells, and what cars do not state, compiled at import by numba.

This module imports no other kernels, so that `worker.kernel_cache` compiles each module once.
"""

# Numba infers the types of what it compiles from the signature of the outermost function.
# ruff: noqa: ANN001, ANN201, D417, PLR0917
# mypy: disable-error-code="no-untyped-def"

import numpy as np
from numba import types

from data.compilation import compiled

_ints = types.Array(types.int64, 1, "C", readonly=True)
_floats = types.Array(types.float64, 1, "C", readonly=True)
_codes = types.Array(types.int64, 2, "A", readonly=True)
_numbers = types.Array(types.float64, 2, "A", readonly=True)


@compiled(
    types.void(
        _codes, _numbers, _floats, _ints, _ints, _ints, _ints, _ints, _ints,
        _ints, _floats, _floats, _floats, _floats, types.float64[:, ::1],
    )
)  # fmt: skip
def sum_parts(
    codes, numbers, values, key_ends, keys, strides, offsets, multipliers, part_ends,
    variables, lows, spans, origins, at_origin, parts,
):  # fmt: skip
    """Sum the effects of each car by part, in the order of the columns.

    Args:
        codes: (n, keys) codes of the cars.
        numbers: (n, numbers) numbers of the cars; NaN: missing.
        values: coefficients of all cells.
        key_ends: (columns,) end of each column's entries in `keys` and `strides`.
        keys, strides: columns of `codes`, and the strides of their codes.
        offsets: (columns,) first cell of each column.
        multipliers: (columns,) basis column that a column is multiplied by.
        part_ends: (parts,) end of each part's columns.
        variables, lows, spans, origins, at_origin: (curves,) see `predictor._basis_arrays`.
        parts: (n, parts) output.
    """
    curves = np.empty(len(variables))
    for car in range(len(codes)):
        for curve in range(len(variables)):
            value = 1.0 if curve == 0 else numbers[car, variables[curve]]
            if np.isnan(value):
                value = origins[curve]
            position = (value - lows[curve]) / spans[curve]
            curves[curve] = min(max(position, 0.0), 1.0) - at_origin[curve]
        column = key = 0
        for part in range(len(part_ends)):
            total = 0.0
            while column < part_ends[part]:
                cell = offsets[column]
                while key < key_ends[column]:
                    cell += codes[car, keys[key]] * strides[key]
                    key += 1
                total += values[cell] * curves[multipliers[column]]
                column += 1
            parts[car, part] = total


@compiled(
    types.void(
        _codes, _numbers, types.Array(types.boolean, 1, "C", readonly=True), _ints, _ints,
        types.Array(types.float64, 2, "C", readonly=True), _ints, types.float64[:, ::1],
    )
)  # fmt: skip
def impute_parts(codes, numbers, has_words, places, sources, values, columns, parts):
    """Write the imputed effects of the fields that each car does not state.

    Args:
        codes: (n, keys) codes of the cars.
        numbers: (n, numbers) numbers of the cars; NaN: missing.
        has_words: (n,) whether the edition has known words.
        places: columns of vehicle, fuel and company in `codes`, number of fuels, first row of the
            companies in `values`.
        sources: (fields,) what states each field: a column of `numbers`, a column of `codes` after
            these, or -1 for the edition.
        values: (rows, fields) imputed effects by vehicle and fuel, then by company.
        columns: (fields,) columns of the fields in `parts`.
        parts: (n, parts) effects of the cars; changed in place.
    """
    for car in range(len(codes)):
        vehicle = codes[car, places[0]]
        row = places[4] + codes[car, places[2]]
        if vehicle > 0:
            row = vehicle * places[3] + codes[car, places[1]]
        for field in range(len(sources)):
            source = sources[field]
            if source < 0:
                is_missing = not has_words[car]
            elif source < numbers.shape[1]:
                is_missing = np.isnan(numbers[car, source])
            else:
                is_missing = codes[car, source - numbers.shape[1]] == 0
            if is_missing:
                parts[car, columns[field]] = values[row, field]


@compiled(
    types.boolean(
        _numbers, _numbers, _ints, types.boolean, types.boolean, types.boolean[::1],
        types.boolean[::1],
    )
)  # fmt: skip
def find_incomplete(categories, numbers, places, knows_kinds, knows_km, lacks_kind, lacks_km):
    """Write which cars lack fuel or gearbox, and which lack kilometres.

    Args:
        categories: (n, categories) ordinal codes of the values, -1 where missing.
        numbers: (n, numbers) of the cars, NaN where missing.
        places: columns of fuel and gearbox in `categories`, of the kilometres in `numbers`.
        knows_kinds, knows_km: whether what is missing can be completed.
        lacks_kind, lacks_km: (n,) outputs.

    Returns:
        Whether a car lacks one of them.
    """
    any_lacks = False
    for car in range(len(lacks_kind)):
        kind = categories[car, places[0]] == -1.0 or categories[car, places[1]] == -1.0
        lacks_kind[car] = kind and knows_kinds
        lacks_km[car] = np.isnan(numbers[car, places[2]]) and knows_km
        any_lacks |= lacks_kind[car] or lacks_km[car]
    return any_lacks
