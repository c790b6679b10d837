"""A loaded model version: computes estimates, explanations, depreciation and comparables."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import Column
from model_store.explain.contributions import explanation
from model_store.explain.tree_shap import TreeShap
from model_store.forest.forest import PackedForest
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.comparables import ComparablesIndex
from model_store.pricing.depreciation import depreciation
from model_store.pricing.encoding import UNKNOWN_MODEL, CarEncoder, EncodedCars
from model_store.registry.manifest import ModelVersion
from model_store.registry.self_test import check_prices
from shared.domain.car import CarFeatures
from shared.domain.errors import ModelRefused
from shared.domain.outlook import Comparable, Depreciation
from shared.domain.valuation import QUANTILE_LEVELS, Estimate, Explanation

_MEDIAN = QUANTILE_LEVELS.index(0.50)
_MAX_LOG_PRICE = math.log(1e9)
"""Above every car price; estimates are clipped to 1 MAD and this."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EstimateTable:
    """Estimates of n cars as arrays, for chunks of batches."""

    price_mad: NDArray[np.float64]
    """(n,) rounded to the cent; the median quantile, so it lies inside every interval."""
    quantiles_mad: NDArray[np.float64]
    """(n, 9) prices at `QUANTILE_LEVELS`, not decreasing along a row."""
    model_known: NDArray[np.bool_]
    """(n,)"""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """One version that can value cars. Immutable: threads and forked processes may share it."""

    version: ModelVersion
    forest: PackedForest
    difficulty: PackedForest
    """Predicts the log of the expected error in standard deviations of `forest`."""
    encoder: CarEncoder
    calibration: IntervalCalibration

    def estimate(self, cars: Sequence[CarFeatures]) -> list[Estimate]:
        """Value a group of cars with one pass through the forest, in order."""
        if not cars:
            return []
        table = self._table(self.encoder.encode(cars))
        version = self.version.id
        return [
            Estimate(
                price_mad=price,
                quantiles_mad=tuple(quantiles),
                model_version=version,
                model_known=known,
            )
            for price, quantiles, known in zip(
                table.price_mad.tolist(),
                table.quantiles_mad.tolist(),
                table.model_known.tolist(),
                strict=True,
            )
        ]

    def estimate_columns(self, columns: Mapping[str, Column], n: int) -> EstimateTable:
        """Value `n` cars given as columns of normal-form values, None where missing.

        Args:
            columns: by name of the car's field; an absent one is missing in every car.
            n: number of cars.
        """
        return self._table(self.encoder.encode_columns(columns, n))

    def explain(self, car: CarFeatures) -> Explanation:
        """Shapley contributions of the fields; base and contributions sum to the price."""
        encoded = self.encoder.encode([car])
        base_log, effects_log = self.encoder.baseline_effects(car)
        effects_log = dict(effects_log)
        fields_of = self.encoder.feature_fields
        shapley_values = self._tree_shap.explain(encoded.matrix[0]).tolist()
        for feature, effect in zip(self.encoder.feature_names, shapley_values, strict=True):
            fields = fields_of[feature]
            for field in fields:
                effects_log[field] = effects_log.get(field, 0.0) + effect / len(fields)
        return explanation(
            car,
            price_mad=float(self._table(encoded).price_mad[0]),
            base_log=base_log + self._tree_shap.base,
            effects_log=effects_log,
        )

    def depreciation(self, car: CarFeatures) -> Depreciation:
        """The same car in the next years; see `model_store.pricing.depreciation`."""
        return depreciation(car, self.quantiles_mad, data_as_of=self.version.data_as_of)

    def comparables(self, car: CarFeatures, price_mad: float) -> tuple[Comparable, ...]:
        """Typical cars of the reference market that are similar to `car`, priced `price_mad`."""
        return self._typical_table.nearest(car, price_mad)

    def self_test(self) -> None:
        """Value the manifest's self-test cars and compare the prices.

        Raises:
            ModelRefused: a price differs, or quantiles decrease.
        """
        check_prices(self.version, self.prices_mad)
        for estimate in self.estimate([case.car for case in self.version.self_test]):
            if list(estimate.quantiles_mad) != sorted(estimate.quantiles_mad):
                raise ModelRefused(version=self.version.id, reason="self-test: quantiles decrease")

    def prices_mad(self, cars: Sequence[CarFeatures]) -> list[float]:
        """One price per car, in order."""
        return [estimate.price_mad for estimate in self.estimate(cars)]

    def quantiles_mad(self, cars: Sequence[CarFeatures]) -> NDArray[np.float64]:
        """(n, 9) prices at `QUANTILE_LEVELS`, one row per car, in order."""
        return self._table(self.encoder.encode(cars)).quantiles_mad

    @cached_property
    def _tree_shap(self) -> TreeShap:
        """Computed at the first explanation."""
        return TreeShap.of(self.forest)

    @cached_property
    def _typical_table(self) -> ComparablesIndex:
        """Computed at the first request for comparables."""
        return ComparablesIndex.of(self.prices_mad, self.encoder.vehicle_code)

    def _table(self, encoded: EncodedCars) -> EstimateTable:
        output = self.forest.predict(encoded.matrix)
        mean = encoded.baseline_log + output.mean
        difficulty = self.difficulty.predict(encoded.matrix).mean
        prices = self.calibration.quantiles_log(encoded.level, mean, output.std, difficulty)
        # In place: for a single car the calls cost more than the arithmetic.
        np.maximum(prices, 0.0, out=prices)
        np.minimum(prices, _MAX_LOG_PRICE, out=prices)
        np.exp(prices, out=prices)
        prices.round(2, out=prices)
        return EstimateTable(
            price_mad=prices[:, _MEDIAN],
            quantiles_mad=prices,
            model_known=encoded.level < UNKNOWN_MODEL,
        )
