"""A loaded model version: computes estimates, explanations, depreciation and comparables."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.hedonic.ordinal_encoder import NUMBERS
from data.vehicles.columns import Column
from model_store.explain.contributions import explanation
from model_store.explain.tree_shap import TreeShap
from model_store.forest.forest import PackedForest
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.error_growth import MAX_YOUNG_AGE
from model_store.pricing.extras.comparables import nearest_comparables
from model_store.pricing.extras.depreciation import depreciation
from model_store.pricing.extras.differences import KM_STEP, typical_car
from model_store.pricing.feature_matrix import UNKNOWN_MODEL, CarEncoder, CodedFeatures
from model_store.pricing.kernels import limit_log_prices, round_to_cents
from model_store.pricing.listing_support import ListingSupport, noted_fields
from model_store.pricing.reasons import DetailEffects, known_fields, list_notes, unpriced_fields
from model_store.pricing.scenarios import ScenarioExpander, widen
from model_store.pricing.typical_cars import TypicalCarTable
from model_store.pricing.usual_approximation import reference_km_by_age
from model_store.pricing.usual_cars import KINDS, MAX_AGE, UsualStatistics
from model_store.registry.manifest import USUAL_FILE_SCHEMA, ModelVersion
from model_store.registry.self_test import check_prices
from shared.domain.car import FIELD_NAMES, USUALLY_STATED, CarFeatures, Fuel, Transmission
from shared.domain.clock import current_month, month_number, year_of
from shared.domain.errors import ModelRefused
from shared.domain.lists.estimates import EstimateList
from shared.domain.outlook import Comparable, Depreciation
from shared.domain.typical import TypicalCar
from shared.domain.valuation import (
    EXTRAPOLATED,
    QUANTILE_LEVELS,
    UNSEEN_IN_MODEL,
    Estimate,
    Explanation,
)

_MEDIAN = QUANTILE_LEVELS.index(0.50)
_YEAR = NUMBERS.index("year")
_MAX_LOG_PRICE = math.log(1e9)
"""Above every car price; estimates are clipped to 1 MAD and this."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EstimateTable:
    """Estimates of n cars as arrays, for chunks of batches."""

    price_mad: NDArray[np.float64]
    """(n,) rounded to the cent; the median quantile, so it lies inside every interval."""
    quantiles_mad: NDArray[np.float64]
    """(n, 9) prices at `QUANTILE_LEVELS`, not decreasing along a row."""
    level: NDArray[np.int8]
    """(n,) levels of information (`model_store.pricing.feature_matrix`)."""
    notes: NDArray[np.int64]
    """(n,) bits of `shared.domain.files.notes.MODEL_NOTES`."""
    without_effect: tuple[str, ...] = ()
    """Fields of which no value changes a price of the model; not in `notes`."""

    @property
    def model_known(self) -> NDArray[np.bool_]:
        """(n,) whether training has seen the model."""
        return self.level < UNKNOWN_MODEL


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """One version that can value cars. Immutable: threads and forked processes may share it.

    A car that lacks fuel, gearbox or kilometres is priced as a mixture of the cars that are usual
    for its vehicle and year (`model_store.pricing.scenarios`).
    """

    version: ModelVersion
    forest: PackedForest
    difficulty: PackedForest
    """Predicts the log of the expected error in standard deviations of `forest`."""
    encoder: CarEncoder
    calibration: IntervalCalibration
    usual: UsualStatistics
    training_rows: NDArray[np.uint64] | None = None
    """Sorted fingerprints of the training rows (`data.listings.fingerprints`), empty for generated
    ones; None if they are not known."""
    _scenarios: ScenarioExpander = dataclasses.field(init=False, repr=False)
    _support: ListingSupport = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        scenarios = ScenarioExpander.of(self.usual, self.encoder, self._year)
        object.__setattr__(self, "_scenarios", scenarios)
        support = ListingSupport.of(
            self.usual,
            scenarios.usual,
            self.encoder,
            knows_years=self.version.schema_version >= USUAL_FILE_SCHEMA,
        )
        object.__setattr__(self, "_support", support)

    def estimate(self, cars: Sequence[CarFeatures], *, month: int | None = None) -> list[Estimate]:
        """Value a group of cars with one pass through the forest, in order.

        Args:
            cars: the cars.
            month: for which the intervals hold (`shared.domain.clock.month_number`); None: the
                current one. They widen with the age of the data, the price does not change.
        """
        if not cars:
            return []
        month = current_month() if month is None else month
        features = self.encoder.code(cars)
        table = self._table(features, month)
        version = self.version.id
        width_age = self.calibration.age_of_data(month - self._data_month)
        return [
            Estimate(
                price_mad=price,
                quantiles_mad=tuple(quantiles),
                model_version=version,
                model_known=level < UNKNOWN_MODEL,
                month=month,
                unpriced=unpriced_fields(
                    car,
                    features.cars,
                    row,
                    numeric_effects=self.encoder.numeric_effects,
                    unmasked=self.encoder.unmasked_fields,
                ),
                unseen=noted_fields(notes, UNSEEN_IN_MODEL),
                extrapolated=noted_fields(notes, EXTRAPOLATED),
                width_age_months=width_age,
            )
            for row, (car, price, quantiles, level, notes) in enumerate(
                zip(
                    cars,
                    table.price_mad.tolist(),
                    table.quantiles_mad.tolist(),
                    table.level.tolist(),
                    table.notes.tolist(),
                    strict=True,
                )
            )
        ]

    def estimate_columns(
        self, columns: Mapping[str, Column], n: int, *, month: int | None = None
    ) -> EstimateTable:
        """Value `n` cars given as columns of normal-form values, None where missing.

        Args:
            columns: by name of the car's field; an absent one is missing in every car.
            n: number of cars.
            month: see `estimate`.
        """
        month = current_month() if month is None else month
        features = self.encoder.code_columns(columns, n)
        table = self._table(features, month)
        effects = self._detail_effects
        table.notes[:] |= effects.notes(columns, features.cars)
        return dataclasses.replace(table, without_effect=effects.without_effect)

    def estimate_list(
        self, columns: Mapping[str, Sequence[Any]], n: int, *, month: int | None = None
    ) -> EstimateList:
        """As `estimate`, of `n` cars given as columns; see `estimate_columns`."""
        month = current_month() if month is None else month
        table = self.estimate_columns(columns, n, month=month)
        notes, numbers = list_notes(
            columns, table.notes, table.model_known, without_effect=table.without_effect
        )
        return EstimateList(
            prices_mad=table.price_mad.tolist(),
            quantiles_mad=table.quantiles_mad.T.tolist(),
            model_version=self.version.id,
            month=month,
            width_age_months=self.calibration.age_of_data(month - self._data_month),
            notes=notes,
            note_numbers=numbers,
        )

    def explain(self, car: CarFeatures) -> Explanation:
        """Shapley contributions of the known fields; base and contributions sum to the price.

        The effect of a missing field is that of its usual values, weighted by their shares; it is
        part of the base. So is that of a value that training has not seen.
        """
        features = self.encoder.code([car])
        scenarios = self._scenarios.expand_all(features)
        encoded = self.encoder.encode_codes(scenarios.features)
        base_log, parts = self.encoder.baseline_effects(scenarios.features)
        shapley = np.array([self._tree_shap.explain(row) for row in encoded.matrix])
        effects_log = dict(zip(self.encoder.effect_fields, scenarios.mean(parts), strict=True))
        fields_of = self.encoder.feature_fields
        for feature, effect in zip(
            self.encoder.feature_names, scenarios.mean(shapley), strict=True
        ):
            fields = fields_of[feature]
            for field in fields:
                effects_log[field] = effects_log.get(field, 0.0) + effect / len(fields)
        price_mad = self.prices_mad([car])[0]
        return explanation(
            car,
            price_mad=price_mad,
            base_log=base_log + self._tree_shap.base + self.calibration.shift_log,
            effects_log=effects_log,
            known=known_fields(car, features.cars),
            averages=self._averages,
        )

    def depreciation(self, car: CarFeatures) -> Depreciation:
        """The same car in the next years; see `model_store.pricing.extras.depreciation`."""
        return depreciation(
            car,
            self.scenario_cars(car),
            self.quantiles_of_ages_mad,
            usual_km=self.usual_km(car),
            data_as_of=self.version.data_as_of,
        )

    def comparables(self, car: CarFeatures, price_mad: float) -> tuple[Comparable, ...]:
        """Typical cars of the reference market that are similar to `car`, priced `price_mad`."""
        kinds: dict[tuple[Fuel | None, Transmission | None], float] = {}
        for one, weight in self.scenario_cars(car):
            kind = (one.fuel, one.transmission)
            kinds[kind] = kinds.get(kind, 0.0) + weight
        return nearest_comparables(
            self._typical_table, car, price_mad, usual_km=self.usual_km(car), usual_kinds=kinds
        )

    def typical(self, car: CarFeatures, estimate: Estimate) -> TypicalCar | None:
        """The typical car of the same model and year, and what the car's differences are worth.

        It has the most frequent fuel and gearbox and the usual kilometres, and states nothing else.

        Args:
            car: the car.
            estimate: of the car by this version.

        Returns:
            None if the model is not in the data, or the listings do not cover its year.
        """
        if not estimate.model_known or "year" in estimate.extrapolated:
            return None
        typical = self._usual_car(car)
        priced = known_fields(car, self.encoder.code([car]).cars) - set(estimate.unpriced)
        differing = [
            name
            for name in FIELD_NAMES
            if (name in priced or name in USUALLY_STATED)
            and getattr(car, name) != getattr(typical, name)
        ]
        return typical_car(car, typical, self.prices_mad, differing)

    def _usual_car(self, car: CarFeatures) -> CarFeatures:
        """The most frequent fuel and gearbox of a model and year, with their usual kilometres."""
        bare = CarFeatures(company=car.company, model=car.model, year=car.year)
        usual, coded = self._scenarios.usual, self.encoder.code([bare]).cars
        shares = usual.shares(coded, np.ones((1, len(KINDS)), dtype=np.bool_))[0]
        place = int(shares.argmax())
        fuel, transmission = KINDS[place] if usual.knows_kinds else (None, None)
        km = float(usual.km(coded)[0][0, place]) if usual.knows_km else None
        return dataclasses.replace(
            bare,
            fuel=None if fuel is None else Fuel(fuel),
            transmission=None if transmission is None else Transmission(transmission),
            km_driven=None if km is None else max(KM_STEP * round(km / KM_STEP), KM_STEP),
        )

    def scenario_cars(self, car: CarFeatures) -> list[tuple[CarFeatures, float]]:
        """The complete cars that stand for a car with missing fields, and their shares.

        A complete car stands for itself. A field stays missing if no training listing states it.
        """
        return self._scenarios.cars(car, self.encoder.code([car]))

    def usual_km(self, car: CarFeatures) -> int:
        """The car's kilometres, or the usual ones of its vehicle and age, rounded to 100."""
        if car.km_driven is not None:
            return car.km_driven
        scenarios = self.scenario_cars(car)
        if any(one.km_driven is None for one, _ in scenarios):
            # No training listing states any.
            age = min(max(self._year - car.year, 0), MAX_AGE)
            return _rounded_km(reference_km_by_age()[age])
        logs = [weight * math.log(max(one.km_driven or 0, 1)) for one, weight in scenarios]
        return _rounded_km(math.exp(math.fsum(logs)))

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
        return self._table(self.encoder.code(cars), current_month()).quantiles_mad

    def quantiles_of_ages_mad(self, cars: Sequence[CarFeatures]) -> NDArray[np.float64]:
        """As `quantiles_mad`, of one car at several ages.

        Whether listings cover the car is that of the first, so that the width of the interval has
        no step from one age to the next.
        """
        features = self.encoder.code(cars)
        return self._table(features, current_month(), is_one_car=True).quantiles_mad

    @property
    def _year(self) -> int:
        """The year whose prices the model quotes."""
        return int(self.version.data_as_of[:4])

    @cached_property
    def _tree_shap(self) -> TreeShap:
        """Computed at the first explanation."""
        return TreeShap.of(self.forest)

    @cached_property
    def _averages(self) -> Mapping[str, float]:
        """See `UsualStatistics.averages`."""
        return self.usual.averages(self._year)

    @cached_property
    def _detail_effects(self) -> DetailEffects:
        """Computed for the first columns."""
        return DetailEffects(self.encoder)

    @cached_property
    def _typical_table(self) -> TypicalCarTable:
        """Computed at the first request for comparables."""
        return TypicalCarTable.of(
            lambda features: self._table(features, self._data_month).price_mad,
            self.encoder,
            self._scenarios.usual,
        )

    @cached_property
    def _data_month(self) -> int:
        """Number of the month whose prices the model quotes."""
        return month_number(self.version.data_as_of)

    def _table(
        self, features: CodedFeatures, month: int, *, is_one_car: bool = False
    ) -> EstimateTable:
        scenarios = self._scenarios.expand(features)
        complete = scenarios.features if scenarios else features
        encoded = self.encoder.encode_codes(complete)
        output = self.forest.predict(encoded.matrix)
        mean = encoded.baseline_log + output.mean
        difficulty = self.difficulty.predict(encoded.matrix).mean
        prices = self.calibration.quantiles_log(
            encoded.level,
            mean,
            output.std,
            difficulty,
            is_young=complete.cars.numbers[:, _YEAR] >= year_of(month) - MAX_YOUNG_AGE,
            months=self.calibration.age_of_data(month - self._data_month),
        )
        level = encoded.level
        if scenarios:
            level = level[scenarios.starts[:-1]]
        notes = self._support.notes(features, level)
        if is_one_car:
            notes[:] = notes[0]
        factors = self._support.factors(notes, level)
        if scenarios:
            prices = scenarios.mix(prices, factors)
        elif factors is not None:
            widen(prices, factors)
        limit_log_prices(prices, _MAX_LOG_PRICE)
        np.exp(prices, out=prices)
        round_to_cents(prices)
        return EstimateTable(
            price_mad=prices[:, _MEDIAN],
            quantiles_mad=prices,
            level=level,
            notes=notes,
        )


def _rounded_km(km: float) -> int:
    return 100 * round(km / 100)
