"""Experiments: train as `carprice train` does, then price held-out listings."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from quantile_forest import RandomForestQuantileRegressor

from benchmarks.quality.figures import FloatArray, Predictions, figures, joined, winkler
from cli.console import DEFAULT_SEED
from cli.training.data import DEFAULT_ROWS
from data.listings.table import LISTING_DATE, PRICE, car_columns, latest_month
from data.market.calibrate import assign_folds, calibrate
from data.market.distributions import age_at_listing
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.forest.forest import PackedForest
from model_store.pricing.conformal import MEDIAN_INDEX
from model_store.pricing.error_growth import MAX_YOUNG_AGE
from model_store.pricing.feature_matrix import UNKNOWN_MODEL
from model_store.pricing.scenarios import ScenarioExpander
from model_store.registry.manifest import REFERENCE_MARKET
from model_store.training.crossfit import cross_fit
from model_store.training.train import TrainedModel, train_bundle
from shared.domain.clock import month_number, year_of
from shared.domain.valuation import QUANTILE_LEVELS

FOLDS = 5
QUARTERS = 4
MIN_MONTH_LISTINGS = 1_000
SEED = 42
Figures = dict[str, float]


def priced(
    trained: TrainedModel, listings: pd.DataFrame, fields: Sequence[str] | None = None
) -> Predictions:
    """Price listings with a trained model, from all of their fields or from a few.

    The intervals are those of each listing's month: they widen with the age of the data.
    """
    rows = len(listings)
    columns = car_columns(listings)
    stated = {n: c for n, c in columns.items() if fields is None or n in fields}
    year = int(trained.training["data_as_of"][:4])
    expander = ScenarioExpander.of(trained.usual, trained.encoder, year)
    scenarios = expander.expand_all(trained.encoder.code_columns(stated, rows))
    encoded = trained.encoder.encode_codes(scenarios.features)
    output = PackedForest.from_estimator(trained.estimator).predict(encoded.matrix)
    mean = encoded.baseline_log + output.mean
    difficulty = PackedForest.from_estimator(trained.difficulty).predict(encoded.matrix).mean
    ages, is_young = _data_ages(trained, listings)
    car_of = np.repeat(np.arange(rows), np.diff(scenarios.starts))
    found = np.empty((len(mean), len(QUANTILE_LEVELS)))
    for age in np.unique(ages):
        at = np.flatnonzero(ages[car_of] == age)
        found[at] = trained.calibration.quantiles_log(
            encoded.level[at],
            mean[at],
            output.std[at],
            difficulty[at],
            is_young=is_young[car_of[at]],
            months=int(age),
        )
    quantiles = scenarios.mix(found)
    return Predictions(
        actual=listings[PRICE].to_numpy(dtype=np.float64),
        price=np.exp(quantiles[:, MEDIAN_INDEX]),
        quantiles=np.exp(quantiles),
        known=encoded.level[scenarios.starts[:-1]] < UNKNOWN_MODEL,
        company=listings["company"].to_numpy(dtype=object),
        age_years=_ages(listings),
    )


def _data_ages(
    trained: TrainedModel, listings: pd.DataFrame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Age of the model's data in each listing's month, and whether its car is young, (n,) each."""
    data_as_of = str(trained.training["data_as_of"])
    months = listings[LISTING_DATE].fillna(data_as_of).map(month_number)
    since = (months - month_number(data_as_of)).to_numpy()
    ages = np.array([trained.calibration.age_of_data(int(month)) for month in since])
    years = months.map(year_of).to_numpy() - listings["year"].to_numpy(dtype=np.int64)
    return ages, years <= MAX_YOUNG_AGE


def cross_validated(listings: pd.DataFrame, *, seed: int = SEED, folds: int = FOLDS) -> Figures:
    """Price each fold with a model trained on the others; near duplicates share a fold."""
    fold_of = assign_folds(listings, folds, seed)
    parts = []
    for fold in range(folds):
        trained = train_bundle(listings[fold_of != fold].reset_index(drop=True), seed=SEED)
        parts.append(priced(trained, listings[fold_of == fold]))
    return figures(joined(parts))


def time_split(listings: pd.DataFrame, month: str) -> Figures:
    """Price the listings from `month` on with a model trained on the earlier ones."""
    early = (listings[LISTING_DATE] < month).to_numpy()
    trained = train_bundle(listings[early].reset_index(drop=True), seed=SEED)
    return figures(priced(trained, listings[~early]))


def latest_month_by_quarters(listings: pd.DataFrame) -> Figures:
    """Price each quarter of the latest month with a model trained on all other listings."""
    inside = (listings[LISTING_DATE] == latest_full_month(listings)).to_numpy()
    quarter_of = np.where(inside, assign_folds(listings, QUARTERS, SEED), -1)
    parts = []
    for quarter in range(QUARTERS):
        held_out = quarter_of == quarter
        trained = train_bundle(listings[~held_out].reset_index(drop=True), seed=SEED)
        parts.append(priced(trained, listings[held_out]))
    return figures(joined(parts))


def months_ahead(listings: pd.DataFrame, months: int) -> Figures:
    """Price the latest month with a model of the listings that are at least `months` older."""
    target = latest_full_month(listings)
    age = month_number(target) - listings[LISTING_DATE].map(month_number, na_action="ignore")
    trained = train_bundle(listings[age >= months].reset_index(drop=True), seed=SEED)
    return figures(priced(trained, listings[listings[LISTING_DATE] == target]))


def latest_full_month(listings: pd.DataFrame) -> str:
    """The latest month with at least `MIN_MONTH_LISTINGS`; the fullest if none has so many."""
    counts = listings[LISTING_DATE].value_counts().sort_index()
    full = counts[counts >= min(MIN_MONTH_LISTINGS, counts.max())]
    return str(full.index[-1])


def default_model(market: ReferenceMarket, listings: pd.DataFrame) -> Figures:
    """Price listings with the model that `carprice train` trains on a market's statistics."""
    drawn = generate(market, DEFAULT_ROWS, seed=DEFAULT_SEED, antithetic=True)
    trained = train_bundle(drawn, seed=DEFAULT_SEED, name=REFERENCE_MARKET, market=market)
    return figures(priced(trained, listings))


def default_model_held_out(listings: pd.DataFrame, new_prices: pd.DataFrame | None) -> Figures:
    """Estimate the statistics on four fifths of the listings; price the rest.

    Args:
        listings: a canonical table.
        new_prices: versions of new cars, see `calibrate`; also of the next two functions.
    """
    inside = assign_folds(listings, FOLDS, SEED) != 0
    return _default_model_of(listings[inside], listings[~inside], new_prices)


def default_model_of_a_quarter(listings: pd.DataFrame, new_prices: pd.DataFrame | None) -> Figures:
    """Estimate the statistics without a quarter of the latest full month; price this quarter."""
    is_latest = (listings[LISTING_DATE] == latest_full_month(listings)).to_numpy()
    held_out = is_latest & (assign_folds(listings, QUARTERS, SEED) == 0)
    return _default_model_of(listings[~held_out], listings[held_out], new_prices)


def default_model_months_ahead(
    listings: pd.DataFrame, months: int, new_prices: pd.DataFrame | None
) -> Figures:
    """Estimate the statistics on listings at least `months` older than those that are priced.

    The prices of new cars are of their own month, which may be later than those listings.
    """
    target = latest_full_month(listings)
    age = month_number(target) - listings[LISTING_DATE].map(month_number, na_action="ignore")
    return _default_model_of(
        listings[age >= months], listings[listings[LISTING_DATE] == target], new_prices
    )


def _default_model_of(
    known: pd.DataFrame, asked: pd.DataFrame, new_prices: pd.DataFrame | None
) -> Figures:
    market = calibrate(known.reset_index(drop=True), new_prices)
    return default_model(market, asked)


def winkler_against_peer(train: pd.DataFrame, test: pd.DataFrame) -> Figures:
    """Compare the interval scores of this project and of quantile-forest.

    Both are trained on the same listings and target. The peer uses the table unchanged; this
    project drops implausible odometers (`data.listings.suspicion`) from the training part, although
    the test part has them too, because a low mileage must never make a car cheaper.
    """
    ours = figures(priced(train_bundle(train, seed=SEED), test))
    fitted = cross_fit(train, folds=FOLDS, seed=SEED, on_progress=lambda _: None)
    peer = RandomForestQuantileRegressor(
        200, min_samples_leaf=10, max_features=0.35, random_state=SEED, n_jobs=-1
    )
    peer.fit(fitted.encoded.matrix, fitted.residual)
    encoded = fitted.encoder.encode_columns(car_columns(test), len(test))
    bounds = np.exp(
        encoded.baseline_log[:, None] + peer.predict(encoded.matrix, quantiles=[0.05, 0.95])
    )
    actual = test[PRICE].to_numpy(dtype=np.float64)
    theirs = winkler(actual, bounds[:, 0], bounds[:, 1])
    return {
        "winkler": ours["winkler"],
        "winkler_quantile_forest": theirs,
        "winkler_ratio": round(ours["winkler"] / theirs, 4),
        "coverage_quantile_forest": round(
            float(np.mean((actual >= bounds[:, 0]) & (actual <= bounds[:, 1]))), 4
        ),
    }


def _ages(listings: pd.DataFrame) -> FloatArray:
    """Ages at listing (n,) in years; a listing without a date counts as one of the latest month."""
    dates = listings[LISTING_DATE].fillna(latest_month(listings))
    return np.asarray(age_at_listing(listings.assign(**{LISTING_DATE: dates})), dtype=np.float64)
