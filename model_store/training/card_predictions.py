"""Out-of-bag predictions of the training listings, and the group metrics of the model card."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from model_store.training.evaluation import HIGH_90, LOW_90
from shared.vehicles.names import display_names

FloatArray = npt.NDArray[np.float64]

MIN_GROUP_SIZE = 10
"""Smallest group with published figures: a figure must not describe a single listing."""
MAX_BRANDS_SHOWN = 15
DECILES = 10
AGE_BANDS: tuple[tuple[str, int], ...] = (
    ("0-1", 0), ("2-3", 2), ("4-5", 4), ("6-7", 6), ("8-9", 8), ("10-11", 10), ("12-14", 12),
    ("15-19", 15), ("20+", 20),
)  # fmt: skip
"""Label and lower bound of each age band, years."""
INFORMATION_LEVELS = (
    "all details",
    "details missing",
    "unusual figures",
    "model unknown",
    "brand unknown",
)
"""Names of the levels of information (`model_store.pricing.feature_matrix`)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CardPredictions:
    """Prices of the training listings by the cross-fitted baseline and the out-of-bag trees.

    Args:
        actual_mad: (n,) asking prices.
        baseline_mad: (n,) prices by the cross-fitted baseline alone.
        quantiles_mad: (n, 9) prices at `shared.domain.valuation.QUANTILE_LEVELS`.
        price_mad: (n,) point estimates.
        company: (n,) brand.
        age_years: (n,) age at the time of the listing.
        level: (n,) level of information.
        importance: weight of each feature in the forest, by name; sums to 1.
    """

    actual_mad: FloatArray
    baseline_mad: FloatArray
    price_mad: FloatArray
    quantiles_mad: FloatArray
    company: npt.NDArray[np.object_]
    age_years: FloatArray
    level: npt.NDArray[np.int8]
    importance: Mapping[str, float]

    @property
    def is_inside_90(self) -> npt.NDArray[np.bool_]:
        """Whether each real price lies in its 90 % interval, (n,)."""
        above = self.actual_mad >= self.quantiles_mad[:, LOW_90]
        return np.asarray(above & (self.actual_mad <= self.quantiles_mad[:, HIGH_90]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GroupMetrics:
    """Quality of the prices of a group of listings."""

    label: str
    listings: int
    median_ape: float
    """Median absolute error, percent of the asking price."""
    bias: float
    """Median signed error, percent; positive if estimates exceed asking prices."""
    coverage_90: float
    """Share of asking prices inside the 90 % interval."""


def by_estimate(predictions: CardPredictions) -> list[GroupMetrics]:
    """Metrics by decile of the estimate, the cheapest first; labels in thousand MAD."""
    edges = np.quantile(predictions.price_mad, np.linspace(0.0, 1.0, DECILES + 1)[1:-1])
    bands = np.searchsorted(edges, predictions.price_mad, side="right")
    thousands = [f"{edge / 1000:,.0f}" for edge in edges]
    labels = [f"up to {thousands[0]}"]
    labels += [f"{low}-{high}" for low, high in pairwise(thousands)]
    return _group_metrics(predictions, bands, [*labels, f"over {thousands[-1]}"])


def by_age(predictions: CardPredictions) -> list[GroupMetrics]:
    """Metrics by age band, the youngest first."""
    lowest = [low for _, low in AGE_BANDS]
    ages = np.clip(predictions.age_years, 0.0, None)
    bands = np.searchsorted(lowest, ages, side="right") - 1
    return _group_metrics(predictions, bands, [label for label, _ in AGE_BANDS])


def by_brand(predictions: CardPredictions) -> list[GroupMetrics]:
    """Metrics of the brands with the most listings, as their makers write them, then of others."""
    names, brand_of, counts = np.unique(
        predictions.company.astype(str), return_inverse=True, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:MAX_BRANDS_SHOWN]
    place = np.full(len(names), len(order))
    place[order] = np.arange(len(order))
    return _group_metrics(
        predictions,
        place[brand_of],
        [*(display_names(str(names[i]), "")[0] for i in order), "all others"],
    )


def by_level(predictions: CardPredictions) -> list[GroupMetrics]:
    """Metrics by level of information."""
    return _group_metrics(predictions, predictions.level, INFORMATION_LEVELS)


def _group_metrics(
    predictions: CardPredictions, group_of: npt.NDArray[np.integer], labels: Sequence[str]
) -> list[GroupMetrics]:
    """Metrics of every group of at least `MIN_GROUP_SIZE` listings."""
    error = (predictions.price_mad / predictions.actual_mad - 1.0) * 100
    inside = predictions.is_inside_90
    found = []
    for number, label in enumerate(labels):
        members = group_of == number
        if (count := int(members.sum())) < MIN_GROUP_SIZE:
            continue
        found.append(
            GroupMetrics(
                label=label,
                listings=count,
                median_ape=round(float(np.median(np.abs(error[members]))), 1),
                bias=round(float(np.median(error[members])), 1),
                coverage_90=round(float(inside[members].mean()), 3),
            )
        )
    return found
