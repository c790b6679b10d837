"""How the fuels and gearboxes of the same models change with the year of registration.

The generator draws fuel and gearbox of a model independently of the year. This trend tells how much
more or less frequent each kind (fuel and gearbox) is among the cars of some years than the shares
of their models over all years let expect.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import SEPARATOR
from data.market.distributions import MIN_CELL_COUNT

KindTrend = Mapping[str, Mapping[str, Sequence[float]]]
"""[listings, ratio] by kind (`fuel|gearbox`) and first year of the band."""

YEAR_BANDS = (1990, 1998, 2003, 2007, 2010, 2013, 2016, 2019, 2022)
"""First year of each band; the last one is open."""
_DIGITS = 3


def measure_kind_trend(listings: pd.DataFrame) -> KindTrend:
    """Observed over expected number of listings by kind and band of years.

    Args:
        listings: a canonical table. Cells with fewer than `MIN_CELL_COUNT` observed or expected
            listings are left out.
    """
    table = pd.DataFrame(
        {
            "kind": listings["fuel"] + SEPARATOR + listings["transmission"],
            "vehicle": listings["company"] + SEPARATOR + listings["model"],
            "band": _bands(listings["year"].to_numpy(dtype=np.float64)),
        }
    ).dropna()
    of_vehicle = table.groupby(["vehicle", "band"]).size().rename("cars").reset_index()
    shares = table.groupby("vehicle")["kind"].value_counts(normalize=True).rename("share")
    joint = of_vehicle.merge(shares.reset_index(), on="vehicle")
    expected = (joint["cars"] * joint["share"]).groupby([joint["kind"], joint["band"]]).sum()
    observed = table.groupby(["kind", "band"]).size()
    found: dict[str, dict[str, list[float]]] = {}
    for (kind, band), count in zip(observed.index, observed.tolist(), strict=True):
        usual = float(expected[kind, band])
        if min(count, usual) >= MIN_CELL_COUNT:
            ratio = round(count / usual, _DIGITS)
            found.setdefault(kind, {})[str(YEAR_BANDS[band])] = [count, ratio]
    return found


def kind_ratios(trend: KindTrend, kind: pd.Series, year: pd.Series) -> npt.NDArray[np.float64]:
    """The trend's ratio of each car (n,): that of the nearest known band; 1 if there is none."""
    bands = _bands(year.to_numpy(dtype=np.float64))
    found = {name: _by_band(cells) for name, cells in trend.items()}
    ones = np.ones(len(YEAR_BANDS))
    return np.array([found.get(name, ones)[at] for name, at in zip(kind, bands, strict=True)])


def _by_band(cells: Mapping[str, Sequence[float]]) -> npt.NDArray[np.float64]:
    """The ratio of every band, from that of the nearest one that is known."""
    known = np.array([YEAR_BANDS.index(int(year)) for year in cells])
    ratios = np.array([ratio for _, ratio in cells.values()])
    nearest = np.abs(np.arange(len(YEAR_BANDS))[:, None] - known).argmin(axis=1)
    return np.asarray(ratios[nearest])


def _bands(years: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.maximum(np.searchsorted(YEAR_BANDS, years, side="right") - 1, 0)
