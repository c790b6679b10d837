"""Groups of listings whose errors are reported separately: price, age, brand and source."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from data.listings.table import LISTING_DATE, PRICE, SOURCE
from data.market.distributions import age_at_listing
from shared.fields.blanks import is_blank

MIN_BRAND_ROWS = 30
"""Fewest listings of a brand that is reported by its name; the others are reported together."""
OTHER_BRANDS = "other brands"
NO_SOURCE = "(none)"
_AGE_BOUNDS = (2, 4, 7, 11, 16)
"""First years of age of the bands after the first."""
_DECILES = np.arange(1, 10) / 10
Band = tuple[str, "np.ndarray[tuple[int], np.dtype[np.int64]]"]


def price_bands(listings: pd.DataFrame) -> Iterator[Band]:
    """Name and positions of the listings of each tenth of the asking price, the lowest first."""
    prices = listings[PRICE].to_numpy(dtype=np.float64)
    tenth_of = np.searchsorted(np.quantile(prices, _DECILES), prices, side="right")
    for tenth in range(len(_DECILES) + 1):
        members = np.flatnonzero(tenth_of == tenth)
        if len(members):
            inside = prices[members]
            yield f"{inside.min():,.0f} to {inside.max():,.0f} MAD", members


def age_bands(listings: pd.DataFrame, undated: str) -> Iterator[Band]:
    """Name and positions of the listings of each band of ages, the youngest first.

    Args:
        listings: a canonical table.
        undated: month (YYYY-MM) of listings without one.
    """
    dated = listings.assign(**{LISTING_DATE: listings[LISTING_DATE].fillna(undated)})
    band_of = np.searchsorted(_AGE_BOUNDS, age_at_listing(dated), side="right")
    lows = (0, *_AGE_BOUNDS)
    for band, low in enumerate(lows):
        members = np.flatnonzero(band_of == band)
        if len(members):
            is_last = band == len(lows) - 1
            yield (
                f"{low} years or more" if is_last else f"{low} to {lows[band + 1] - 1} years",
                members,
            )


def brand_bands(listings: pd.DataFrame) -> Iterator[Band]:
    """Name and positions of the listings of each brand, the most frequent first."""
    brands = listings["company"].tolist()
    counts = Counter(brands)
    named = [name for name, count in counts.most_common() if count >= MIN_BRAND_ROWS]
    labels = np.array([name if name in set(named) else OTHER_BRANDS for name in brands])
    for name in (*named, OTHER_BRANDS):
        members = np.flatnonzero(labels == name)
        if len(members):
            yield name, members


def source_bands(listings: pd.DataFrame) -> Iterator[Band]:
    """Name and positions of the listings of each source, the most frequent first."""
    sources = [NO_SOURCE if each is None or is_blank(each) else each for each in listings[SOURCE]]
    for name, _ in Counter(sources).most_common():
        yield name, np.flatnonzero(np.array(sources, dtype=object) == name)
