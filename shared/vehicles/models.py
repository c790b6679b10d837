"""Reading of a model's name within one brand."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rapidfuzz.distance import OSA

from shared.domain.reading import MAX_SUGGESTIONS, Match
from shared.vehicles.catalogue import Brand, compact, digits_of
from shared.vehicles.designations import designated
from shared.vehicles.similar import LONG_NAME, corrections, similar_models

MAX_WORDS = 10
"""Further words of a text are not looked at."""
_MAX_NAME_WORDS = 4
_MIN_REST_LETTERS = 3
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}
_GENERATION_WORDS = frozenset({"mk", "gen", "generation"})
_GENERATION = re.compile(r"(?:mk|gen)(\d{1,2})")
_MAX_GENERATION = 99
_COUNTED = frozenset(
    "portes porte p places place pl cv ch hp vitesses vitesse doors door seats cylindres".split()
)
"""A number before one of these words counts something."""
_SEVERAL_MODELS = 2
VERSION_WORDS = frozenset(
    "active adventure allure ambition ambiente avantgarde automatique business cc city classic"
    " comfort confort cool coupe cross cup cosmo dynamic edition elegance elite essence executive"
    " exclusive express family feel flair gl gls glx gt gtd gte gti gtl high hybrid intens life"
    " line lounge luxe luxury max maxi mini nav note one pack plus pop premium prestige privilege"
    " pro pulse rs sedan shine signature spirit sport sports star street style sw techno titanium"
    " trend tech up urban van vogue wind zen".split()
)
"""Words that name versions, even if a model has the same name."""


class ModelReading(NamedTuple):
    """What was understood of a model's name."""

    name: str
    match: Match
    suggestions: tuple[str, ...] = ()
    """Names of models of the same brand."""

    @property
    def is_known(self) -> bool:
        """Whether the name was found without a correction."""
        return self.match in {Match.EXACT, Match.ALIAS}


def find_known(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text that is, or begins with, a known name; None if it does neither.

    Words after the name may be a slip of a longer name ("range rover evqoue"), name another model,
    or be a generation that does not exist; all others are taken for the version.
    """
    if (name := brand.spellings.get(compact(text))) is not None:
        is_name = compact(text) in brand.exact
        return ModelReading(name, Match.EXACT if is_name else Match.ALIAS)
    words = text.split(" ")[:MAX_WORDS]
    for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
        spelling = "".join(words[:length])
        if (name := brand.spellings.get(spelling)) is None:
            continue
        rest = words[length:]
        if length > 1 and _is_count(words[length - 1], rest):
            continue
        return _with_rest(brand, spelling, name, rest)
    if (name := designated(brand.name, text)) in brand.models:
        return ModelReading(str(name), Match.ALIAS)
    return None


def _is_count(word: str, rest: Sequence[str]) -> bool:
    """Whether a number counts what the next word says: "3 portes" is no generation."""
    return word.isdigit() and bool(rest) and rest[0] in _COUNTED


def _with_rest(brand: Brand, spelling: str, name: str, rest: Sequence[str]) -> ModelReading:
    """The reading of a known name and the words after it."""
    longer = _longer_names(brand, spelling, rest)
    if len(longer) == 1:
        return ModelReading(longer[0], Match.CORRECTED, (name,))
    if longer:
        return ModelReading(name, Match.AMBIGUOUS, _some([*longer, name]))
    generation = _generation(rest)
    if generation and brand.models[name].generations:
        numbered = f"{name} {generation}"
        if numbered in brand.models:
            return ModelReading(numbered, Match.ALIAS)
        return ModelReading(name, Match.AMBIGUOUS, _generations(brand, name))
    others = [other for other in _models_among(brand, rest) if not _same_car(name, other)]
    if others:
        return ModelReading(name, Match.AMBIGUOUS, _some([name, *others]))
    return ModelReading(name, Match.ALIAS)


def _longer_names(brand: Brand, spelling: str, rest: Sequence[str]) -> list[str]:
    """Models with a longer name whose last part is misspelt in the words after a known name."""
    found: dict[str, int] = {}
    for longer in brand.longer.get(spelling, ()):
        part = longer[len(spelling) :]
        for length in range(1, min(len(rest), _MAX_NAME_WORDS) + 1):
            written = "".join(rest[:length])
            if written in VERSION_WORDS or min(len(part), len(written)) < _MIN_REST_LETTERS - 1:
                continue
            if digits_of(part) != digits_of(written) or part.isdigit():
                continue
            errors = 2 if len(part) >= LONG_NAME else 1
            distance = OSA.distance(part, written, score_cutoff=errors)
            if distance <= errors:
                name = brand.spellings[longer]
                found[name] = max(found.get(name, 0), len(part))
    if len(found) == 1 and max(found.values()) < _MIN_REST_LETTERS:
        return [*found, ""]  # too short a part to be certain
    return sorted(found, key=lambda name: -brand.popularity(name))


def _generation(rest: Sequence[str]) -> int | None:
    """The number of the generation that the first words say."""
    words = [word for word in rest[:2] if word not in _GENERATION_WORDS]
    if not words:
        return None
    marked = _GENERATION.fullmatch(words[0])
    number = marked[1] if marked else _ROMAN.get(words[0], words[0])
    following = rest[list(rest).index(words[0]) + 1 :]
    if not number.isdecimal() or int(number) > _MAX_GENERATION or _is_count(number, following):
        return None
    return int(number)


def _generations(brand: Brand, name: str) -> tuple[str, ...]:
    """The most listed generations of a model, or else the model."""
    numbers = range(1, brand.models[name].generations + 1)
    numbered = [f"{name} {number}" for number in numbers]
    listed = [each for each in numbered if brand.popularity(each)]
    return _some(sorted(listed, key=lambda each: -brand.popularity(each))) or (name,)


def _models_among(brand: Brand, words: Sequence[str]) -> Iterator[str]:
    """Models whose name is found among words that follow another model's name."""
    for place, word in enumerate(words):
        for length in range(min(_MAX_NAME_WORDS, len(words) - place), 0, -1):
            spelling = "".join(words[place : place + length])
            is_name = length > 1 or (word.isalpha() and word not in VERSION_WORDS)
            if is_name and len(spelling) > _MIN_REST_LETTERS and not spelling.isdigit():
                name = brand.spellings.get(spelling)
                if name is not None:
                    yield name


def _same_car(name: str, other: str) -> bool:
    """Whether one name is the other with a generation."""
    return name == other or name.startswith(f"{other} ") or other.startswith(f"{name} ")


def read_model(brand: Brand, text: str) -> ModelReading:
    """Read the name of a model, folded, within a brand."""
    if (known := find_known(brand, text)) is not None:
        return known
    if (corrected := _correct(brand, text)) is not None:
        return corrected
    if (inside := _find_inside(brand, text)) is not None:
        return inside
    similar = _similar(brand, text)
    return ModelReading(text, Match.AMBIGUOUS if similar else Match.UNKNOWN, similar)


def _correct(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text whose first words are a slip of a known name; None if they are none."""
    words = text.split(" ")[:MAX_WORDS]
    for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
        found = corrections(brand, "".join(words[:length]))
        if len(found) > 1:
            return ModelReading(text, Match.AMBIGUOUS, _some(found))
        if found:
            return _corrected(brand, found[0], words[length:], compact(text))
    return None


def _corrected(brand: Brand, name: str, rest: Sequence[str], written: str) -> ModelReading:
    """The reading of a corrected name and the words after it."""
    reading = find_known(brand, " ".join([name, *rest])) or ModelReading(name, Match.EXACT)
    match = Match.AMBIGUOUS if reading.match is Match.AMBIGUOUS else Match.CORRECTED
    near = similar_models(brand, written, MAX_SUGGESTIONS + 1)
    others = [other for other in (*reading.suggestions, *near) if other != reading.name]
    if match is Match.AMBIGUOUS:
        others = [reading.name, *others]
    return ModelReading(reading.name, match, _some(others))


def _find_inside(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text with a known name behind other words; None if there is none."""
    words = text.split(" ")[:MAX_WORDS]
    found = list(dict.fromkeys(_models_among(brand, words)))
    if not found:
        return None
    if all(_same_car(found[0], other) for other in found):
        return ModelReading(max(found, key=len), Match.ALIAS)
    return ModelReading(text, Match.AMBIGUOUS, _some(found))


def _similar(brand: Brand, text: str) -> tuple[str, ...]:
    """Models that may be meant by an unknown name."""
    words = text.split(" ")[:MAX_WORDS]
    found = similar_models(brand, compact(" ".join(words[:_MAX_NAME_WORDS])), MAX_SUGGESTIONS)
    if len(words) > 1:
        found += similar_models(brand, words[0], MAX_SUGGESTIONS)
    return _some(found)


def _some(names: Iterable[str]) -> tuple[str, ...]:
    """The first distinct names, no more than are suggested."""
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_SUGGESTIONS]
