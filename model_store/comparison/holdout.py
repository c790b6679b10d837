"""Splits listings into those that a trial is trained on and those that it is judged by."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.table import LISTING_DATE
from data.market.calibrate import near_duplicate_groups

_MIN_HELD_OUT_ROWS = 300
_MIN_HELD_OUT_SHARE = 0.05
_MAX_HELD_OUT_SHARE = 0.35
"""Share of the listings above which the last months are not held out: too little would be left."""
_RANDOM_SHARE = 0.15


class HeldOut(NamedTuple):
    """A table of listings in two parts."""

    before: pd.DataFrame
    """What a trial is trained on."""
    held_out: pd.DataFrame
    """What it is judged by."""
    basis: str
    """How the listings were held out, in words: the months, or a random part and why."""
    relisted: int
    """Listings of the held-out months that are in neither part: of cars that an earlier listing may
    be of, too, so that the trial would know their prices."""


def hold_out(listings: pd.DataFrame, *, seed: int) -> HeldOut:
    """Hold out the last months, as many as give enough listings; without them a random part.

    Listings without a date are never held out with months. Cars of the held-out months that are
    also listed earlier, perhaps at another price, are in neither part; near duplicates share their
    part of a random split.

    Args:
        listings: a canonical table.
        seed: of the random split.
    """
    groups = near_duplicate_groups(listings)
    dates = listings[LISTING_DATE]
    months = dates.value_counts().sort_index(ascending=False)
    wanted = max(_MIN_HELD_OUT_ROWS, _MIN_HELD_OUT_SHARE * len(listings))
    rows = 0
    for month, count in months.items():
        rows += int(count)
        if rows > _MAX_HELD_OUT_SHARE * len(listings):
            break
        if rows >= wanted:
            last = str(months.index[0])
            named = last if month == last else f"{month} to {last}"
            basis = f"trained on listings before {month}: out-of-time, {named} held out"
            return _parts(listings, groups, (dates >= month).to_numpy(), basis)
    if months.empty:
        reason = "the listings have no dates"
    elif len(months) == 1:
        reason = f"all listings are of {months.index[0]}"
    else:
        reason = "the last months hold too many or too few of the listings"
    is_held_out = np.random.default_rng(seed).random(int(groups.max()) + 1) < _RANDOM_SHARE
    basis = f"a random {_RANDOM_SHARE:.0%} held out, not out-of-time: {reason}"
    return _parts(listings, groups, is_held_out[groups], basis)


def _parts(
    listings: pd.DataFrame,
    groups: npt.NDArray[np.int64],
    is_held_out: npt.NDArray[np.bool_],
    basis: str,
) -> HeldOut:
    is_relisted = is_held_out & np.isin(groups, groups[~is_held_out])
    return HeldOut(
        listings[~is_held_out].reset_index(drop=True),
        listings[is_held_out & ~is_relisted].reset_index(drop=True),
        basis,
        int(is_relisted.sum()),
    )
