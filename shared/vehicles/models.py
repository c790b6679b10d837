"""Reading of a model's name within one brand."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz.distance import OSA

from shared.domain.reading import MAX_SUGGESTIONS, Match
from shared.vehicles.arabic import may_name
from shared.vehicles.catalogue import Brand, compact, digits_of, is_run_together
from shared.vehicles.designations import MERCEDES, designated
from shared.vehicles.electric import electric_of_letter, hybrid_base, other_motor
from shared.vehicles.several import (
    OR_WORDS,
    behind_name,
    is_engine_size,
    is_year,
    member_or_generation,
    model_of_letter_and_number,
    model_of_number,
    models_among,
    other_models,
    two_classes,
)
from shared.vehicles.similar import (
    LONG_NAME,
    completions,
    corrections,
    distant_corrections,
    lookalike,
    similar_models,
)
from shared.vehicles.versions import COUNTED, GENERATION_WORDS, ROMAN, VERSION_WORDS

MAX_WORDS = 10
"""Further words of a text are not looked at."""
_MAX_NAME_WORDS = 4
_MIN_REST_LETTERS = 3
_TWO_LETTERS = 2
_GENERATION = re.compile(r"(?:mk|gen)(\d{1,2})")
_FACELIFT = re.compile(r"([6-9])\.5")
"""A generation after its facelift, as in "golf 7.5"; smaller numbers are engine sizes."""
_MAX_GENERATION = 99
_VOWELS = re.compile(r"[aeiouy]")
_ZEROS = re.compile(r"(?<=\d)o+|o+(?=\d)")
"""Letters O among digits."""
_SUFFIXED_NUMBER = re.compile(r"(\d{3,4})([a-z]{1,6})")
"""A number with the version attached, as "208gti"."""
_CALLED_IV = frozenset({("skoda", "superb")})
"""Models with a plug-in hybrid "iV" that is not their fourth generation."""
_SAME_CAR_VERSIONS = frozenset({"vogue"})
"""Words of a version that name a model of their own, which is the same car."""
_ATTACHED_VERSIONS = frozenset({"plus"})
"""Words that follow a version, too: "golf 7 carat plus" is no Golf Plus."""
_LINES = frozenset({"sport", "pack", "line", "performance"})
"""A letter before one of these words belongs to it: "M Sport" is no model."""


class ModelReading(NamedTuple):
    """What was understood of a model's name."""

    name: str
    match: Match
    suggestions: tuple[str, ...] = ()
    """Names of models of the same brand."""


def find_known(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text that is, or begins with, a known name; None if it does neither.

    Words after the name may be a slip of a longer name ("range rover evqoue"), name another model,
    tell an electric car, or be a generation that does not exist; all others are taken for the
    version.
    """
    if classes := two_classes(brand, text):
        return ModelReading(text, Match.AMBIGUOUS, _some(classes))
    if open_names := member_or_generation(brand, text):
        return ModelReading(" ou ".join(open_names), Match.AMBIGUOUS, _some(open_names))
    reading = _begin_known(brand, text)
    if reading is None:
        return _electric_version(brand, text)
    return reading if reading.match is not Match.ALIAS else _read_rest(brand, reading.name, text)


def _read_rest(brand: Brand, name: str, text: str) -> ModelReading:
    """The reading of a text that begins with the model `name`: other words may tell another car."""
    words = text.split(" ")[:MAX_WORDS]
    if others := other_models(brand, name, words):
        certain = _certain_name(brand, name, others) or text
        return ModelReading(certain, Match.AMBIGUOUS, _some([name, *others]))
    if (base := hybrid_base(brand, name, words[1:])) is not None:
        return ModelReading(base, Match.AMBIGUOUS, (base, name))
    if (electric := electric_of_letter(brand, name, behind_name(brand, name, words))) is not None:
        read_as = name if electric == name else text
        return ModelReading(read_as, Match.AMBIGUOUS, _some([name, electric]))
    meant = other_motor(brand, name, words[1:])
    if meant == name:
        return ModelReading(name, Match.AMBIGUOUS, (name,))
    return ModelReading(meant or name, Match.ALIAS)


def _electric_version(brand: Brand, text: str) -> ModelReading | None:
    """The reading of an E before a model that no catalogue has as an electric one: "e-transit"."""
    known = _begin_known(brand, text[2:]) if text.startswith("e ") else None
    if known is None or known.match is Match.AMBIGUOUS:
        return None
    return ModelReading(known.name, Match.AMBIGUOUS, (known.name,))


def _certain_name(brand: Brand, name: str, others: Sequence[str]) -> str | None:
    """The model that is certain although other models are named; None if none is."""
    base = _without_generation(brand, name)
    if all(_without_generation(brand, other) == base for other in others):
        return base  # "golf 6 7"
    return name if all(is_year(brand, other) for other in others) else None  # "308 2008"


def _begin_known(brand: Brand, text: str) -> ModelReading | None:
    """As `find_known`, without a look at other cars and motors behind the name."""
    if (name := _spelled(brand, text)) is not None:
        is_name = compact(text) in brand.exact
        return ModelReading(name, Match.EXACT if is_name else Match.ALIAS)
    words = text.split(" ")[:MAX_WORDS]
    for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
        if (name := _spelled(brand, " ".join(words[:length]))) is None:
            continue
        rest = words[length:]
        if length > 1 and _is_count(words[length - 1], rest):
            continue
        return _with_rest(brand, name, words[:length], rest)
    name = designated(brand.name, text)
    if name is not None and name in brand.models:
        if (longer := _separated_name(brand, name, words[1:])) is not None:
            return longer
        return _with_other_models(brand, name, text, words[1:])
    return _suffixed_number(brand, words)


def _spelled(brand: Brand, text: str) -> str | None:
    """The model that a whole text spells; None if it spells none."""
    name = brand.spellings.get(compact(text))
    return None if name is None or is_run_together(brand, text, name) else name


def _suffixed_number(brand: Brand, words: Sequence[str]) -> ModelReading | None:
    """The reading of a number and a version in one word, as "208gti"; None if it is none."""
    found = _SUFFIXED_NUMBER.fullmatch(words[0])
    if found is None or found[1] not in brand.spellings:
        return None
    attached = [longer.removeprefix(found[1]) for longer in brand.longer.get(found[1], ())]
    if any(found[2].startswith(letters) for letters in attached):
        return None  # "500lx" may be a 500L
    if len(found[2]) == 1 and any(len(each) == 1 and each.isalpha() for each in attached):
        return None  # "500g" may be a slip of "500l"
    name = brand.spellings[found[1]]
    return _with_rest(brand, name, [found[1]], [found[2], *words[1:]])


def _lettered_names(brand: Brand, spelling: str, word: str) -> list[str]:
    """Models whose name is a number and one letter that two letters may mean: "500 lx"."""
    if not spelling.isdigit() or len(word) != _TWO_LETTERS or word in VERSION_WORDS:
        return []
    longer = {each[-1]: each for each in brand.longer.get(spelling, ()) if each[:-1] == spelling}
    return [brand.spellings[longer[letter]] for letter in word if letter in longer]


def _is_count(word: str, rest: Sequence[str]) -> bool:
    """Whether a number or letter belongs to the next word: "3 portes" is no generation."""
    if not rest:
        return False
    if word.isdigit():
        return rest[0] in COUNTED or is_engine_size(word, rest)
    return len(word) == 1 and rest[0] in _LINES


def _with_rest(brand: Brand, name: str, known: Sequence[str], rest: Sequence[str]) -> ModelReading:
    """The reading of the words that spell a known name and the words after it."""
    spelling = "".join(known)
    text = " ".join([*known, *rest])
    longer = _longer_names(brand, spelling, rest)
    if len(longer) == 1:
        return ModelReading(longer[0], Match.CORRECTED, (name,))
    longer = longer or _lettered_names(brand, spelling, rest[0])
    if longer:
        return ModelReading(text, Match.AMBIGUOUS, _some([*longer, name]))
    found = (
        _separated_name(brand, name, rest)
        or _with_unread_words(brand, name, rest)
        or _with_generation(brand, name, rest)
    )
    if found is not None:
        return found
    others = _nearer_names(brand, known, rest[0]) or _abbreviated_names(brand, spelling, rest[0])
    if others:
        return ModelReading(text, Match.AMBIGUOUS, _some([*others, name]))
    return _with_other_models(brand, name, text, rest)


def _with_unread_words(brand: Brand, name: str, words: Iterable[str]) -> ModelReading | None:
    """The reading of a name beside Arabic words that may be the rest of a longer name."""
    if not any(may_name(word) for word in words):
        return None
    base = _without_generation(brand, name)
    longer = [
        each
        for each in brand.models
        if each not in brand.generations and f" {base} " in f" {each} " and each != base
    ]
    if not longer:
        return None
    longer.sort(key=lambda each: -brand.popularity(each))
    return ModelReading(name, Match.AMBIGUOUS, _some([name, *longer]))


def _separated_name(brand: Brand, name: str, rest: Sequence[str]) -> ModelReading | None:
    """The longer name whose last or first words stand behind words of the version.

    "c3 1.2 aircross" is a C3 Aircross and "cherokee grand" a Grand Cherokee. A word that also
    names versions leaves it open: "pajero 3.2 sport".
    """
    base = compact(_without_generation(brand, name))
    for place in range(len(rest)):
        for length in range(min(_MAX_NAME_WORDS - 1, len(rest) - place), 0, -1):
            part = "".join(rest[place : place + length])
            if len(part) < _MIN_REST_LETTERS or part.isdigit():
                continue
            longer = brand.spellings.get(base + part)
            if longer is None and part not in VERSION_WORDS:
                longer = brand.spellings.get(part + base)
            if longer is None or _same_car(brand, longer, name):
                continue
            if part in _ATTACHED_VERSIONS and place > 0:
                continue
            if place > 0 and rest[place - 1] in OR_WORDS:  # "logan ou mcv"
                return ModelReading(name, Match.AMBIGUOUS, (name, longer))
            if part in VERSION_WORDS and part not in _SAME_CAR_VERSIONS:
                return ModelReading(name, Match.AMBIGUOUS, (longer, name))
            return ModelReading(longer, Match.ALIAS)
    return None


def _with_other_models(brand: Brand, name: str, text: str, rest: Sequence[str]) -> ModelReading:
    """The reading of a known name, unless the words after it name another model."""
    base = compact(_without_generation(brand, name))
    rest = [word for word in rest if base + word not in brand.spellings]  # "dokker dci stepway"
    if rest == [base]:
        rest = []  # "golf 6 golf 7"
    others = [other for other in models_among(brand, rest) if not _same_car(brand, name, other)]
    if rest and (number := model_of_number(brand, rest[0])) not in {None, name}:
        others.append(number)
    mixed = [model_of_letter_and_number(brand, word, name) for word in rest]
    others += [other for other in mixed if other and not _same_car(brand, name, other)]
    are_named = bool(others)
    others = others or _models_ending_with(brand, rest)
    if not others:
        return ModelReading(name, Match.ALIAS)
    joined = brand.spellings.get(compact(f"{name}{others[0]}"))  # "ranger 2.0 raptor"
    is_longer = others[0].startswith(f"{name} ")  # "218i active tourer"
    is_class = brand.name == MERCEDES and name.isdigit()  # "220 cdi classe c"
    if len(set(others)) == 1 and (is_longer or is_class or joined == others[0]):
        return ModelReading(others[0], Match.ALIAS)
    near = [] if are_named else similar_models(brand, compact(text), 1)
    return ModelReading(text, Match.AMBIGUOUS, _some([name, *near, *others]))


def _nearer_names(brand: Brand, known: Sequence[str], following: str) -> list[str]:
    """Other models that a known spelling and the next word together are a slip of.

    "gol 7" is nearer to "golf 7" than to a version "7", and "classee a" may be "classe a".
    """
    spelling = "".join(known)
    if not following.isdigit() and " ".join(known) in brand.written:
        return []
    near = corrections(brand, spelling + following)
    others = [name for name in near if not _same_car(brand, name, brand.spellings[spelling])]
    return [] if following.isdigit() and len(others) < len(near) else others


def _with_generation(brand: Brand, name: str, rest: Sequence[str]) -> ModelReading | None:
    """The reading of a known name and a generation; None if the words after it are none."""
    generation = _generation(rest)
    if generation is None or (rest[0] == "iv" and (brand.name, name) in _CALLED_IV):
        return None
    numbered = f"{name} {generation}"
    if numbered in brand.models:
        return ModelReading(numbered, Match.ALIAS)
    if brand.models[name].generations and _looks_like_generation(rest[0]):
        return ModelReading(name, Match.AMBIGUOUS, _generations(brand, name, generation))
    return None


def _longer_names(brand: Brand, spelling: str, rest: Sequence[str]) -> list[str]:
    """Models with a longer name whose last part is misspelt in the words after a known name."""
    found: dict[str, int] = {}
    for longer in brand.longer.get(spelling, ()):
        part = longer[len(spelling) :]
        for length in range(1, min(len(rest), _MAX_NAME_WORDS) + 1):
            written = "".join(rest[:length])
            is_plural = written == f"{part}s"  # "range rover sports"
            if (written in VERSION_WORDS and not is_plural) or len(part) == 1:
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


def _abbreviated_names(brand: Brand, spelling: str, word: str) -> list[str]:
    """Models with a longer name that the word after a known name may shorten.

    "range rover evoq" may be an Evoque, "discovery spt" a Discovery Sport.
    """
    if len(word) < _MIN_REST_LETTERS or not word.isalpha() or word in VERSION_WORDS:
        return []
    names = {
        brand.spellings[longer]
        for longer in brand.longer.get(spelling, ())
        if _abbreviates(word, longer[len(spelling) :])
    }
    return sorted(names, key=lambda name: -brand.popularity(name))


def _abbreviates(word: str, part: str) -> bool:
    """Whether a word is the beginning of another, or some of its consonants with the first two."""
    if len(word) >= len(part):
        return False
    if part.startswith(word):
        return True
    consonants = part[0] + _VOWELS.sub("", part[1:])
    left_out = len(consonants) - len(word)
    return word[:2] == consonants[:2] and OSA.distance(word, consonants) == left_out


def _generation(rest: Sequence[str]) -> int | None:
    """The number of the generation that the first words say."""
    words = [word for word in rest[:2] if word not in GENERATION_WORDS]
    if not words:
        return None
    marked = _GENERATION.fullmatch(words[0]) or _FACELIFT.fullmatch(words[0])
    number = marked[1] if marked else ROMAN.get(words[0], words[0])
    following = rest[list(rest).index(words[0]) + 1 :]
    if not number.isdecimal() or int(number) > _MAX_GENERATION or _is_count(number, following):
        return None
    return int(number)


def _looks_like_generation(number: str) -> bool:
    """Whether a number that is no generation may be a slip of one: "9" or "77", but not "35"."""
    return number.isdigit() and len(set(number)) == 1


def _generations(brand: Brand, name: str, written: int) -> tuple[str, ...]:
    """Generations of a model that may be meant by a number, or else the model."""
    listed: dict[str, tuple[int, int]] = {}
    for number in range(1, brand.models[name].generations + 1):
        if listings := brand.popularity(f"{name} {number}"):
            distance = OSA.distance(str(number), str(written))
            listed[f"{name} {number}"] = (int(distance), -listings)
    return _some(sorted(listed, key=lambda each: listed[each])) or (name,)


def _models_ending_with(brand: Brand, words: Sequence[str]) -> list[str]:
    """Models with a longer name that ends with the first word, as "picasso"."""
    word = words[0] if words else ""
    if len(word) <= _MIN_REST_LETTERS or word in VERSION_WORDS:
        return []
    names = brand.by_last_word.get(word, ())
    return sorted(names, key=lambda name: -brand.popularity(name))


def _same_car(brand: Brand, name: str, other: str) -> bool:
    """Whether two models are one, or one is a generation of the other."""
    return _without_generation(brand, name) == _without_generation(brand, other)


def _without_generation(brand: Brand, name: str) -> str:
    return name.rpartition(" ")[0] if name in brand.generations else name


def read_unknown(brand: Brand, text: str) -> ModelReading:
    """Read a text that is no known name and does not begin with one; see `find_known`."""
    if (seen := _read_lookalike(brand, text)) is not None:
        return seen
    if (corrected := _correct(brand, text)) is not None:
        return corrected
    if (inside := _find_inside(brand, text)) is not None:
        return inside
    similar = _similar(brand, text)
    return ModelReading(text, Match.AMBIGUOUS if similar else Match.UNKNOWN, similar)


def _read_lookalike(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text with letters for digits of the same shape, or digits for letters."""
    words = text.split(" ")[:MAX_WORDS]
    for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
        if (name := lookalike(brand, "".join(words[:length]))) is not None:
            return _corrected(brand, name, words[length:], text)
    digits = _ZEROS.sub(lambda found: "0" * len(found[0]), text)  # "c22o"
    known = find_known(brand, digits) if digits != text else None
    if known is None or known.match is Match.AMBIGUOUS:
        return None
    return known._replace(match=Match.CORRECTED)


def _correct(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text whose first words are a slip of a known name; None if they are none."""
    words = text.split(" ")[:MAX_WORDS]
    for correct in (corrections, distant_corrections):
        for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
            found = correct(brand, "".join(words[:length]))
            if (last := words[length - 1]) in VERSION_WORDS:
                found = [name for name in found if last in name.split(" ")]
            if len(found) > 1:
                near = [] if length == len(words) else similar_models(brand, compact(text), 2)
                return ModelReading(text, Match.AMBIGUOUS, _some([*near, *found]))
            if found:
                return _corrected(brand, found[0], words[length:], text)
    return None


def _corrected(brand: Brand, name: str, rest: Sequence[str], text: str) -> ModelReading:
    """The reading of `text`, whose first words are corrected to `name`."""
    reading = find_known(brand, " ".join([name, *rest])) or ModelReading(name, Match.EXACT)
    near = similar_models(brand, compact(text), MAX_SUGGESTIONS + 1)
    if reading.match is Match.AMBIGUOUS:
        certain = [reading.name] if reading.name in brand.models else []
        found = _some([*certain, *reading.suggestions, *near])
        return ModelReading(certain[0] if certain else text, Match.AMBIGUOUS, found)
    others = [*reading.suggestions, *near]
    found = _some(other for other in others if not _same_car(brand, other, reading.name))
    return ModelReading(reading.name, Match.CORRECTED, found)


def _find_inside(brand: Brand, text: str) -> ModelReading | None:
    """The reading of a text with a known name behind other words; None if there is none."""
    words = text.split(" ")[:MAX_WORDS]
    for place in range(1, len(words)):
        reading = find_known(brand, " ".join(words[place:]))
        if reading is None or not _tells_model(words[place:], reading.name):
            continue
        if reading.name in brand.models:
            separated = _separated_name(brand, reading.name, words[:place])  # "picasso c4"
            if separated is not None:
                return separated
            unread = _with_unread_words(brand, reading.name, words[:place])
            if unread is not None:
                return unread
        near = [name for word in words[:place] for name in _near_names(brand, word)]
        if near or reading.match is Match.AMBIGUOUS:
            similar = similar_models(brand, compact(text), 1)
            certain = [reading.name] if reading.name in brand.models else []
            found = _some([*similar, *near, *certain, *reading.suggestions])
            return ModelReading(text, Match.AMBIGUOUS, found)
        return reading._replace(match=max(reading.match, Match.ALIAS, key=list(Match).index))
    return None


def _tells_model(words: Sequence[str], name: str) -> bool:
    """Whether the name behind other words is one that no version has: "308", "a3" or "clio"."""
    first = words[0]
    if digits_of(first):
        return len(first) >= _MIN_REST_LETTERS or not first.isdigit()
    return first not in VERSION_WORDS and len(compact(name)) > _MIN_REST_LETTERS


def _near_names(brand: Brand, word: str) -> list[str]:
    """Models that a word before another model's name may be."""
    return similar_models(brand, word, 1) if digits_of(word) else corrections(brand, word)


def _similar(brand: Brand, text: str) -> tuple[str, ...]:
    """Models that may be meant by an unknown name."""
    if (series := f"serie {text}") in brand.models:
        return _some([series, *similar_models(brand, text, MAX_SUGGESTIONS)])
    words = text.split(" ")[:MAX_WORDS]
    written = compact(" ".join(words[:_MAX_NAME_WORDS]))
    found = similar_models(brand, written, MAX_SUGGESTIONS)
    if len(words) > 1:
        found += similar_models(brand, words[0], MAX_SUGGESTIONS)
    ending = _models_ending_with(brand, words)
    return _some([*found[:1], *ending, *found[1:], *completions(brand, written)])


def _some(names: Iterable[str]) -> tuple[str, ...]:
    """The first distinct names, no more than are suggested."""
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_SUGGESTIONS]
