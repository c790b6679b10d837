"""Refuses a training whose prices do not follow the cars, whatever market they are of."""

from collections.abc import Mapping
from typing import Any

from data.listings.files import ListingsError
from shared.i18n.command import gettext as _

MIN_R2_LOG = 0.2
"""Least share of the variance of log prices that the cars explain; 0.85 to 0.94 of real listings,
0.05 where the prices belong to other cars."""
MAX_MEDIAN_APE = 25.0
"""Cars of one model and year may hardly differ in price: a smaller median error, percent, is no
fault."""


def require_fit(metrics: Mapping[str, Any]) -> None:
    """Check the figures of a training on listings that its trees had not seen.

    Args:
        metrics: of the manifest.

    Raises:
        ListingsError: the prices do not follow the cars.
    """
    r2, error = metrics.get("r2_log", 1.0), metrics.get("median_ape", 0.0)
    if r2 < MIN_R2_LOG and error > MAX_MEDIAN_APE:
        raise ListingsError(
            _(
                "the prices do not follow the cars: a model of them explains {r2} of their "
                "variance, and its median error on cars that it had not seen is {error} %. Was "
                "a column sorted or shifted without the others? Nothing was stored"
            ).format(r2=f"{max(r2, 0.0):.0%}", error=f"{error:.0f}")
        )
