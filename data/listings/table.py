"""The canonical table of listings: one row per listing, the same columns for every source."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from data.hedonic.model import SEPARATOR
from data.hedonic.ordinal_encoder import NUMBERS
from shared.domain.car import FIELD_NAMES

PRICE = "price_mad"
LISTING_DATE = "listing_date"
SOURCE = "source"
PRICE_SUSPECT = "price_suspect"

CORE_FIELDS = ("company", "model", "year", "fuel", "transmission", "km_driven")
"""The fields that nearly all listings state. Training never removes or imputes them: a car that
lacks one is priced as a mixture of complete cars (`model_store.pricing.scenarios`)."""

_MIN_YEAR_CARS = 10
"""Fewest cars of a year that undated listings are taken to be of."""
_MOROCCO = dt.timezone(dt.timedelta(hours=1))
MIN_MONTH_LISTINGS = 10
"""Fewest listings of a month whose price level is quoted."""

LISTING_COLUMNS: tuple[str, ...] = (*FIELD_NAMES, PRICE, LISTING_DATE, SOURCE, PRICE_SUSPECT)
"""The car's fields in normal form, then the columns of the listing.

`price_mad` is the asking price in MAD; `listing_date` is YYYY-MM; `price_suspect` is True if the
price is probably a typing error.
"""


def listing_table(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A canonical table from columns of equal length; values of absent columns are missing.

    Prices and `NUMBERS` are float64, NaN where missing; all other fields are str or None.
    """
    rows = max((len(values) for values in columns.values()), default=0)
    table: dict[str, Any] = {}
    for name in LISTING_COLUMNS:
        if name == PRICE_SUSPECT:
            table[name] = np.array(columns.get(name, [False] * rows), dtype=bool)
        elif name in NUMBERS or name == PRICE:
            table[name] = np.array(columns.get(name, [None] * rows), dtype=np.float64)
        else:
            table[name] = _texts(columns.get(name, [None] * rows))
    return pd.DataFrame(table)


def _texts(values: Sequence[Any]) -> pd.Series:
    """Values as str or None; an enum's member becomes its value."""
    known: dict[Any, str] = {}
    plain = [None if value is None else known.setdefault(value, str(value)) for value in values]
    return pd.Series(np.array(plain, dtype=object), dtype=object)


def join_texts(columns: Iterable[pd.Series]) -> pd.Series:
    """The texts of several columns by row, with `data.hedonic.model.SEPARATOR` between them."""
    return reduce(lambda joined, column: joined + SEPARATOR + column, columns)


def car_columns(listings: pd.DataFrame) -> dict[str, list[Any]]:
    """The car's fields as lists of normal-form values, None where missing."""
    return {
        name: [None if value != value else value for value in listings[name].tolist()]  # noqa: PLR0124 - NaN
        for name in FIELD_NAMES
    }


def latest_month(listings: pd.DataFrame) -> str:
    """Month (YYYY-MM) of the latest listing.

    If none is dated: January of the newest year of registration that `_MIN_YEAR_CARS` cars have,
    but not after the current month, because model years run ahead.
    """
    dates = listings[LISTING_DATE].dropna()
    if len(dates):
        return str(dates.max())
    counts = listings["year"].value_counts()
    common = counts.index[counts >= _MIN_YEAR_CARS]
    newest = int(max(common if len(common) else counts.index))
    return min(f"{newest}-01", current_month())


def current_month() -> str:
    """The current month in Morocco, YYYY-MM."""
    return f"{dt.datetime.now(_MOROCCO):%Y-%m}"


def quoted_month(listings: pd.DataFrame) -> str:
    """Month (YYYY-MM) whose price level a model of the listings quotes.

    The last month with `MIN_MONTH_LISTINGS` listings, because a single later date may be a typing
    error; the latest month if none has so many.
    """
    counts = listings[LISTING_DATE].value_counts()
    supported = counts.index[counts >= MIN_MONTH_LISTINGS]
    return str(supported.max()) if len(supported) else latest_month(listings)


def until_quoted_month(listings: pd.DataFrame) -> pd.DataFrame:
    """The listings; those after `quoted_month` are dated in it."""
    dates, last = listings[LISTING_DATE], quoted_month(listings)
    is_later = dates > last
    if not is_later.any():
        return listings
    return listings.assign(**{LISTING_DATE: dates.mask(is_later, last)})
