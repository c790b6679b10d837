"""Listings of sources that were cut at a price, and so say too little about dear cars.

A collection without any car above a price shows of the dear models only the cheapest cars, and its
young cars are those of small models and low versions. Both would lower the level of their models.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import FloatArray
from data.listings.table import PRICE, SOURCE
from data.market.distributions import age_at_listing

_MIN_EXPECTED = 20.0
"""Listings above a source's highest price that the other sources let expect, from which on their
absence is no chance."""
_NEAR_CEILING = 0.7
"""Share of the ceiling from which on a car's usual price counts as near it."""
_YOUNG_YEARS = 2.0
_WEIGHT = 0.3
"""Factor for listings of young cars, and of cars near the ceiling, of a source that was cut."""


def ceiling_factors(listings: pd.DataFrame, expected_mad: FloatArray) -> FloatArray:
    """Factor (n,) of the weight of each listing: 1, or `_WEIGHT` where its source was cut.

    Args:
        listings: a canonical table with known dates.
        expected_mad: (n,) usual price of each car. What is asked does not decide, which would leave
            out the dear cars of each kind.
    """
    source = listings[SOURCE].fillna("").to_numpy()
    price = listings[PRICE].to_numpy(dtype=np.float64)
    is_young = age_at_listing(listings) <= _YOUNG_YEARS
    factors = np.ones(len(listings))
    for name, ceiling in source_ceilings(source, price).items():
        doubtful = is_young | (expected_mad > _NEAR_CEILING * ceiling)
        factors[(source == name) & doubtful] = _WEIGHT
    return factors


def source_ceilings(source: npt.NDArray[np.object_], price: FloatArray) -> dict[str, float]:
    """Highest price of each source that was cut at it, by name."""
    found = {}
    for name in np.unique(source):
        own, others = price[source == name], price[source != name]
        ceiling = float(own.max())
        if len(others) and len(own) * float(np.mean(others > ceiling)) >= _MIN_EXPECTED:
            found[str(name)] = ceiling
    return found
