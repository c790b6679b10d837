"""Sources of listings that were cut at a price."""

import numpy as np
import pandas as pd
import pytest

from data.market.source_ceilings import ceiling_factors, source_ceilings

from .conftest import made_listings


@pytest.fixture(scope="module")
def with_cut_source() -> pd.DataFrame:
    """Two sources of the same cars; one was cut at 300,000 MAD."""
    table = made_listings(3000, seed=4)
    table["source"] = np.where(np.arange(3000) < 1500, "whole", "cut")
    is_kept = (table["source"] == "whole") | (table["price_mad"] <= 300_000)
    return table[is_kept].reset_index(drop=True)


def test_a_source_without_the_dear_cars_of_the_others_was_cut(
    with_cut_source: pd.DataFrame,
) -> None:
    source, price = with_cut_source["source"].to_numpy(), with_cut_source["price_mad"].to_numpy()
    (name, ceiling), *others = source_ceilings(source, price).items()
    assert (name, others) == ("cut", [])
    assert 280_000 < ceiling <= 300_000


def test_a_small_source_may_lack_dear_cars_by_chance(with_cut_source: pd.DataFrame) -> None:
    is_cut = with_cut_source["source"] == "cut"
    few = pd.concat([with_cut_source[~is_cut], with_cut_source[is_cut].head(60)])
    assert source_ceilings(few["source"].to_numpy(), few["price_mad"].to_numpy()) == {}


def test_young_cars_and_those_near_the_ceiling_count_less_whatever_they_ask(
    with_cut_source: pd.DataFrame,
) -> None:
    usual = with_cut_source.groupby(["model", "year"])["price_mad"].transform("median").to_numpy()
    factors = ceiling_factors(with_cut_source, usual)
    is_cut = (with_cut_source["source"] == "cut").to_numpy()
    year = with_cut_source["year"].to_numpy()
    assert (factors[~is_cut] == 1.0).all()
    assert (factors[is_cut & (year >= 2023)] < 1.0).all()
    assert (factors[is_cut & (usual > 250_000)] < 1.0).all()
    assert (factors[is_cut & (year < 2022) & (usual < 150_000)] == 1.0).all()


def test_listings_of_one_source_keep_their_weights(listings: pd.DataFrame) -> None:
    assert (ceiling_factors(listings, listings["price_mad"].to_numpy()) == 1.0).all()
