"""Judges a training before it is used: a trial model against the active one on unseen listings."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from data.listings.files import ListingsError
from model_store.comparison.compare import Comparison, compare_models
from model_store.comparison.holdout import hold_out
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import in_memory

if TYPE_CHECKING:
    from model_store.training.train import TrainedModel


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The result of a trial."""

    basis: str
    """How the listings were held out, in words."""
    rows: int
    """Listings that the trial model was trained on."""
    relisted: int
    """Held-out listings that are not compared, because their cars may be among those."""
    comparison: Comparison | None
    """The trial model (B) against the active one (A); None if they were not compared."""
    reason: str | None = None
    """Why they were not compared."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        comparison = self.comparison and self.comparison.to_json()
        return {
            "basis": self.basis,
            "rows": self.rows,
            "relisted": self.relisted,
            "reason": self.reason,
            "comparison": comparison,
        }


def compare_trial(
    active: LoadedModel,
    listings: pd.DataFrame,
    *,
    seed: int,
    fit: Callable[[pd.DataFrame], "TrainedModel"],
) -> Trial:
    """Train on a part of the listings and compare with the active version on the rest.

    The version that is stored is trained on all of them afterwards: what it does on listings that
    it has not seen can only be told by a model that has not seen them. The trial has fewer and
    older listings, so the comparison is to its disadvantage.

    Args:
        active: the version that serves.
        listings: a canonical table.
        seed: of a random split, if there is one, and of the bootstrap.
        fit: trains a model on a part of the listings.
    """
    before, held_out, basis, relisted = hold_out(listings, seed=seed)
    comparison, reason = None, None
    try:
        comparison = compare_models(active, in_memory(fit(before)), held_out, seed=seed)
    except ListingsError as error:
        reason = str(error)
    return Trial(
        basis=basis, rows=len(before), relisted=relisted, comparison=comparison, reason=reason
    )
