"""Which fields of a car can be reasons for its price: those with a value that training has seen."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.hedonic.model import VEHICLE, WORD
from data.hedonic.ordinal_encoder import KEYS, NUMBERS, CodedCars
from data.vehicles.columns import CategoricalColumn, Column
from data.vehicles.names import BRAND_CLASSES
from model_store.pricing.feature_matrix import CarEncoder
from model_store.pricing.listing_support import noted_fields
from shared.domain.car import FIELD_NAMES, USUALLY_STATED, CarFeatures
from shared.domain.files.notes import DETAIL_WORDS, MODEL_NOTES, ModelNote
from shared.domain.lists.estimates import ModelNotes
from shared.domain.valuation import BRAND_UNKNOWN, EXTRAPOLATED, NO_EFFECT, UNSEEN_IN_MODEL

_CODED_FIELDS = {
    name: KEYS.index(name)
    for name in ("fuel", "transmission", "owner", "seller_type", "condition", "origin", "city")
} | {"company": KEYS.index("company"), "model": KEYS.index(VEHICLE)}
"""Place of the code of each field of words; code 0 is a missing value or one not seen."""
_VEHICLE, _COMPANY = KEYS.index(VEHICLE), KEYS.index("company")
_DETAIL_PLACES = tuple(
    (name, place)
    for name, place in _CODED_FIELDS.items()
    if name not in {"company", "model", *USUALLY_STATED}
)
_DETAIL_NUMBERS = tuple(name for name in NUMBERS if name not in {"year", *USUALLY_STATED})
EDITION = "edition"
_BRAND_BIT = 1 << MODEL_NOTES.index(ModelNote("company", BRAND_UNKNOWN))
_EFFECT_BITS = {name: 1 << MODEL_NOTES.index(ModelNote(name, NO_EFFECT)) for name in DETAIL_WORDS}
"""Bit of the note on each field."""


def known_fields(car: CarFeatures, coded: CodedCars) -> frozenset[str]:
    """The fields that are stated with a value that the training listings have.

    Another value is priced as if it were not stated: a damaged car must not read that its condition
    raises the price. A brand that is not in the data is known by its class, if it has one.

    Args:
        car: the car.
        coded: the same as codes, alone.
    """
    return frozenset(_known_fields(car, coded))


def _known_fields(car: CarFeatures, coded: CodedCars) -> Iterator[str]:
    for name in FIELD_NAMES:
        if getattr(car, name) is None:
            continue
        place = _CODED_FIELDS.get(name)
        is_seen = place is None or coded.codes[0, place] != 0
        if is_seen or (name == "company" and car.company in BRAND_CLASSES):
            yield name


def unpriced_fields(
    car: CarFeatures,
    coded: CodedCars,
    row: int,
    *,
    numeric_effects: Collection[str],
    unmasked: Collection[str],
) -> tuple[str, ...]:
    """The stated fields without which the car has the same price, see `Estimate.unpriced`.

    Fuel and gearbox are not among them: a car that does not state them has another price.

    Args:
        car: the car.
        coded: cars as codes.
        row: of the car in `coded`.
        numeric_effects: see `CarEncoder.numeric_effects`.
        unmasked: see `CarEncoder.unmasked_fields`.
    """
    codes = coded.codes[row].tolist()
    found = [
        name
        for name, place in _DETAIL_PLACES
        if getattr(car, name) is not None and codes[place] == 0 and name not in unmasked
    ]
    found += [
        name
        for name in _DETAIL_NUMBERS
        if getattr(car, name) is not None and name not in numeric_effects
    ]
    if car.edition is not None and row not in coded.words:
        found.append("edition")
    if codes[_VEHICLE] == 0 and codes[_COMPANY] == 0:
        found.append("company")
    return tuple(sorted(found, key=FIELD_NAMES.index)) if found else ()


def _lack(column: Column, priced: Mapping[Any, int]) -> NDArray[np.bool_] | None:
    """Whether each value of a column is not among the priced ones; None if no value is."""
    if not isinstance(column, CategoricalColumn):
        return np.array([value not in priced for value in column], dtype=np.bool_)
    is_noted = column.table.mapped(priced, 0.0) == 0.0
    return is_noted[column.codes] if is_noted.any() else None


class DetailEffects:
    """Which stated details of cars have no effect on their prices, for columns of cars.

    The same as `unpriced_fields`, but a field of which no value has an effect is not a note on
    each car: it is one of `without_effect`.

    Args:
        encoder: of the model.

    Attributes:
        without_effect: fields of which no value changes a price.
    """

    def __init__(self, encoder: CarEncoder) -> None:
        vocabularies = encoder.ordinal_encoder.vocabularies
        has_words = any(
            WORD in term.keys and encoder.hedonic.cells[term.name] for term in encoder.hedonic.terms
        )
        details = [name for name in DETAIL_WORDS if vocabularies.get(name)]
        details += [EDITION] * has_words
        self.without_effect = tuple(
            name
            for name in FIELD_NAMES
            if (name in DETAIL_WORDS and name not in details)
            or (name in _DETAIL_NUMBERS and name not in encoder.numeric_effects)
        )
        self._priced: dict[str, Mapping[Any, int]] = {
            name: {None: 1} | dict.fromkeys(vocabularies.get(name, ()), 1)
            for name in details
            if name not in encoder.unmasked_fields
        }
        """By field, the values that are no reason for a note. Of an edition only None: its words
        decide."""

    def notes(self, columns: Mapping[str, Column], coded: CodedCars) -> NDArray[np.int64]:
        """Bits of `MODEL_NOTES` of cars, (n,).

        Args:
            columns: the cars by name of the field.
            coded: the same cars as codes.
        """
        unknown = (coded.codes[:, _VEHICLE] == 0) & (coded.codes[:, _COMPANY] == 0)
        found = np.where(unknown, _BRAND_BIT, 0)
        for name, priced in self._priced.items():
            column = columns.get(name)
            if column is None or isinstance(column, np.ndarray):  # not stated by any car
                continue
            is_noted = _lack(column, priced)
            if is_noted is None:
                continue
            if name == EDITION:
                is_noted[list(coded.words)] = False
            found[is_noted] |= _EFFECT_BITS[name]
        return found


def list_notes(
    columns: Mapping[str, Sequence[Any]],
    notes: NDArray[np.int64],
    model_known: NDArray[np.bool_],
    *,
    without_effect: Sequence[str],
) -> tuple[list[ModelNotes], list[int]]:
    """The different notes on the cars of a list, and the number (n,) of those of each car.

    Args:
        columns: the cars by name of the field, values or None.
        notes: (n,) bits of `MODEL_NOTES`, with those of `DetailEffects`.
        model_known: (n,).
        without_effect: see `DetailEffects`.
    """
    idle = [name for name in without_effect if name in columns]
    is_stated = [[value is not None for value in columns[name]] for name in idle]
    kinds = list(zip(notes.tolist(), model_known.tolist(), *is_stated, strict=True))
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    found = []
    for bits, is_known, *stated in numbers:
        unpriced = {*noted_fields(bits, NO_EFFECT), *noted_fields(bits, BRAND_UNKNOWN)}
        unpriced.update(compress(idle, stated))
        found.append(
            ModelNotes(
                is_known,
                tuple(sorted(unpriced, key=FIELD_NAMES.index)),
                noted_fields(bits, UNSEEN_IN_MODEL),
                noted_fields(bits, EXTRAPOLATED),
            )
        )
    return found, list(map(numbers.__getitem__, kinds))
