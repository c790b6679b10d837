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
"""Different cars that a comparison needs: with fewer, the interval of the difference is too wide.
The comparison draws cars, so a car that is listed often is one."""
TARGET_JUDGED, _MAX_TARGET, _TARGET_SHARE = 500, 2_000, 0.1
"""Months are held out until they have a tenth of the cars, within these bounds."""


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
    """Hold the last months out, as few of them as have enough different cars.

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
    groups = near_duplicate_groups(dated)
    if (cars := _count_cars(groups, is_new)) < MIN_JUDGED:
        found = int(is_new.sum())
        of_cars = f" of {cars:,} cars" if cars < found else ""
        raise NoFairComparison(
            f"{found:,} listings{of_cars} are newer than the data of the active version ({last}"
            f"{_recalibration_note(active)}); at least {MIN_JUDGED} cars are needed to compare"
        )
    start, judged = _choose_start(months, is_new, groups)
    held_out = sorted(months[judged].tolist())
    return TimeSplit(
        training=dated[months < start].reset_index(drop=True),
        judged=dated[judged].reset_index(drop=True),
        months=(held_out[0], held_out[-1]),
    )


def _choose_start(
    months: npt.NDArray[np.str_], is_new: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]
) -> tuple[str, npt.NDArray[np.bool_]]:
    """The first month that is held out, and which listings are judged, (n,).

    Args:
        months: (n,) of listing.
        is_new: (n,) whether neither version has seen the listing.
        groups: (n,) numbers of the cars: near duplicates are the same one.
    """
    target = max(TARGET_JUDGED, min(_MAX_TARGET, int(_TARGET_SHARE * len(np.unique(groups)))))
    best: tuple[str, npt.NDArray[np.bool_]] | None = None
    for start in sorted(set(months[is_new].tolist()), reverse=True):
        is_earlier = months < start
        judged = is_new & ~is_earlier & ~np.isin(groups, groups[is_earlier])
        if is_earlier.sum() < MIN_LISTINGS:
            break
        cars = _count_cars(groups, judged)
        if cars >= MIN_JUDGED:
            best = (start, judged)
        if cars >= target:
            break
    if best is None:
        raise NoFairComparison(
            f"no month divides the listings into at least {MIN_LISTINGS} earlier ones to train a"
            f" candidate on and {MIN_JUDGED} other cars in later ones to compare on"
        )
    return best


def _recalibration_note(active: LoadedModel) -> str:
    is_recalibrated = active.version.calibrated_on is not None
    return ", the month that it was recalibrated to" if is_recalibrated else ""


def _count_cars(groups: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]) -> int:
    """Number of different cars among the chosen listings."""
    return len(np.unique(groups[chosen]))


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
