"""What the model says of the rows of a batch beside their prices: `shared.domain.files.notes`."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from shared.domain.files.notes import (
    COLUMN_WITHOUT_EFFECT,
    EXTRAPOLATED_KM,
    MODEL_NOTES,
    ModelNote,
    NoteCounter,
)
from shared.domain.reading import VehicleName
from shared.domain.valuation import BRAND_UNKNOWN, NO_EFFECT
from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import Language
from shared.messages.texts import describe_model_note
from worker.batches.names import as_written


@lru_cache(maxsize=4096)
def model_note_sentences(notes: int, language: Language) -> Sequence[str]:
    """The sentences of `row_notes` for the notes of a model on a car, given as bits."""
    return [
        describe_model_note(note.field, note.code, language)
        for at, note in enumerate(MODEL_NOTES)
        if notes >> at & 1
    ]


def without_high_mileages(notes: Any, rows: Sequence[int]) -> Any:
    """Notes (n,) without the one on the mileage where a note on the cell says more.

    Args:
        notes: (n,) bits of `MODEL_NOTES`.
        rows: indexes of the cars whose mileage is very high for their age.
    """
    if len(rows):
        notes = notes.copy()
        notes[rows] &= ~EXTRAPOLATED_KM
    return notes


def count_model_notes(
    counter: NoteCounter, notes: Any, examples: Callable[[ModelNote, Any], Iterable[str]]
) -> None:
    """Count the notes of a model on valued rows.

    Args:
        counter: counts them.
        notes: (n,) bits of `MODEL_NOTES`.
        examples: gives different texts for a note and the indexes of the rows that have it, in the
            order of the rows.
    """
    if not notes.any():
        return
    for at, note in enumerate(MODEL_NOTES):
        rows = np.flatnonzero(notes & (1 << at))
        if len(rows):
            counter.add(note.field, note.code, len(rows), examples(note, rows))


def count_without_effect(
    counter: NoteCounter, fields: Iterable[str], stated: Callable[[str], int]
) -> None:
    """Count the rows that state fields of which no value changes a price.

    Args:
        counter: counts them.
        fields: the fields.
        stated: gives the number of rows by field.
    """
    for field in fields:
        counter.add(field, COLUMN_WITHOUT_EFFECT, stated(field))


def names_matter(note: ModelNote) -> bool:
    """Whether the examples of a note name the cars."""
    return note.code != NO_EFFECT


def note_example(note: ModelNote, given: VehicleName, value: Any) -> str:
    """An example of a note: the value, after the names of the car if these matter.

    Args:
        note: the note.
        given: the names as they were given, in normal form.
        value: of the field, in normal form.
    """
    if note.code == BRAND_UNKNOWN:
        return given.company
    if not names_matter(note):
        return str(value)
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return f"{as_written(given)} {text} {CAR_FIELDS[note.field].unit}".strip()
