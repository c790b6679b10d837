"""Known names that resemble a written one."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import groupby

from rapidfuzz import process
from rapidfuzz.distance import OSA

from shared.vehicles.catalogue import Brand, digits_of, shape_of

MIN_LETTERS = 4
"""A name with fewer letters is not corrected: one letter is too large a part of it."""
_SHORT_NAME = 2
"""A name of so few letters and no digit is not told by its shape: "1x" is no "ix"."""
LONG_NAME = 8
"""Letters from which a name may be corrected by two errors."""
_MIN_LENGTH_OF_TWO_ERRORS = 5
_MIN_LENGTH_OF_COMPLETED = 3


def count_letters(text: str) -> int:
    """Number of characters of a compact text that are no digits."""
    return len(text) - len(digits_of(text))


def within(text: str, spellings: Iterable[str], errors: int) -> list[tuple[str, int]]:
    """Spellings within a number of errors, and the errors of each, fewest first.

    An error is a letter missing, added, replaced, or transposed with its neighbour.
    """
    found = process.extract(
        text, list(spellings), scorer=OSA.distance, score_cutoff=errors, limit=None
    )
    return [(spelling, int(distance)) for spelling, distance, _ in found]


def lookalike(brand: Brand, text: str) -> str | None:
    """The model whose name has the same shape, as "i10" has of "i1o"; None if none or several."""
    same = brand.by_shape.get(shape_of(text), ())
    # Letters for letters, as "l pace", are left to `corrections`, which sees other near names.
    digits = digits_of(text)
    names = {brand.spellings[spelling] for spelling in same if digits_of(spelling) != digits}
    names -= brand.generations  # "traill" is no "trail 1"
    if len(names) != 1:
        return None
    (name,) = names
    if text.isalpha() and name.isdigit():  # "oil" is not "011"
        return None
    return name if len(text) > _SHORT_NAME or digits_of(name) else None


def corrections(brand: Brand, text: str) -> list[str]:
    """Models that `text` is a slip of, by one error: one if it is certain, several if it is not.

    Digits are never corrected, nor names with few letters.
    """
    found = within(text, brand.by_digits.get(digits_of(text), ()), 1)
    near = [spelling for spelling, _ in found]
    if all(count_letters(spelling) < MIN_LETTERS for spelling in near):
        return []
    names = _distinct_models(brand, near)
    likely = _distinct_models(brand, [each for each in near if _is_usual_slip(text, each)])
    return likely if likely == names[:1] else names


def distant_corrections(brand: Brand, text: str) -> list[str]:
    """As `corrections`, by two errors in a long name."""
    if count_letters(text) < LONG_NAME - 1:
        return []
    found = within(text, brand.by_digits.get(digits_of(text), ()), 2)
    long = [spelling for spelling, _ in found if count_letters(spelling) >= LONG_NAME]
    return _distinct_models(brand, long)


def _is_usual_slip(text: str, spelling: str) -> bool:
    """Whether letters are doubled, not doubled, or transposed: likelier than a wrong letter."""
    return sorted(text) == sorted(spelling) or _undoubled(text) == _undoubled(spelling)


def _undoubled(text: str) -> str:
    return "".join(letter for letter, _ in groupby(text))


def _distinct_models(brand: Brand, spellings: Iterable[str]) -> list[str]:
    """Models of the spellings, the most listed first."""
    names = dict.fromkeys(brand.spellings[spelling] for spelling in spellings)
    return sorted(names, key=lambda name: -brand.popularity(name))


def similar_models(brand: Brand, text: str, limit: int) -> list[str]:
    """Models whose name resembles `text`, most similar first, then the most listed."""
    errors = 1 if len(text) < _MIN_LENGTH_OF_TWO_ERRORS else 2 + (len(text) >= LONG_NAME)
    best: dict[str, int] = {}
    has_digits = bool(digits_of(text))
    for spelling, distance in within(text, brand.spellings, errors):
        name = brand.spellings[spelling]
        is_near = distance < max(len(text), len(spelling))
        if is_near and (has_digits or name not in brand.generations):
            best[name] = min(best.get(name, distance), distance)
    ordered = sorted(best, key=lambda name: (best[name], -brand.popularity(name)))
    return ordered[:limit]


def completions(brand: Brand, text: str) -> list[str]:
    """Models with a spelling that begins with `text`, the most listed first."""
    if len(text) < _MIN_LENGTH_OF_COMPLETED:
        return []
    place = bisect_left(brand.ordered, text)
    if place == len(brand.ordered) or not brand.ordered[place].startswith(text):
        return []
    found = [spelling for spelling in brand.spellings if spelling.startswith(text)]
    return [name for name in _distinct_models(brand, found) if name not in brand.generations]
