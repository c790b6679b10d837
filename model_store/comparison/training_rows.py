"""Which listings of a table a model version was trained or recalibrated on."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.fingerprints import are_known, car_fingerprints, fingerprints
from data.listings.table import LISTING_DATE
from model_store.pricing.inference import LoadedModel
from model_store.registry.manifest import REFERENCE_MARKET
from shared.i18n.command import gettext as _


class Seen(NamedTuple):
    """What a version was trained or recalibrated on, (n,) each."""

    listing: npt.NDArray[np.bool_]
    """The listing: the same car at the same price."""
    other_price: npt.NDArray[np.bool_]
    """Not the listing, but what may be the same car at another price: an ad that was listed again,
    or a car that equals it in all that tells cars apart."""


def overlap_with_training(model: LoadedModel, listings: pd.DataFrame) -> Seen | None:
    """Which listings a version was trained or recalibrated on, and which cars at another price.

    None if that is not known: of versions that were trained on files by releases that stored no
    fingerprints. No listing is a training row of a model that was trained on generated listings
    (`caveats` tells what that hides).
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


def caveats(model: LoadedModel, listings: pd.DataFrame) -> Iterator[str]:
    """What the figures of a version on listings may hide, in sentences."""
    version = model.version
    if (facts := version.calibrated_on) is not None and facts["rows"]:
        is_known = model.training_rows is not None and "left_out" in facts
        recognised = _(
            "{version} was recalibrated on {rows} listings of {months} ({name}); they count as seen"
        )
        unknown = _(
            "{version} was recalibrated on {rows} listings of {months} ({name}), which cannot"
            " be recognised: leave them out yourself"
        )
        text = recognised if is_known else unknown
        months = "-".join(dict.fromkeys(facts["months"]))
        rows = f"{facts['rows']:,}"
        yield text.format(version=version.id, rows=rows, months=months, name=facts["name"])
    if version.training.get("name") != REFERENCE_MARKET:
        return
    first, last = version.training.get("months") or (version.data_as_of, version.data_as_of)
    dates = listings[LISTING_DATE]
    if count := int((dates.isna() | (dates <= last)).sum()):
        text = _(
            "{version} was trained on the reference market, whose statistics were estimated from"
            " listings of {first} to {last}: {number} of these may be among them, and then their"
            " errors say little about other cars"
        )
        yield text.format(version=version.id, first=first, last=last, number=f"{count:,}")
