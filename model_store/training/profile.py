"""Bins the training data: the profile with which drift is measured.

A named category stands for at least `MIN_CATEGORY_COUNT` listings, and a numeric bin for about a
tenth of them.
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

MIN_CATEGORY_COUNT = 10
MAX_CATEGORIES: Mapping[str, int] = {"company": 25, "model": 40}
_DEFAULT_MAX_CATEGORIES = 20
_MAX_DISTINCT_NUMBERS = 12
"""Numbers with at most this many distinct values, like doors, are categories."""
_DECILES = np.arange(1, 10) / 10


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
    kept = tuple(name for name, count in ordered[:limit] if count >= MIN_CATEGORY_COUNT)
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
    edges: npt.NDArray[np.float64] = np.unique(
        np.quantile(stated, _DECILES, method="higher") if len(stated) else stated
    )
    counts = np.bincount(np.searchsorted(edges, stated, side="right"), minlength=len(edges) + 1)
    return FieldProfile(
        categories=None,
        edges=tuple(edges.tolist()),
        shares=_shares([*counts.tolist(), len(values) - len(stated)]),
    )


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = max(sum(counts), 1)
    return tuple(round(count / total, 6) for count in counts)
