"""Training: from a table of listings to a forest with its encoder and its calibration."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from data.calibrate import latest_month, near_duplicates, refuse_single_brand
from data.distributions import age_at_listing
from data.hedonic import FloatArray
from data.loading import ListingsError
from data.price_index import fitted_index
from data.schema import LISTING_COLUMNS, LISTING_DATE, PRICE
from data.suspicion import without_implausible_km
from model_store.calibration import FEWEST_TO_CALIBRATE, IntervalCalibration
from model_store.card_evidence import Evidence
from model_store.encoding import UNKNOWN_BRAND, UNKNOWN_MODEL
from model_store.scores import scores
from model_store.training.crossfit import CrossFitted, cross_fit
from model_store.training.difficulty import fit_difficulty
from model_store.training.forest_choice import fit_forest
from model_store.training.trained import TrainedModel

FEWEST_LISTINGS = 200
_MANY_LISTINGS = 25_000


def train_bundle(
    listings: pd.DataFrame,
    *,
    seed: int,
    name: str = "listings",
    jobs: int = 2,
    advance: Callable[[str], None] = lambda _: None,
) -> TrainedModel:
    """Train a model; the same listings and seed give the same model to the bit.

    Args:
        listings: a canonical table (`data.schema`); suspicious prices may stay in.
        seed: of folds, dropout and forest.
        name: of the data, for the manifest.
        jobs: threads that fit trees.
        advance: told after each step, for a progress bar; see `steps`.

    Raises:
        ListingsError: too few listings, of a single brand, or all at one price.
    """
    _check(listings)
    table = without_implausible_km(listings).reset_index(drop=True)
    fitted = cross_fit(table, folds=_folds(table), seed=seed, advance=advance)
    encoded = fitted.encoded
    alike = near_duplicates(table)
    forest, unseen = fit_forest(
        encoded.matrix,
        fitted.residual,
        encoded.baseline_log,
        alike=alike,
        seed=seed,
        jobs=jobs,
        advance=advance,
    )
    mean = encoded.baseline_log + unseen.mean
    actual = encoded.baseline_log + fitted.residual
    second, difficulty = fit_difficulty(
        encoded.matrix, actual - mean, unseen, alike=alike, seed=seed, jobs=jobs
    )
    advance("difficulty")
    telling = _telling(fitted)
    calibration = IntervalCalibration.fit(
        encoded.level[telling],
        mean[telling],
        unseen.std[telling],
        difficulty[telling],
        actual[telling],
    )
    quantiles = calibration.quantiles_log(encoded.level, mean, unseen.std, difficulty)
    advance("calibration")
    return TrainedModel(
        estimator=forest,
        difficulty=second,
        encoder=fitted.encoder,
        calibration=calibration,
        metrics=_metrics(actual, mean, quantiles),
        training={
            "rows": len(table),
            "digest": digest(table),
            "data_as_of": latest_month(table),
            "name": name,
            "seed": seed,
            **_dates(table, fitted.month_slopes),
        },
        evidence=_evidence(table, forest, fitted, mean, quantiles),
    )


def steps(listings: pd.DataFrame) -> int:
    """How often `train_bundle` calls `advance`."""
    return 2 + _folds(listings) + 5 + 2


def digest(listings: pd.DataFrame) -> str:
    """SHA-256 over the table's content."""
    hashes = pd.util.hash_pandas_object(listings[list(LISTING_COLUMNS)], index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def _folds(listings: pd.DataFrame) -> int:
    return 3 if len(listings) > _MANY_LISTINGS else 5


def _check(listings: pd.DataFrame) -> None:
    if len(listings) < FEWEST_LISTINGS:
        raise ListingsError(
            f"{len(listings)} usable listings are too few to train on; at least {FEWEST_LISTINGS}"
        )
    refuse_single_brand(listings)
    prices = listings[PRICE].to_numpy()
    if (prices == prices[0]).all():
        raise ListingsError(
            f"all listings ask {prices[0]:,.0f} MAD: nothing can be learnt from them"
        )


def _telling(fitted: CrossFitted) -> npt.NDArray[np.bool_]:
    """The cars that intervals are calibrated on, (n,).

    Models and brands that are truly unknown stray further than well-known ones without their
    name: where there are enough of them, they alone say how far.
    """
    telling = np.ones(len(fitted.masked), dtype=np.bool_)
    for level in (UNKNOWN_MODEL, UNKNOWN_BRAND):
        unknown = fitted.encoded.level == level
        if np.sum(unknown & ~fitted.masked) >= FEWEST_TO_CALIBRATE:
            telling &= ~(unknown & fitted.masked)
    return telling


def _dates(table: pd.DataFrame, month_slopes: FloatArray) -> dict[str, Any]:
    """First and last month of listing, and the price level by month; empty without dates."""
    dates = table[LISTING_DATE].dropna()
    if not len(dates):
        return {"months": None, "price_index": {}}
    first, last = str(dates.min()), str(dates.max())
    return {"months": [first, last], "price_index": fitted_index(first, last, month_slopes)}


def _evidence(
    table: pd.DataFrame,
    forest: RandomForestRegressor,
    fitted: CrossFitted,
    mean: FloatArray,
    quantiles: FloatArray,
) -> Evidence:
    """What the model card rests on; prices at the level of the latest month."""
    encoded = fitted.encoded
    dates = table[LISTING_DATE].fillna(latest_month(table))
    return Evidence(
        actual_mad=np.exp(encoded.baseline_log + fitted.residual),
        baseline_mad=np.exp(encoded.baseline_log),
        price_mad=np.exp(mean),
        quantiles_mad=np.exp(quantiles),
        company=table["company"].to_numpy(dtype=object),
        age_years=age_at_listing(table.assign(**{LISTING_DATE: dates})),
        level=encoded.level,
        importance=dict(
            zip(fitted.encoder.feature_names, forest.feature_importances_.tolist(), strict=True)
        ),
    )


def _metrics(actual: FloatArray, mean: FloatArray, quantiles: FloatArray) -> dict[str, Any]:
    found = scores(np.exp(actual), np.exp(mean), np.exp(quantiles))
    return {**found, "split": "out of bag, baseline cross-fitted, field dropout on"}
