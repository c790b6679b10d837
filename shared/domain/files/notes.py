"""Notes on the rows of a batch: what was ignored or assumed, counted over the file."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from shared.domain.car import CATEGORIES, FIELD_NAMES, USUALLY_STATED
from shared.domain.valuation import BRAND_UNKNOWN, EXTRAPOLATED, NO_EFFECT, UNSEEN_IN_MODEL

MAX_EXAMPLES = 3
EXAMPLE_MAX_CHARS = 80


class NoteCount(NamedTuple):
    """How many rows have a note, with examples."""

    field: str
    """Field of the car that the note is about."""
    code: str
    rows: int
    examples: tuple[str, ...] = ()
    """Up to `MAX_EXAMPLES` different texts of the file."""

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Self:
        """Rebuild a stored count; further values of a newer version are ignored."""
        field, code, rows, examples, *_ = values
        return cls(field, code, rows, tuple(examples))


_TEXTS = ("company", "model", "edition", "city")
_NUMBERS = tuple(name for name in FIELD_NAMES if name not in {*CATEGORIES, *_TEXTS})
DETAIL_WORDS = tuple(
    name for name in FIELD_NAMES if name not in {*_NUMBERS, "company", "model", *USUALLY_STATED}
)
"""Optional fields of words that may have no effect on the price."""


class ModelNote(NamedTuple):
    """What a model says of a field of a car beside its price."""

    field: str
    code: str


MODEL_NOTES = (
    ModelNote("company", BRAND_UNKNOWN),
    *(ModelNote(name, EXTRAPOLATED) for name in _NUMBERS),
    *(ModelNote(name, NO_EFFECT) for name in DETAIL_WORDS),
    *(ModelNote(name, UNSEEN_IN_MODEL) for name in ("fuel", "transmission")),
)
"""By the number of its bit in the notes of a model on a car."""
EXTRAPOLATED_KM = 1 << MODEL_NOTES.index(ModelNote("km_driven", EXTRAPOLATED))
ALL_EXTRAPOLATED = sum(1 << at for at, note in enumerate(MODEL_NOTES) if note.code == EXTRAPOLATED)
COLUMN_WITHOUT_EFFECT = "columns-without-effect"
"""Code of the note on a field of which no value changes a price: the batch has one notice of all
such columns."""


class AskingSides(NamedTuple):
    """How the asking prices of rows lie to their 90 % intervals."""

    rows: int = 0
    """Valued rows with an asking price."""
    below: int = 0
    """Asking prices below their interval."""
    above: int = 0

    def __add__(self, other: "AskingSides") -> "AskingSides":  # type: ignore[override]
        """The numbers of both together."""
        return AskingSides(*(one + two for one, two in zip(self, other, strict=True)))


NO_ASKING_PRICES = AskingSides()


class NoteCounter:
    """Counts notes by field and code."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, list[str]]] = {}

    def add(self, field: str, code: str, count: int, examples: Iterable[str] = ()) -> None:
        """Add rows with a note; examples beyond `MAX_EXAMPLES` are dropped."""
        before, kept = self._counts.get((field, code), (0, []))
        for example in examples:
            if len(kept) == MAX_EXAMPLES:
                break
            if (text := _shortened(example)) not in kept:
                kept.append(text)
        self._counts[field, code] = before + count, kept

    def merge(self, counts: Iterable[NoteCount]) -> Self:
        """Add the counts of other rows."""
        for field, code, count, examples in counts:
            self.add(field, code, count, examples)
        return self

    def result(self) -> tuple[NoteCount, ...]:
        """The counts, by field and code."""
        return tuple(
            NoteCount(field, code, count, tuple(examples))
            for (field, code), (count, examples) in sorted(self._counts.items())
            if count
        )


def _shortened(example: str) -> str:
    """An example of at most `EXAMPLE_MAX_CHARS`; an ellipsis stands for what is left out."""
    if len(example) <= EXAMPLE_MAX_CHARS:
        return example
    return f"{example[: EXAMPLE_MAX_CHARS - 1]}…"
