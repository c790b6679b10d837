"""What the words of an edition are worth: "1.5", "dci", "laureate", in general and by model."""

from data.hedonic.codes import (
    KEYS,
    CarOrdinalEncoder,
    CodedCars,
    Words,
    cell_value_code,
    split_cell_key,
)
from data.hedonic.model import VEHICLE, WORD, FloatArray, HedonicModel

EDITION = "edition"
"""The field that the words belong to."""
_VEHICLE = KEYS.index(VEHICLE)
_ANY_VEHICLE = -1
_MAX_CACHE_SIZE = 100_000


class WordEffects:
    """Sums the cells of the terms that have `WORD` among their keys.

    Editions are few and repeat, so the sum for a model and its words is kept once it was made.
    False if the model has no such term.
    """

    def __init__(self, model: HedonicModel, ordinal_encoder: CarOrdinalEncoder) -> None:
        self._cells: dict[tuple[int, str], float] = {}
        terms = [term for term in model.terms if WORD in term.keys]
        for term in terms:
            for name, cell in model.cells[term.name].items():
                values = dict(zip(term.keys, split_cell_key(name, term.keys), strict=True))
                vehicle = (
                    cell_value_code(VEHICLE, values[VEHICLE], ordinal_encoder)
                    if VEHICLE in values
                    else _ANY_VEHICLE
                )
                self._cells[vehicle, values[WORD]] = cell.coefficients[0]
        self._known = bool(terms)
        self._cache: dict[tuple[int, Words], float] = {}

    def __bool__(self) -> bool:
        return self._known

    def fill(self, effects: FloatArray, cars: CodedCars) -> None:
        """Put the effect on the log price of each edition with known words into `effects` (n,)."""
        positions = list(cars.words)
        vehicles = cars.codes[positions, _VEHICLE].tolist()
        effects[positions] = list(map(self._sum, vehicles, cars.words.values()))

    def _sum(self, vehicle: int, words: Words) -> float:
        found = self._cache.get((vehicle, words))
        if found is None:
            cells = self._cells
            found = sum(
                cells.get((_ANY_VEHICLE, word), 0.0) + cells.get((vehicle, word), 0.0)
                for word in words
            )
            if len(self._cache) >= _MAX_CACHE_SIZE:
                self._cache.clear()
            self._cache[vehicle, words] = found
        return found
