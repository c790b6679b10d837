"""A `HedonicModel` laid out for speed: codes become prices."""

from collections.abc import Mapping, Sequence

import numpy as np

from data.car_codes import KEYS, NUMBERS, CarCoder, CodedCars, code_of, split_cell
from data.hedonic import WORD, YEARS, Bend, Cell, FloatArray, HedonicModel, IntArray, Term
from data.usual_effects import UsualEffects
from data.word_effects import EDITION, WordEffects


class HedonicTables:
    """The model as flat arrays.

    `part_fields` are the car's fields that effects are attributed to; `parts` gives one column
    for each, and their sum plus `intercept` is the log price.
    """

    def __init__(self, model: HedonicModel, coder: CarCoder) -> None:
        self.model = model
        self.coder = coder
        self.intercept = model.intercept
        terms = sorted(model.terms, key=lambda term: term.field)
        self._bends: list[Bend] = []
        self._words = WordEffects(model, coder)
        self._layout(terms)
        self._usual = UsualEffects(model, coder, self.part_fields)
        self._curves = _Curves(self._bends)

    def _layout(self, terms: Sequence[Term]) -> None:
        blocks: list[FloatArray] = [np.zeros(1)]
        strides: list[IntArray] = []
        offsets: list[int] = []
        multipliers: list[int] = []
        fields: list[str] = []
        filled = 1
        for term in (term for term in terms if WORD not in term.keys):
            tensor, keys = _tensor(term, self.model.cells[term.name], self.coder)
            columns = self._columns_of(term)
            stride = _strides(keys, self.coder.sizes)
            for column, block in zip(columns, tensor, strict=True):
                blocks.append(block)
                strides.append(stride)
                offsets.append(filled)
                multipliers.append(column)
                fields.append(term.field)
                filled += len(block)
        if self._words:
            # A column of zeros, which the words' effects are put into.
            strides.append(np.zeros(len(KEYS), dtype=np.int64))
            offsets.append(0)
            multipliers.append(0)
            fields.append(EDITION)
        self._values = np.concatenate(blocks)
        # As floats: their product is exact below 2**53, and much faster than that of integers.
        self._strides = np.array(strides, dtype=np.float64).T.copy()
        self._offsets = np.array(offsets)
        self._multipliers = np.array(multipliers)
        self.part_fields = tuple(dict.fromkeys(fields))
        self._starts = np.array([fields.index(field) for field in self.part_fields])

    def _columns_of(self, term: Term) -> list[int]:
        """Columns that the term's coefficients are multiplied by; 0 is the column of ones."""
        if term.bend is None or term.bend.variable == "year":
            return [0]
        if term.bend not in self._bends:
            self._bends.append(term.bend)
        before = self._bends[: self._bends.index(term.bend)]
        first = 1 + sum(bend.width for bend in before)
        return list(range(first, first + term.width))

    def parts(self, cars: CodedCars) -> FloatArray:
        """Effects on the log price (n, len(part_fields))."""
        cells = (cars.codes.astype(np.float64) @ self._strides).astype(np.int64)
        effects = self._values[cells + self._offsets]
        effects *= self._curves.columns(cars.numbers)[:, self._multipliers]
        parts = np.add.reduceat(effects, self._starts, axis=1)
        if cars.words:
            self._words.fill(parts[:, self.part_fields.index(EDITION)], cars)
        if self._usual:
            self._usual.fill(parts, cars)
        return parts

    def log_price(self, parts: FloatArray) -> FloatArray:
        """Log price (n,) from `parts`."""
        total = np.full(len(parts), self.intercept)
        for column in range(parts.shape[1]):
            total += parts[:, column]
        return total


class _Curves:
    """The columns of several bends at once, after a column of ones."""

    def __init__(self, bends: Sequence[Bend]) -> None:
        numbers = [NUMBERS.index(bend.variable) for bend in bends for _ in range(bend.width)]
        self._numbers = np.array([0, *numbers])
        self._lows = np.array([0.0, *(low for bend in bends for low in bend.knots[:-1])])
        highs = np.array([1.0, *(high for bend in bends for high in bend.knots[1:])])
        self._spans = highs - self._lows
        self._origins = np.array([1.0, *(b.origin for b in bends for _ in range(b.width))])
        self._at_origin = np.clip((self._origins - self._lows) / self._spans, 0.0, 1.0)
        self._at_origin[0] = 0.0

    def columns(self, numbers: FloatArray) -> FloatArray:
        """The columns (n, 1 + widths) at `numbers` (n, len(NUMBERS)); missing ones are at home."""
        values = numbers[:, self._numbers]
        values[:, 0] = 1.0
        values = np.where(np.isnan(values), self._origins, values)
        values -= self._lows
        values /= self._spans
        return np.asarray(values.clip(0.0, 1.0) - self._at_origin)


def _strides(keys: Sequence[str], sizes: Mapping[str, int]) -> IntArray:
    """What each code is multiplied by to find a cell in a flat block."""
    strides = np.zeros(len(KEYS), dtype=np.int64)
    step = 1
    for key in reversed(keys):
        strides[KEYS.index(key)] = step
        step *= sizes[key]
    return strides


def _tensor(
    term: Term, cells: Mapping[str, Cell], coder: CarCoder
) -> tuple[FloatArray, tuple[str, ...]]:
    """The term's coefficients as flat blocks (slots, cells), and the keys that address them.

    A bend along the year is unrolled: the year becomes one more key.
    """
    size = int(np.prod([coder.sizes[key] for key in term.keys], dtype=np.int64))
    strides = _strides(term.keys, coder.sizes)[[KEYS.index(key) for key in term.keys]]
    tensor = np.zeros((size, term.width))
    for name, cell in cells.items():
        where = int(np.dot(strides, _locate(name, term.keys, coder))) if term.keys else 0
        tensor[where] = cell.coefficients
    if term.bend is None or term.bend.variable != "year":
        return tensor.T, term.keys
    curve = np.vstack([np.zeros(term.width), term.bend.columns(YEARS)])
    return (tensor @ curve.T).reshape(1, -1), (*term.keys, "year")


def _locate(cell: str, keys: Sequence[str], coder: CarCoder) -> tuple[int, ...]:
    """The codes of a cell's name."""
    values = split_cell(cell, keys)
    return tuple(code_of(key, value, coder) for key, value in zip(keys, values, strict=True))
