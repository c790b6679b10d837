"""Bins the training data: the profile with which drift is measured.

A named category and an interval of numbers stand for at least `MIN_COUNT` listings each, and the
edges of intervals are rounded, so that no value of a single listing is published.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.ordinal_encoder import NUMBERS
from data.listings.table import car_columns
from model_store.drift.profile import PRICE_FIELD, FieldProfile, TrainingProfile, category_name
from shared.domain.car import FIELD_NAMES

MIN_COUNT = 10
MAX_CATEGORIES: Mapping[str, int] = {"company": 25, "model": 40}
_DEFAULT_MAX_CATEGORIES = 20
_MAX_DISTINCT_NUMBERS = 12
"""Numbers with at most this many distinct values, like doors, are categories."""
_MAX_INTERVALS = 10


def training_profile(listings: pd.DataFrame, price_mad: npt.NDArray[np.float64]) -> TrainingProfile:
    """Bin the listings that a model is trained on.

    Args:
        listings: a canonical table (`data.listings.table`).
        price_mad: (n,) estimates of the listings by trees that have not seen them: estimates vary
            less than asking prices, so they are compared with estimates.
    """
    columns = car_columns(listings)
    fields = {
        name: _numeric(columns[name]) if name in NUMBERS else _categorical(name, columns[name])
        for name in FIELD_NAMES
    }
    fields[PRICE_FIELD] = _numeric(price_mad.tolist())
    return TrainingProfile(rows=len(listings), fields=fields)


def _categorical(name: str, values: Sequence[Any]) -> FieldProfile:
    counts = Counter(category_name(value) for value in values if value is not None)
    limit = MAX_CATEGORIES.get(name, _DEFAULT_MAX_CATEGORIES)
    # By count and name: the order of equal counts must not depend on the order of the rows.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = tuple(name for name, count in ordered[:limit] if count >= MIN_COUNT)
    stated = sum(counts.values())
    named = [counts[name] for name in kept]
    return FieldProfile(
        categories=kept,
        edges=(),
        shares=_shares([*named, stated - sum(named), len(values) - stated]),
    )


def _numeric(values: Sequence[Any]) -> FieldProfile:
    stated = np.array([value for value in values if value is not None], dtype=np.float64)
    distinct = np.unique(stated)
    if 0 < len(distinct) <= _MAX_DISTINCT_NUMBERS:
        return _categorical("", values)
    edges = _edges(stated)
    counts = _counts(stated, edges)
    return FieldProfile(
        categories=None,
        edges=tuple(edges.tolist()),
        shares=_shares([*counts.tolist(), len(values) - len(stated)]),
    )


def _edges(stated: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rounded quantiles between intervals of at least `MIN_COUNT` values; none: too few values."""
    intervals = min(_MAX_INTERVALS, len(stated) // MIN_COUNT)
    if intervals <= 1:
        return np.empty(0)
    quantiles = np.quantile(stated, np.arange(1, intervals) / intervals, method="higher")
    edges: npt.NDArray[np.float64] = np.unique(_rounded(quantiles, stated))
    while len(edges) and (counts := _counts(stated, edges)).min() < MIN_COUNT:
        edges = np.delete(edges, min(int(counts.argmin()), len(edges) - 1))
    return edges


def _rounded(
    quantiles: npt.NDArray[np.float64], stated: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The quantiles as multiples of a power of ten, at most a tenth of the middle four fifths."""
    low, high = np.quantile(stated, (0.1, 0.9))
    if high <= low:
        return quantiles
    step = 10.0 ** np.floor(np.log10((high - low) / 10))
    return np.asarray(np.round(np.round(quantiles / step) * step, 9))


def _counts(
    stated: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Number of values in each interval, (edges + 1,)."""
    return np.bincount(np.searchsorted(edges, stated, side="right"), minlength=len(edges) + 1)


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = max(sum(counts), 1)
    return tuple(round(count / total, 6) for count in counts)
