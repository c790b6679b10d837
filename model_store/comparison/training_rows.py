"""Which listings of a table a model version was trained on."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.fingerprints import are_known, fingerprints
from model_store.pricing.inference import LoadedModel


def seen_in_training(model: LoadedModel, listings: pd.DataFrame) -> npt.NDArray[np.bool_] | None:
    """Whether each listing was among the training rows, (n,); None if that is not known.

    It is not known of versions that were trained on files by releases that stored no fingerprints.
    No listing is a training row of a model that was trained on generated listings.
    """
    known = model.training_rows
    if known is None:
        return None
    if not len(known):
        return np.zeros(len(listings), dtype=np.bool_)
    return are_known(fingerprints(listings, str(model.version.training["digest"])), known)
