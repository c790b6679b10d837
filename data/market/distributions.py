"""Distributions of the cars of a market: models, years, kilometres, versions.

Every count, share and quantile is stored with the number of its listings, which is at least
`MIN_CELL_COUNT`. Of the years of a model it is only stated which have a few listings near, without
their number.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from data.hedonic.model import FIRST_YEAR, LAST_YEAR, SEPARATOR, YEARS, FloatArray
from data.listings.table import LISTING_DATE, PRICE_SUSPECT, join_texts
from data.market.typical_cars import MIN_NEAR_LISTINGS, YEAR_QUANTILES

MIN_CELL_COUNT = 10
"""Fewest listings behind any published figure."""

KM_QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
AGE_BANDS = (0, 2, 4, 7, 10, 14, 19)
"""Lower bounds of the age bands, years."""
MAX_AGE = 30
SPEC_FIELDS = ("fuel", "transmission", "fiscal_power_cv")
MARGINAL_FIELDS = (*SPEC_FIELDS, "edition")
DETAIL_FIELDS = ("owner", "condition", "origin")
PATTERN_FIELDS = (
    "transmission", "km_driven", "fiscal_power_cv", "edition",
    "owner", "condition", "origin", "city",
)  # fmt: skip
RARE = "(rare)"
"""Group name of all models (of a company, or of rare companies) with too few listings."""
_KM_PRIOR = 20.0

Counts = Mapping[str, int]
ListedYears = Mapping[str, Sequence[Sequence[int]]]
"""By `company|model`, first and last year of each run of years that its listings cover."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GroupDistribution:
    """The cars of one model (or the rare models of one company)."""

    count: int
    years: tuple[float, ...]
    """Year of first registration at `YEAR_QUANTILES`."""
    km_factor: float
    """Kilometres relative to the market's cars of the same age."""
    specs: Counts
    """Listings by `fuel|transmission|fiscal power`; cells with too few listings are left out."""
    marginals: Mapping[str, Counts]
    """Listings by the values of each of `MARGINAL_FIELDS`."""

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `dataclasses.asdict`."""
        return cls(**{**given, "years": tuple(given["years"])})

    def listings_near(self, years: FloatArray) -> FloatArray:
        """Number of listings (n,) within a year of each year, by the quantiles.

        The tenths outside the quantiles are spread as far as the next quantile is away.
        """
        first, last = self.years[:2], self.years[-2:]
        positions = [2 * first[0] - first[1] - 1, *self.years, 2 * last[1] - last[0] + 1]
        shares = [0.0, *YEAR_QUANTILES, 1.0]
        upper, lower = (np.interp(years + by, positions, shares) for by in (1.5, -1.5))
        return np.asarray(self.count * (upper - lower))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Distributions:
    """The distributions that cars are drawn from; without prices."""

    groups: Mapping[str, GroupDistribution]
    """By `company|model`."""
    market: GroupDistribution
    """All listings; used for groups without own shares."""
    months: Counts
    km_by_age: Mapping[str, Sequence[float]]
    """[listings, kilometres at `KM_QUANTILES`...] by age in years."""
    details: Mapping[str, Mapping[str, Counts]]
    """Listings by field of `DETAIL_FIELDS`, lower bound of the age band, and value."""
    cities: Counts
    patterns: Counts
    """Listings by the stated fields of `PATTERN_FIELDS` (`field,field,...`)."""
    listed_years: ListedYears = dataclasses.field(default_factory=dict)
    """Of the groups that are models; empty in statistics of earlier releases."""

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `dataclasses.asdict`."""
        groups = {
            name: GroupDistribution.from_json(group) for name, group in given["groups"].items()
        }
        return cls(
            **{**given, "groups": groups, "market": GroupDistribution.from_json(given["market"])}
        )


def measure_distributions(listings: pd.DataFrame) -> Distributions:
    """Measure the distributions of a canonical table with known listing dates."""
    ages = age_at_listing(listings)
    km_by_age = _km_by_age(listings["km_driven"].to_numpy(dtype=np.float64), ages)
    ratios = _km_ratios(listings["km_driven"].to_numpy(dtype=np.float64), ages, km_by_age)
    names = group_names(listings)
    sizes = names.value_counts()
    published = sorted(sizes.index[sizes >= MIN_CELL_COUNT])
    members = names.groupby(names).indices
    bands = np.searchsorted(AGE_BANDS, ages, side="right") - 1
    return Distributions(
        groups={
            name: _group(listings.iloc[members[name]], ratios[members[name]]) for name in published
        },
        market=_group(listings, ratios),
        months=_counts(listings[LISTING_DATE]),
        km_by_age=km_by_age,
        details={
            field: {
                str(lowest): _counts(listings.loc[bands == band, field])
                for band, lowest in enumerate(AGE_BANDS)
            }
            for field in DETAIL_FIELDS
        },
        cities=_counts(listings["city"]),
        patterns=_counts(_patterns(listings)),
        listed_years=listed_years(names[~names.str.endswith(RARE)], listings),
    )


def listed_years(vehicle: pd.Series, listings: pd.DataFrame) -> dict[str, list[list[int]]]:
    """The years that the listings of each vehicle cover, see `MIN_NEAR_LISTINGS`.

    A suspicious price covers no year: it contradicts the others, or the year is a wrong one.

    Args:
        vehicle: name of the vehicle of some listings.
        listings: a canonical table of these listings, and of any others; years outside `YEARS`
            count for the nearest.

    Returns:
        By vehicle, the runs of years; a vehicle without any is left out.
    """
    is_suspect = listings.loc[vehicle.index, PRICE_SUSPECT].astype(bool)
    vehicle = vehicle[~is_suspect]
    year = listings.loc[vehicle.index, "year"].clip(FIRST_YEAR, LAST_YEAR).astype(int)
    counts = pd.crosstab(vehicle, year).reindex(columns=YEARS.astype(int), fill_value=0)
    # One year more at both ends, so that every run has a year before and one after it.
    own = np.pad(counts.to_numpy(), ((0, 0), (2, 2)))
    covered = own[:, :-2] + own[:, 1:-1] + own[:, 2:] >= MIN_NEAR_LISTINGS
    covered[:, [0, -1]] = False
    found: dict[str, list[list[int]]] = {}
    for name, changes in zip(counts.index, np.diff(covered, axis=1), strict=True):
        ends = FIRST_YEAR + np.flatnonzero(changes).reshape(-1, 2)
        if len(ends):
            found[str(name)] = [[first, after - 1] for first, after in ends.tolist()]
    return found


def age_at_listing(listings: pd.DataFrame) -> FloatArray:
    """Age of each car in years when it was listed, 0 to `MAX_AGE`."""
    listed = listings[LISTING_DATE].str.slice(0, 4).astype(np.float64)
    age = listed.to_numpy() - listings["year"].to_numpy(dtype=np.float64)
    return np.asarray(np.clip(age, 0, MAX_AGE))


def group_names(listings: pd.DataFrame) -> pd.Series:
    """The group of each listing: its model, or the rare models of its company or of all."""
    names = listings["company"] + SEPARATOR + listings["model"]
    by_company = names.where(_is_common(names), listings["company"] + SEPARATOR + RARE)
    return by_company.where(_is_common(by_company), RARE + SEPARATOR + RARE)


def _is_common(names: pd.Series) -> pd.Series:
    return names.map(names.value_counts()) >= MIN_CELL_COUNT


def _group(listings: pd.DataFrame, km_ratios: FloatArray) -> GroupDistribution:
    known = listings[list(SPEC_FIELDS)].notna().all(axis=1)
    specs = join_texts(listings.loc[known, field].map(_as_text) for field in SPEC_FIELDS)
    logs = np.log(km_ratios[~np.isnan(km_ratios)])
    return GroupDistribution(
        count=len(listings),
        years=tuple(float(year) for year in np.quantile(listings["year"], YEAR_QUANTILES)),
        km_factor=round(float(np.exp(logs.sum() / (len(logs) + _KM_PRIOR))), 3),
        specs=_counts(specs),
        marginals={field: _counts(listings[field]) for field in MARGINAL_FIELDS},
    )


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


def _counts(values: pd.Series) -> dict[str, int]:
    """Number of listings by value; values with too few listings are left out."""
    found = values.dropna().map(_as_text).value_counts()
    return {
        str(value): int(count) for value, count in sorted(found.items()) if count >= MIN_CELL_COUNT
    }


def _km_by_age(km: FloatArray, ages: FloatArray) -> dict[str, list[float]]:
    table: dict[str, list[float]] = {}
    for age in range(MAX_AGE + 1):
        known = km[(ages == age) & (km > 0)]
        if len(known) >= MIN_CELL_COUNT:
            quantiles = np.quantile(known, KM_QUANTILES).round(-2)
            table[str(age)] = [len(known), *quantiles.tolist()]
    return table


def _km_ratios(
    km: FloatArray, ages: FloatArray, km_by_age: Mapping[str, Sequence[float]]
) -> FloatArray:
    """Kilometres relative to the median of the same age; NaN where unknown."""
    middle = 1 + KM_QUANTILES.index(0.50)
    medians = np.full(MAX_AGE + 1, np.nan)
    for age, row in km_by_age.items():
        medians[int(age)] = row[middle]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = km / medians[ages.astype(int)]
    return np.where(ratios > 0, np.clip(ratios, 0.1, 10.0), np.nan)


def _patterns(listings: pd.DataFrame) -> pd.Series:
    known = listings[list(PATTERN_FIELDS)].notna().to_numpy()
    return pd.Series(
        [",".join(np.array(PATTERN_FIELDS)[row]) or "-" for row in known], index=listings.index
    )
