"""Finds the names that may be meant by the beginning, or a slip, of one."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract_iter

from api.suggestions.vocabulary import Name, Vocabulary, vocabulary
from shared.domain.names import fold_name
from shared.domain.reading import NamesMissing
from shared.vehicles.arabic import to_latin
from shared.vehicles.catalogue import compact
from shared.vehicles.names import canonical_brand, read_names

MAX_SUGGESTIONS = 10
MIN_CHARS_OF_SLIP = 4
"""Shorter texts are only completed."""
CHARS_OF_TWO_ERRORS = 6
"""Texts from this length may have two wrong letters."""
_CACHED = 4_096


@lru_cache(_CACHED)
def suggest_brands(folder: Path | None, text: str, limit: int) -> tuple[Name, ...]:
    """Brands by the beginning or a slip of their name; blank: the most frequent."""
    return _ranked(vocabulary(folder).brands, compact(fold_name(text)), limit)


@lru_cache(_CACHED)
def suggest_models(folder: Path | None, company: str, text: str, limit: int) -> tuple[Name, ...]:
    """Models of a brand, or of all, by the beginning or a slip of their name.

    Args:
        folder: of the active model version.
        company: the brand in any spelling; blank: all brands. One that is not known has no models.
        text: what is written so far; blank: the most frequent models.
        limit: how many are returned at most.
    """
    words, written = vocabulary(folder), compact(fold_name(text))
    if company:
        models: Iterable[Name] = words.models.get(known_brand(company), ())
    else:
        models = _all_listed(folder)
    has_digits = any(map(str.isdigit, written))
    models = [one for one in models if not one.is_generation or (has_digits and one.listings)]
    return _ranked(models, written, limit)


@lru_cache(_CACHED)
def suggest_trims(
    folder: Path | None, company: str, model: str, text: str, limit: int
) -> tuple[Name, ...]:
    """Trims that the model version prices: those of the car's model, then those of all models."""
    words = vocabulary(folder)
    found = [*words.trims.get(_vehicle(company, model), ()), *words.trims.get("", ())]
    names = [Name("", one, (compact(fold_name(one)),)) for one in dict.fromkeys(found)]
    return _ranked(names, compact(fold_name(text)), limit)


def known_brand(company: str) -> str:
    """The folded name of a brand in any spelling and script; an unknown one stays as it is."""
    return canonical_brand(to_latin(fold_name(company)))


def _vehicle(company: str, model: str) -> str:
    try:
        reading = read_names(fold_name(company) or None, fold_name(model) or None)
    except NamesMissing:
        return "|"
    return f"{reading.company}|{reading.model}"


@lru_cache(maxsize=4)
def _all_listed(folder: Path | None) -> tuple[Name, ...]:
    words: Vocabulary = vocabulary(folder)
    return tuple(words.listed_models())


def _ranked(names: Iterable[Name], written: str, limit: int) -> tuple[Name, ...]:
    """The names that begin with the text; without any, those that it is a slip or a part of.

    Names that fit alike keep their order.
    """
    names = tuple(names)
    if not written:
        return names[:limit]
    found = [one for one in names if any(each.startswith(written) for each in one.spellings)]
    if not found and len(written) >= MIN_CHARS_OF_SLIP:
        found = _near(names, written)
    return tuple(found[:limit])


def _near(names: Sequence[Name], written: str) -> list[Name]:
    """The names by the number of wrong letters; a text inside a name counts as one."""
    errors = 2 if len(written) >= CHARS_OF_TWO_ERRORS else 1
    spellings = [(each, place) for place, one in enumerate(names) for each in one.spellings]
    ranks: dict[int, int] = {}
    for spelling, place in spellings:
        if written in spelling:
            ranks[place] = 1
    length = len(written)
    for cut in (None, length, length + 1):
        # The beginning of a long name can have a slip too.
        beginnings = [spelling[:cut] for spelling, _ in spellings]
        found = extract_iter(written, beginnings, scorer=OSA.distance, score_cutoff=errors)
        for _, distance, at in found:
            place = spellings[at][1]
            ranks[place] = min(ranks.get(place, errors), int(distance))
    return [names[place] for place in sorted(ranks, key=lambda each: (ranks[each], each))]
