"""Field dropout: teaching the forest to price cars of which little is known.

Callers leave out optional fields, and ask for models that no listing had. A share of the training
cars therefore goes in with fields blanked, so that the forest learns what the baseline is worth
then. Rows are changed, not added: out-of-bag estimates stay honest.
"""

import numpy as np
import pandas as pd

from shared.domain.car import FIELD_NAMES, REQUIRED_FIELDS

FIELD_DROPOUT_RATE = 0.15
"""Share of the values blanked in each optional field."""
REQUIRED_ONLY_RATE = 0.10
"""Share of the cars of which only the required fields stay."""
UNKNOWN_MODEL_RATE = 0.04
"""Share of the cars whose model is made unknown."""
UNKNOWN_BRAND_RATE = 0.015
"""Share of the cars whose brand is made unknown too."""
UNKNOWN_NAME = "(unknown)"
"""A brand or a model that no coder knows: folded names have no brackets."""


def with_dropout(listings: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """A copy of `listings` with fields blanked at random."""
    rng = np.random.default_rng(seed)
    with_missing = listings.copy()
    bare = rng.random(len(with_missing)) < REQUIRED_ONLY_RATE
    for name in FIELD_NAMES:
        blanked = bare | (rng.random(len(with_missing)) < FIELD_DROPOUT_RATE)
        if name not in REQUIRED_FIELDS:
            with_missing.loc[blanked, name] = None
    drawn = rng.random(len(with_missing))
    with_missing.loc[drawn < UNKNOWN_MODEL_RATE, "model"] = UNKNOWN_NAME
    with_missing.loc[drawn < UNKNOWN_BRAND_RATE, "company"] = UNKNOWN_NAME
    return with_missing
