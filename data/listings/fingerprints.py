"""Fingerprints of listings: keyed hashes that tell whether a model was trained on a listing.

A fingerprint is of the car and its price alone, in normal form: the order of rows and columns, the
layout of the file and its other columns do not matter. The same ad listed again is the same
listing. A second fingerprint, of the car without the price, finds cars that are listed again at
another price.

Fingerprints hide nothing: the key is in the manifest of the version, and there are so few possible
cars and prices that whoever has the version's folder can try all of them and list its rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.ordinal_encoder import NUMBERS
from data.listings.table import PRICE, join_texts

IDENTIFYING = ("company", "model", "year", "km_driven", PRICE)
"""Columns of a fingerprint. In two collections of Moroccan listings without common ads, of 23,000
and 38,000 rows, one row in a thousand of the second equals a row of the first in all of them."""

SAME_CAR = (
    "company", "model", "year", "fuel", "transmission", "km_driven", "fiscal_power_cv",
)  # fmt: skip
"""Columns of a fingerprint without the price: those by which `near_duplicate_groups` tells cars
apart."""

KEY_CHARS = 16
"""Characters of a key: SipHash takes 128 bits."""

_MISSING = -1

Fingerprints = npt.NDArray[np.uint64]


def fingerprints(listings: pd.DataFrame, key: str) -> Fingerprints:
    """The fingerprint of each listing, (n,).

    Args:
        listings: a canonical table (`data.listings.table`).
        key: its first `KEY_CHARS` characters, which must be ASCII, are the key of the hash.
    """
    return _hashes(listings, IDENTIFYING, key)


def car_fingerprints(listings: pd.DataFrame, key: str) -> Fingerprints:
    """The fingerprint of each listing's car without its price, (n,); arguments as above.

    Two cars of a model with the same year, fuel, gearbox, power and kilometres have the same one.
    """
    return _hashes(listings, SAME_CAR, key)


def stored_fingerprints(listings: pd.DataFrame, key: str) -> Fingerprints:
    """What a version stores of its training listings: both fingerprints of each, sorted."""
    return np.unique(np.concatenate([fingerprints(listings, key), car_fingerprints(listings, key)]))


def _hashes(listings: pd.DataFrame, names: Sequence[str], key: str) -> Fingerprints:
    if listings.empty:
        return np.empty(0, dtype=np.uint64)
    # The two kinds have different numbers of columns, so their texts are never equal.
    cells = join_texts(_as_text(listings[name]) for name in names).to_numpy(dtype=object)
    return np.asarray(
        pd.util.hash_array(cells, hash_key=key[:KEY_CHARS], categorize=False), dtype=np.uint64
    )


def _as_text(column: "pd.Series[Any]") -> pd.Series:
    """Whole numbers and texts as text; a missing cell must not make the whole text missing."""
    if column.name in NUMBERS or column.name == PRICE:
        numbers = np.rint(column.to_numpy(dtype=np.float64))
        whole = np.nan_to_num(numbers, nan=_MISSING).astype(np.int64)
        return pd.Series(whole, index=column.index).astype(str).astype(object)
    return column.astype(object).where(column.notna(), "")


def are_known(found: Fingerprints, known: Fingerprints) -> npt.NDArray[np.bool_]:
    """Whether each fingerprint is one of the known ones, (n,).

    Args:
        found: (n,) in any order.
        known: sorted.
    """
    return np.isin(found, known)
