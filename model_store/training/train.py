"""Trains a model from a table of listings: forests, encoder and interval calibration."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from data.hedonic.model import FloatArray
from data.listings.files import ListingsError
from data.listings.fingerprints import Fingerprints, stored_fingerprints
from data.listings.suspicion import without_implausible_km
from data.listings.table import (
    LISTING_COLUMNS,
    LISTING_DATE,
    PRICE,
    latest_month,
    until_quoted_month,
)
from data.market.calibrate import near_duplicate_groups, require_several_brands
from data.market.distributions import age_at_listing
from data.market.price_index import fitted_index, market_index
from data.market.reference import ReferenceMarket
from data.market.source_ceilings import ceiling_factors
from model_store.drift.profile import TrainingProfile
from model_store.pricing.calibration import MIN_CALIBRATION_CARS, IntervalCalibration
from model_store.pricing.error_growth import MAX_YOUNG_AGE
from model_store.pricing.feature_matrix import UNKNOWN_BRAND, UNKNOWN_MODEL, CarEncoder
from model_store.pricing.usual_cars import UsualStatistics
from model_store.registry.manifest import REFERENCE_MARKET
from model_store.training.card_predictions import CardPredictions
from model_store.training.crossfit import (
    CrossFitResult,
    cross_fit,
    encode_by_market,
    with_dropout,
)
from model_store.training.evaluation import scores
from model_store.training.forests import fit_difficulty, fit_forest
from model_store.training.horizon import growth_of, resembles_later_cars
from model_store.training.profile import training_profile
from model_store.training.rising_kinds import measure_usual
from model_store.training.rolling_origins import ListingErrors
from shared.i18n.command import gettext as _

MIN_LISTINGS = 200
_MAX_FIVE_FOLD_LISTINGS = 25_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A trained model: the forests, encoder and calibration, with metrics and metadata.

    Args:
        estimator: predicts the residual of the baseline, log scale, from the encoder's matrix.
        difficulty: predicts the log of its error in standard deviations from the same matrix.
        encoder: computes the matrix and the baseline of cars.
        calibration: computes quantiles from mean, standard deviation and difficulty.
        usual: what is usual for a car that does not state its fuel, gearbox or kilometres.
        metrics: quality figures and the split that they were measured on.
        training: `rows`, `digest` (sha256 of the listings), `data_as_of` (YYYY-MM), `name`, `seed`,
            `months` (first and last month of listing), `price_index` (see
            `data.market.price_index`) and `interval_growth` (see
            `model_store.training.horizon.measure_growth`).
        predictions: out-of-bag predictions of the training listings, for the model card.
        profile: binned shares of the training data, with which drift is measured.
        training_rows: sorted fingerprints of the training listings, by a key from their digest;
            None for generated ones.
    """

    estimator: RandomForestRegressor | ExtraTreesRegressor
    difficulty: RandomForestRegressor
    encoder: CarEncoder
    calibration: IntervalCalibration
    usual: UsualStatistics
    metrics: dict[str, Any]
    training: dict[str, Any]
    predictions: CardPredictions | None = None
    profile: TrainingProfile | None = None
    training_rows: Fingerprints | None = None


def train_bundle(
    listings: pd.DataFrame,
    *,
    seed: int,
    name: str = "listings",
    market: ReferenceMarket | None = None,
    jobs: int = 2,
    on_progress: Callable[[str], None] = lambda _: None,
) -> TrainedModel:
    """Train a model; equal listings and seed give an equal model, to the bit.

    Args:
        listings: a canonical table (`data.listings.table`); may contain suspicious prices. A few
            that are later than the others count as ones of the last month of the others.
        seed: of folds, dropout and forest.
        name: of the data, for the manifest.
        market: what generated listings were drawn from; its price model is their baseline. None
            for listings of sellers, to which a baseline is fitted.
        jobs: number of threads that fit trees.
        on_progress: called after each step, for a progress bar; see `count_steps`.

    Raises:
        ListingsError: too few listings, of a single brand, or all at one price.
    """
    _check(listings)
    table = until_quoted_month(without_implausible_km(listings).reset_index(drop=True))
    fitted = _fit_baseline(table, market, seed, on_progress)
    encoded = fitted.encoded
    duplicate_groups = near_duplicate_groups(table)
    forest, oob = fit_forest(
        encoded.matrix,
        fitted.residual,
        encoded.baseline_log,
        weights=fitted.weights,
        duplicate_groups=duplicate_groups,
        seed=seed,
        jobs=jobs,
        on_progress=on_progress,
    )
    mean = encoded.baseline_log + oob.mean
    actual = encoded.baseline_log + fitted.residual
    second, difficulty = fit_difficulty(
        encoded.matrix, actual - mean, oob, duplicate_groups=duplicate_groups, seed=seed, jobs=jobs
    )
    on_progress("difficulty")
    is_calibration = _calibration_mask(fitted) & resembles_later_cars(name, table)
    others = (values[is_calibration] for values in (mean, oob.std, difficulty, actual))
    is_young = _is_young(table)
    shows_young = is_young & _shows_young(name, table, np.exp(mean))
    calibration = IntervalCalibration.fit(
        encoded.level[is_calibration], *others, is_young=shows_young[is_calibration]
    )
    below, above = calibration.scales(mean, oob.std, difficulty, is_young=is_young)
    errors = ListingErrors(
        table=with_dropout(table, seed=seed),
        baseline_error=fitted.residual,
        estimate_log=mean,
        below=below,
        above=above,
        level=encoded.level,
        is_young=shows_young,
    )
    growth, growth_source = growth_of(name, errors, table, fitted.encoder.hedonic.terms)
    calibration = dataclasses.replace(calibration, growth=growth)
    on_progress("growth of errors")
    quantiles = calibration.quantiles_log(
        encoded.level, mean, oob.std, difficulty, is_young=is_young
    )
    on_progress("calibration")
    return TrainedModel(
        estimator=forest,
        difficulty=second,
        encoder=fitted.encoder,
        calibration=calibration,
        usual=measure_usual(table, fitted.encoder, market),
        metrics={
            **scores(np.exp(actual), np.exp(mean), np.exp(quantiles)),
            "split": "out of bag, baseline cross-fitted, field dropout on",
        },
        training={
            "rows": len(table),
            "digest": digest(table),
            "data_as_of": latest_month(table) if market is None else market.data_as_of,
            "name": name,
            "seed": seed,
            "interval_growth": growth_source,
            **_dates(table, fitted.month_slopes, market),
        },
        predictions=_card_predictions(table, forest, fitted, mean, quantiles),
        profile=training_profile(table, np.exp(mean)),
        training_rows=training_rows(listings, digest(table)) if name != REFERENCE_MARKET else None,
    )


def _is_young(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each car is at most `MAX_YOUNG_AGE` years old when it is listed, (n,)."""
    dates = table[LISTING_DATE].fillna(latest_month(table))
    return np.asarray(age_at_listing(table.assign(**{LISTING_DATE: dates})) <= MAX_YOUNG_AGE)


def _shows_young(name: str, table: pd.DataFrame, estimate_mad: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether a young car's listing shows how far young cars lie from their estimates, (n,).

    Not those of a source that was cut at a price: its young cars are the cheapest versions. Nor
    generated ones: the spread that they are drawn with is that of a regression that had not seen
    them, in months of other levels, and contains all that a factor and its growth stand for.
    """
    if name == REFERENCE_MARKET:
        return np.zeros(len(table), dtype=np.bool_)
    dated = table.assign(**{LISTING_DATE: table[LISTING_DATE].fillna(latest_month(table))})
    return np.asarray(ceiling_factors(dated, estimate_mad) == 1.0)


def training_rows(listings: pd.DataFrame, key: str) -> Fingerprints:
    """Sorted fingerprints of the listings that a model is trained on."""
    return stored_fingerprints(listings, key)


def count_steps(listings: pd.DataFrame, *, is_generated: bool = False) -> int:
    """Number of calls of `on_progress` by `train_bundle`."""
    return (1 if is_generated else 2 + _folds(listings)) + 5 + 3


def digest(listings: pd.DataFrame) -> str:
    """SHA-256 over the table's content."""
    hashes = pd.util.hash_pandas_object(listings[list(LISTING_COLUMNS)], index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def _folds(listings: pd.DataFrame) -> int:
    return 3 if len(listings) > _MAX_FIVE_FOLD_LISTINGS else 5


def _fit_baseline(
    table: pd.DataFrame,
    market: ReferenceMarket | None,
    seed: int,
    on_progress: Callable[[str], None],
) -> CrossFitResult:
    """Fit the baseline, or take that of the market."""
    if market is None:
        return cross_fit(table, folds=_folds(table), seed=seed, on_progress=on_progress)
    fitted = encode_by_market(market, table, seed=seed)
    on_progress("baseline")
    return fitted


def _check(listings: pd.DataFrame) -> None:
    if len(listings) < MIN_LISTINGS:
        raise ListingsError(
            _("{listings} usable listings are too few to train on; at least {least}").format(
                listings=len(listings), MIN_LISTINGS=MIN_LISTINGS
            )
        )
    require_several_brands(listings)
    prices = listings[PRICE].to_numpy()
    if (prices == prices[0]).all():
        raise ListingsError(
            _("all listings ask {prices} MAD: nothing can be learnt from them").format(
                prices=f"{prices[0]:,.0f}"
            )
        )


def _calibration_mask(fitted: CrossFitResult) -> npt.NDArray[np.bool_]:
    """Whether each car is used to calibrate intervals, (n,).

    Truly unknown models and brands have larger errors than known ones whose name field dropout
    replaced. If there are enough of them, the replaced ones are not used.
    """
    is_calibration = np.ones(len(fitted.masked), dtype=np.bool_)
    for level in (UNKNOWN_MODEL, UNKNOWN_BRAND):
        unknown = fitted.encoded.level == level
        if np.sum(unknown & ~fitted.masked) >= MIN_CALIBRATION_CARS:
            is_calibration &= ~(unknown & fitted.masked)
    return is_calibration


def _dates(
    table: pd.DataFrame, month_slopes: FloatArray, market: ReferenceMarket | None
) -> dict[str, Any]:
    """First and last month of listing, and the price index; empty without dates."""
    dates = table[LISTING_DATE].dropna()
    if not len(dates):
        return {"months": None, "price_index": {}}
    first, last = str(dates.min()), str(dates.max())
    index = fitted_index(first, last, month_slopes) if market is None else market_index(market)
    return {"months": [first, last], "price_index": index}


def _card_predictions(
    table: pd.DataFrame,
    forest: RandomForestRegressor,
    fitted: CrossFitResult,
    mean: FloatArray,
    quantiles: FloatArray,
) -> CardPredictions:
    """Predictions for the model card, at the price level of the latest month."""
    encoded = fitted.encoded
    dates = table[LISTING_DATE].fillna(latest_month(table))
    return CardPredictions(
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
