"""Splits new listings by time: months to train a candidate on, later months to judge it."""

import dataclasses
import datetime as dt

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.table import LISTING_DATE
from data.market.calibrate import near_duplicate_groups
from model_store.comparison.training_rows import seen_in_training
from model_store.pricing.inference import LoadedModel
from model_store.training.train import MIN_LISTINGS

MIN_JUDGED = 200
"""Listings that a comparison needs: with fewer, the interval of the difference is too wide."""
TARGET_JUDGED, _MAX_TARGET, _TARGET_SHARE = 500, 2_000, 0.1
"""Months are held out until they have a tenth of the listings, within these bounds."""


class NoFairComparison(Exception):
    """The listings have no part that neither version has seen; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TimeSplit:
    """Listings before a month, and those from it on."""

    training: pd.DataFrame
    """The candidate is trained on these."""
    judged: pd.DataFrame
    """Neither the candidate nor the active version has seen these."""
    months: tuple[str, str]
    """First and last month of `judged`."""


def split_by_time(listings: pd.DataFrame, active: LoadedModel) -> TimeSplit:
    """Hold the last months out, as few of them as have enough listings.

    They are later than all data of the active version, so it has not seen them either. Cars that
    are also listed in an earlier month are left out of them, and listings without a date are in
    neither part.

    Args:
        listings: a canonical table.
        active: the version that serves.

    Raises:
        NoFairComparison: there are too few such listings.
    """
    dated = listings[listings[LISTING_DATE].notna()].reset_index(drop=True)
    if not len(dated):
        raise NoFairComparison(
            "no listing has a date (column listing_date, YYYY-MM), so none is known to be newer"
            " than the active version's data"
        )
    months = dated[LISTING_DATE].to_numpy(dtype=str)
    last = _last_month(active)
    is_new = months > last
    if (seen := seen_in_training(active, dated)) is not None:
        is_new &= ~seen
    if is_new.sum() < MIN_JUDGED:
        raise NoFairComparison(
            f"{is_new.sum():,} listings are newer than the data of the active version ({last});"
            f" at least {MIN_JUDGED} are needed to compare"
        )
    start, judged = _choose_start(dated, months, is_new)
    held_out = sorted(months[judged].tolist())
    return TimeSplit(
        training=dated[months < start].reset_index(drop=True),
        judged=dated[judged].reset_index(drop=True),
        months=(held_out[0], held_out[-1]),
    )


def _choose_start(
    dated: pd.DataFrame, months: npt.NDArray[np.str_], is_new: npt.NDArray[np.bool_]
) -> tuple[str, npt.NDArray[np.bool_]]:
    """The first month that is held out, and which listings are judged, (n,)."""
    groups = near_duplicate_groups(dated)
    target = max(TARGET_JUDGED, min(_MAX_TARGET, int(_TARGET_SHARE * len(dated))))
    best: tuple[str, npt.NDArray[np.bool_]] | None = None
    for start in sorted(set(months[is_new].tolist()), reverse=True):
        is_earlier = months < start
        judged = is_new & ~is_earlier & ~np.isin(groups, groups[is_earlier])
        if is_earlier.sum() < MIN_LISTINGS:
            break
        if judged.sum() >= MIN_JUDGED:
            best = (start, judged)
        if judged.sum() >= target:
            break
    if best is None:
        raise NoFairComparison(
            f"no month divides the listings into at least {MIN_LISTINGS} earlier ones to train a"
            f" candidate on and {MIN_JUDGED} later ones of other cars to compare on"
        )
    return best


def _last_month(active: LoadedModel) -> str:
    """The last month of which the active version has enough listings.

    Single listings of later months, most of them with a wrong date, are left out by their
    fingerprints.
    """
    version = active.version
    as_of = version.data_as_of
    if as_of > f"{dt.datetime.now(dt.UTC):%Y-%m}":
        raise NoFairComparison(
            f"the active version states prices of {as_of}, a month to come: it was trained on"
            " listings with wrong dates, and which of these are newer cannot be told"
            " (`carprice retrain` without --if-better replaces it)"
        )
    if version.calibrated_on is None and (months := version.training.get("months")):
        return min(as_of, str(months[1]))  # older than the price level that it was restated at
    return as_of
