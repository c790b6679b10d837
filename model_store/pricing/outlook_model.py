"""What the outlook on a car needs of a model version."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.pricing.encoding import CarEncoder
from model_store.registry.manifest import ModelVersion
from shared.domain.car import CarFeatures


class CarPricer(Protocol):
    """A model version that prices cars, and knows which vehicle each of them is."""

    @property
    def version(self) -> ModelVersion:
        """Its manifest."""
        ...

    @property
    def encoder(self) -> CarEncoder:
        """Knows the vehicles."""
        ...

    def prices_mad(self, cars: Sequence[CarFeatures]) -> list[float]:
        """One price per car, in order."""
        ...

    def quantiles_mad(self, cars: Sequence[CarFeatures]) -> NDArray[np.float64]:
        """(n, 9) prices at `QUANTILE_LEVELS`, one row per car, in order."""
        ...
