"""Trains the reference project's pipeline.

Encoders and an imputer turn a table of raw fields into the input of a large forest of unlimited
depth with n_jobs=-1; `predict` takes a pandas DataFrame. It was written from this description only.
"""

from pathlib import Path

import joblib
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from data.listings.table import PRICE
from data.market.generator import generate
from data.market.reference import ReferenceMarket

ROWS = 2_900
TREES = 200
"""With `ROWS`, they give about 720,000 nodes, as many as the reference project's forest."""
SEED = 42
LOW_CARDINALITY = ["company", "fuel", "transmission", "owner", "seller_type"]
HIGH_CARDINALITY = ["model"]
NUMBERS = ["year", "km_driven", "mileage_mpg", "engine_cc", "max_power_bhp", "torque_nm"]


def save_reference_pipeline(path: Path, *, rows: int = ROWS, trees: int = TREES) -> None:
    """Train the pipeline on generated listings and save it."""
    listings = generate(ReferenceMarket.load(), rows, seed=SEED)
    table = listings[LOW_CARDINALITY + HIGH_CARDINALITY + NUMBERS]
    pipeline = _pipeline(trees)
    pipeline.fit(table, listings[PRICE])
    joblib.dump(pipeline, path)


def _pipeline(trees: int) -> Pipeline:
    # A missing value is one more category, or unknown if the training data had none missing.
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    encode = ColumnTransformer(
        [
            ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), LOW_CARDINALITY),
            ("many", OrdinalEncoder(**unknown), HIGH_CARDINALITY),
            ("numbers", SimpleImputer(keep_empty_features=True), NUMBERS),
        ]
    )
    forest = RandomForestRegressor(n_estimators=trees, n_jobs=-1, random_state=SEED)
    return Pipeline([("encode", encode), ("forest", forest)])
