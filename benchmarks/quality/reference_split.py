"""Prepares the reference project's file as its notebook does."""

from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from data.listings.formats import RUPEE_IN_MAD
from data.listings.loading import load_listings

_NUMBERS = (
    "year", "km_driven", "mileage_mpg", "engine_cc", "max_power_bhp", "torque_nm", "seats",
    "selling_price",
)  # fmt: skip
_IQRS = 1.5
_TEST_SHARE = 0.30
_SEED = 42
"""The parameters of the notebook."""


def filtered(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the notebook keeps: complete, and within 1.5 interquartile ranges.

    The columns are filtered one after the other, each on the rows that the earlier ones kept.
    """
    kept = raw.dropna()
    for name in _NUMBERS:
        values = kept[name] * (RUPEE_IN_MAD if name == "selling_price" else 1.0)
        low, high = values.quantile(0.25), values.quantile(0.75)
        reach = _IQRS * (high - low)
        kept = kept[(values >= low - reach) & (values <= high + reach)]
    return kept


def reference_split(path: Path, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training and test part as canonical tables, read as `carprice train --data` does.

    Args:
        path: the reference project's file.
        folder: receives the two parts as files.
    """
    train, test = train_test_split(
        filtered(pd.read_csv(path)), test_size=_TEST_SHARE, random_state=_SEED
    )
    return _reread(train, folder / "train.csv"), _reread(test, folder / "test.csv")


def _reread(part: pd.DataFrame, path: Path) -> pd.DataFrame:
    part.to_csv(path, index=False)
    listings, _ = load_listings(path)
    return listings
