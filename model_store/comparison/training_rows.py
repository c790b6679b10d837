"""Which listings of a table a model version was trained on."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.fingerprints import are_known, car_fingerprints, fingerprints
from model_store.pricing.inference import LoadedModel


class Seen(NamedTuple):
    """What a version was trained on, (n,) each."""

    listing: npt.NDArray[np.bool_]
    """The listing: the same car at the same price."""
    other_price: npt.NDArray[np.bool_]
    """Not the listing, but what may be the same car at another price: an ad that was listed again,
    or a car that equals it in all that tells cars apart."""


def overlap_with_training(model: LoadedModel, listings: pd.DataFrame) -> Seen | None:
    """Which listings a version was trained on, and which cars at another price.

    None if that is not known: of versions that were trained on files by releases that stored no
    fingerprints. No listing is a training row of a model that was trained on generated listings.
    """
    known = model.training_rows
    if known is None:
        return None
    if not len(known):
        none = np.zeros(len(listings), dtype=np.bool_)
        return Seen(none, none)
    key = str(model.version.training["digest"])
    is_listing = are_known(fingerprints(listings, key), known)
    is_car = are_known(car_fingerprints(listings, key), known)
    return Seen(is_listing, is_car & ~is_listing)


def seen_in_training(model: LoadedModel, listings: pd.DataFrame) -> npt.NDArray[np.bool_] | None:
    """Whether a version was trained on each listing, or its car at another price, (n,).

    None if that is not known.
    """
    seen = overlap_with_training(model, listings)
    return None if seen is None else seen.listing | seen.other_price
