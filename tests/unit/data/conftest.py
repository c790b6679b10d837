"""A small synthetic market with known effects."""

import numpy as np
import pandas as pd
import pytest

from data.listings.table import listing_table
from data.market.calibrate import calibrate
from data.market.reference import ReferenceMarket

LEVELS = {
    ("dacia", "logan"): 11.2,
    ("renault", "clio"): 11.4,
    ("renault", "megane"): 11.6,
    ("bmw", "x5"): 12.6,
}


def made_listings(rows: int = 1500, seed: int = 0, noise: float = 0.1) -> pd.DataFrame:
    """Listings whose price follows model, year, gearbox and kilometres, with noise."""
    rng = np.random.default_rng(seed)
    pairs = [list(LEVELS)[index] for index in rng.integers(0, len(LEVELS), rows)]
    year = rng.integers(2005, 2025, rows)
    km = (2025 - year) * rng.integers(8_000, 20_000, rows)
    automatic = rng.random(rows) < 0.4
    log_price = (
        np.array([LEVELS[pair] for pair in pairs])
        + 0.08 * (year - 2015)
        - 1e-6 * (km - 130_000)
        + 0.1 * automatic
        + noise * rng.standard_normal(rows)
    )
    return listing_table(
        {
            "company": [company for company, _ in pairs],
            "model": [model for _, model in pairs],
            "year": year.tolist(),
            "fuel": ["Diesel"] * rows,
            "transmission": np.where(automatic, "Automatic", "Manual").tolist(),
            "km_driven": km.tolist(),
            "fiscal_power_cv": rng.choice([6, 8], rows).tolist(),
            "owner": rng.choice(["First", "Second or more"], rows).tolist(),
            "price_mad": np.exp(log_price).tolist(),
            "listing_date": rng.choice(["2024-03", "2024-11", "2025-02"], rows).tolist(),
        }
    )


@pytest.fixture(scope="session")
def listings() -> pd.DataFrame:
    return made_listings()


@pytest.fixture(scope="session")
def market(listings: pd.DataFrame) -> ReferenceMarket:
    return calibrate(listings)
