"""Asking prices compared with the market, for whole columns; see `Estimate.verdict`."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.domain.files.notes import ALL_EXTRAPOLATED
from shared.domain.valuation import QUANTILE_LEVELS, VerdictPosition

Floats: TypeAlias = NDArray[np.float64]

_FAIR_LOW, _MEDIAN, _FAIR_HIGH = (QUANTILE_LEVELS.index(level) for level in (0.25, 0.50, 0.75))


def verdict_cells(
    asking_mad: Floats,
    quantiles_mad: Floats,
    model_known: NDArray[np.bool_],
    notes: NDArray[np.int64],
) -> Sequence[Sequence[Any]]:
    """Cells of `VERDICT_COLUMNS`; without an asking price only the fair range is filled.

    Args:
        asking_mad: (n,) NaN where there is no asking price.
        quantiles_mad: (n, levels) prices at `QUANTILE_LEVELS`.
        model_known: (n,) whether the model has statistics of the car's model.
        notes: (n,) bits of `MODEL_NOTES`.
    """
    can_judge = model_known & (notes & ALL_EXTRAPOLATED == 0)
    low, high = quantiles_mad[:, _FAIR_LOW], quantiles_mad[:, _FAIR_HIGH]
    names = np.array(
        [
            VerdictPosition.FAIR,
            VerdictPosition.BELOW,
            VerdictPosition.ABOVE,
            VerdictPosition.UNCERTAIN,
        ],
        object,
    )
    side = np.where(asking_mad < low, 1, np.where(asking_mad > high, 2, 0))
    position = names[np.where(can_judge, side, 3)]
    difference = np.round(asking_mad - quantiles_mad[:, _MEDIAN], 2)
    blank = np.isnan(asking_mad).tolist()
    return (
        _cells(map(str, position), blank),
        _cells(
            _percentiles(asking_mad, quantiles_mad).tolist(),
            (np.isnan(asking_mad) | ~can_judge).tolist(),
        ),
        low.tolist(),
        high.tolist(),
        _cells(difference.tolist(), blank),
    )


def _percentiles(asking_mad: Floats, quantiles_mad: Floats) -> Floats:
    """Share of cars like this one that cost less (0 to 100), log-linear between quantiles."""
    levels = np.asarray(QUANTILE_LEVELS)
    rows = np.arange(len(asking_mad))
    right = (quantiles_mad <= asking_mad[:, None]).sum(axis=1).clip(1, len(levels) - 1)
    low, high = quantiles_mad[rows, right - 1], quantiles_mad[rows, right]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(asking_mad / low) / np.log(high / low)
    share = np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0)
    return np.asarray(
        np.round(100 * (levels[right - 1] + share * (levels[right] - levels[right - 1])), 1)
    )


def _cells(values: Any, blank: Sequence[bool]) -> list[Any]:
    return ["" if is_blank else value for value, is_blank in zip(values, blank, strict=True)]
