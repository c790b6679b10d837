"""Evaluation of a version that tells the listings it was trained on from the others."""

from typing import Any

import pandas as pd

from model_store.comparison.training_rows import caveats, overlap_with_training
from model_store.pricing.inference import LoadedModel
from model_store.training.evaluation import evaluate_model, price_listings, scores


def evaluate_with_training_rows(
    model: LoadedModel, listings: pd.DataFrame, *, at_listing_level: bool = True
) -> dict[str, Any]:
    """The figures of `evaluate_model`, and those of the listings that training had not seen.

    Returns:
        In addition `seen_in_training`: `rows` and `share` of the listings that the version was
        trained or recalibrated on, and `other_price`, how many of these rows are of a car that it
        has seen at another price; None if that is not known. If it has seen some and not others,
        `unseen` and `seen` have the figures of `scores` for each part. `notes`, if
        any: what the figures may hide (`caveats`).
    """
    found = evaluate_model(model, listings, at_listing_level=at_listing_level)
    if notes := list(caveats(model, listings)):
        found["notes"] = notes
    overlap = overlap_with_training(model, listings)
    if overlap is None:
        return found | {"seen_in_training": None}
    seen = overlap.listing | overlap.other_price
    rows = int(seen.sum())
    found["seen_in_training"] = {
        "rows": rows,
        "share": round(rows / len(seen), 4),
        "other_price": int(overlap.other_price.sum()),
    }
    if 0 < rows < len(seen):
        priced = price_listings(model, listings, at_listing_level=at_listing_level)
        found |= {"unseen": scores(*priced.take(~seen)), "seen": scores(*priced.take(seen))}
    return found
