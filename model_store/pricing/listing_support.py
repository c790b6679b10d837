"""What the training listings of a car's model cover; a price beyond them is an extrapolation.

Few or no listings of a model of about the car's year (unless the price when new tells that of a
young car), more kilometres than its cars have at that age, a fuel or a gearbox that hardly any of
them has: the effect is derived from other cars, errors are twice as large, and the interval of a
car that is covered would hold too seldom (ADR 116). The listings of a model are also those that
state its generation: a "golf" of 2022 is covered by the listings of the "golf 8".
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from data.hedonic.model import FIRST_YEAR, SEPARATOR, VEHICLE, YEARS, HedonicModel
from data.hedonic.ordinal_encoder import (
    KEYS,
    NUMBERS,
    CarOrdinalEncoder,
    cell_value_code,
)
from data.market.typical_cars import MIN_NEAR_LISTINGS
from model_store.pricing.feature_matrix import OUT_OF_RANGE, CarEncoder, CodedFeatures
from model_store.pricing.kernels import note_uncovered
from model_store.pricing.usual_cars import UsualCars, UsualStatistics, counted_cells
from shared.domain.car import CATEGORIES
from shared.domain.files.notes import MODEL_NOTES, ModelNote
from shared.domain.valuation import EXTRAPOLATED, UNSEEN_IN_MODEL

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MIN_NEAR = MIN_NEAR_LISTINGS - 0.5
"""The counts of versions without `listed_years` are rounded shares of totals."""
KM_DEVIATIONS = 3.0
"""Distance of the kilometres from the usual ones of model and age, in distances of their 84 %
quantile, from which no listing of the model covers them."""
EXTRAPOLATION_FACTOR = 2.0
"""Factor of the width, log scale, of cars that listings of their model do not cover."""
UNSEEN_FACTOR = 1.5
"""The same for a fuel or a gearbox that hardly any listing of the model has."""

_YEAR_KEY, _VEHICLE = KEYS.index("year"), KEYS.index(VEHICLE)
_KM = NUMBERS.index("km_driven")
_UNSEEN_FIELDS = ("fuel", "transmission")
_PLACES = np.array([_VEHICLE, _YEAR_KEY, _KM, *map(list(CATEGORIES).index, _UNSEEN_FIELDS)])
"""Of `note_uncovered`."""


def _bit(code: str, field: str) -> int:
    return 1 << MODEL_NOTES.index(ModelNote(field, code))


_YEAR_BIT, _KM_BIT = _bit(EXTRAPOLATED, "year"), _bit(EXTRAPOLATED, "km_driven")
_NUMBER_BITS = np.array([_bit(EXTRAPOLATED, name) for name in NUMBERS])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ListingSupport:
    """Finds what the listings of coded cars' models do not cover.

    Args:
        sparse: (vehicles, years + 1) by the codes of both: the bit of the note where hardly any
            listing is near the year and no price of new cars tells the price, else 0; so for an
            unknown vehicle.
        max_km: (vehicles, years + 1) most kilometres that are covered; infinite for an unknown
            vehicle.
        unseen: (2, vehicles, values + 1) of fuel and gearbox: the bit of the note where hardly any
            listing of the vehicle has the value, else 0; so for a missing one, which is the first,
            and for fields that the baseline does not distinguish by vehicle.
    """

    encoder: CarEncoder
    sparse: IntArray
    max_km: FloatArray
    unseen: IntArray

    @classmethod
    def of(
        cls,
        statistics: UsualStatistics,
        usual: UsualCars,
        encoder: CarEncoder,
        *,
        knows_years: bool = True,
    ) -> Self:
        """Compute the tables from the counts of the training listings.

        Args:
            statistics: of the training listings.
            usual: the usual kilometres by them.
            encoder: of the model that prices the cars.
            knows_years: whether the statistics count the listings by year; False: they are an
                approximation, and no year is extrapolated unless they state the covered ones.
        """
        coder = encoder.ordinal_encoder
        if statistics.listed_years is None:
            near = _near_listings(statistics, encoder.hedonic, coder)
            covered = near >= (_MIN_NEAR if knows_years and near.any() else 0.0)
        else:
            covered = _covered_years(statistics.listed_years, coder)
        sparse = np.zeros((len(covered), len(YEARS) + 1), dtype=np.int64)
        if not covered.all():
            sparse[1:, 1:] = np.where(covered[1:], 0, _YEAR_BIT)
            for name, year in statistics.new_car_years.items():
                code = cell_value_code(VEHICLE, name, coder)
                sparse[code, 1 + year - FIRST_YEAR :] = 0
        max_km = np.full(sparse.shape, np.inf)
        if usual.knows_km:
            max_km[1:] = usual.high_km(KM_DEVIATIONS)[1:]
        return cls(encoder=encoder, sparse=sparse, max_km=max_km, unseen=_unseen_values(encoder))

    def notes(self, features: CodedFeatures, level: npt.NDArray[np.int8]) -> IntArray:
        """Bits of `MODEL_NOTES` of coded cars, (n,).

        Args:
            features: the cars as they are stated.
            level: (n,) their levels of information.
        """
        cars = features.cars
        found = np.empty(len(level), dtype=np.int64)
        # Compiled: for a single car, the calls of numpy would take longer than the forest.
        any_outside = note_uncovered(
            cars.codes,
            cars.numbers,
            features.categories,
            level,
            _PLACES,
            self.sparse,
            self.max_km,
            _KM_BIT,
            self.unseen,
            OUT_OF_RANGE,
            found,
        )
        if any_outside:
            outside = self.encoder.numbers_out_of_range(cars)
            found |= np.where(level == OUT_OF_RANGE, outside @ _NUMBER_BITS, 0)
        return found

    def factors(self, notes: IntArray, level: npt.NDArray[np.int8]) -> FloatArray | None:
        """Factors of the width of intervals, log scale, (n,); None if all are 1.

        A number outside the training range and an unknown model widen the interval by their level
        of information already.

        Args:
            notes: (n,) of `notes`.
            level: (n,) levels of information.
        """
        if not np.count_nonzero(notes):
            return None
        factors = np.where(notes & (_YEAR_BIT | _KM_BIT), EXTRAPOLATION_FACTOR, UNSEEN_FACTOR)
        return np.where((notes == 0) | (level >= OUT_OF_RANGE), 1.0, factors)


def noted_fields(notes: int, code: str) -> tuple[str, ...]:
    """The fields of a car that have a note with a code, by its bits."""
    if not notes:
        return ()
    return tuple(
        note.field for at, note in enumerate(MODEL_NOTES) if note.code == code and notes >> at & 1
    )


def _covered_years(
    listed_years: Mapping[str, Sequence[Sequence[int]]], coder: CarOrdinalEncoder
) -> npt.NDArray[np.bool_]:
    """Whether the listings of a vehicle cover a year, (vehicles, years)."""
    covered = np.zeros((coder.sizes[VEHICLE], len(YEARS)), dtype=np.bool_)
    for name, runs in listed_years.items():
        code = cell_value_code(VEHICLE, name, coder)
        for first, last in runs:
            covered[code, first - FIRST_YEAR : last - FIRST_YEAR + 1] = True
    return _with_generations(covered, coder)


def _with_generations(values: npt.NDArray[Any], coder: CarOrdinalEncoder) -> npt.NDArray[Any]:
    """Values by vehicle, to which those of its generations are added: the sum, or any of them."""
    found = values.copy()
    for model, generation in coder.generations():
        found[model] += values[generation]
    return found


def _near_listings(
    statistics: UsualStatistics, hedonic: HedonicModel, coder: CarOrdinalEncoder
) -> FloatArray:
    """Listings of each vehicle registered at most a year before or after, (vehicles, years).

    An approximation for versions that do not state the years that listings cover. Counts of
    generated listings are those of what they were drawn from: the baseline has counts of vehicles,
    and of the years with enough listings; the others share what the drawn ones show.
    """
    drawn = np.zeros((coder.sizes[VEHICLE], len(YEARS)))
    cells = counted_cells(statistics.kinds, coder)
    own = cells.vehicle >= 0
    np.add.at(drawn, (cells.vehicle[own], cells.place[own]), cells.listings[own])
    totals, by_year = np.zeros(len(drawn)), np.zeros_like(drawn)
    code_of = cache(lambda name: cell_value_code(VEHICLE, name, coder))
    for term in hedonic.terms:
        if term.keys == (VEHICLE,) and term.curve is None:
            for name, cell in hedonic.cells[term.name].items():
                totals[code_of(name)] = cell.count
        if term.keys == (VEHICLE, "year") and term.curve is None:
            for key, cell in hedonic.cells[term.name].items():
                name, _, year = key.rpartition(SEPARATOR)
                by_year[code_of(name), int(year) - FIRST_YEAR] = cell.count
    scale = totals / np.maximum(drawn.sum(axis=1), 1.0)
    listings = np.maximum(drawn * scale[:, None], by_year)
    near = listings.copy()
    near[:, 1:] += listings[:, :-1]
    near[:, :-1] += listings[:, 1:]
    return np.asarray(_with_generations(near, coder))


def _unseen_values(encoder: CarEncoder) -> IntArray:
    """See `ListingSupport.unseen`."""
    coder = encoder.ordinal_encoder
    values = [[str(value) for value in CATEGORIES[field]] for field in _UNSEEN_FIELDS]
    found = np.zeros((len(values), coder.sizes[VEHICLE], max(map(len, values)) + 1), dtype=np.int64)
    for place, field in enumerate(_UNSEEN_FIELDS):
        if (seen := encoder.values_by_vehicle.get(field)) is None:
            continue
        has_value = np.zeros((len(found[place]), coder.sizes[field]), dtype=np.bool_)
        pairs = np.array(sorted(seen), dtype=np.int64).reshape(-1, 2)
        has_value[pairs[:, 0], pairs[:, 1]] = True
        # A vehicle of which no value is known says nothing about any.
        is_known = has_value.any(axis=1, keepdims=True)
        has_value = _with_generations(has_value, coder)
        bits = np.where(is_known & ~has_value, _bit(UNSEEN_IN_MODEL, field), 0)
        bits[0] = 0
        codes = [coder.vocabularies[field].get(value, 0) for value in values[place]]
        found[place, :, 1 : len(codes) + 1] = bits[:, codes]
    return found
