"""Other cars of a brand that a text names beside its first one: "golf 6 7", "a180 b180"."""

import re
from collections.abc import Iterator, Sequence

from shared.vehicles.catalogue import Brand, compact, is_run_together
from shared.vehicles.designations import BMW, MERCEDES, designated
from shared.vehicles.versions import (
    COUNTED,
    ENGINE_WORDS,
    GENERATION_WORDS,
    ROMAN,
    VERSION_WORDS,
)

OR_WORDS = frozenset({"ou", "or", "vs", "contre"})
"""Words between two cars."""
_UP_TO = frozenset({"a", "au", "to"})
"""Words between two generations, as in "golf 5 à 7"."""
_AND = frozenset({"et", "and"})
_VALVES = frozenset({"s", "v"})
_YEAR = re.compile(r"(?:19|20)\d\d")
_GENERATION = re.compile(r"\d{1,2}")
_GENERATION_MARK = re.compile(r"(?:mk|gen)(?=\d{1,2}$)")
_LETTERS = re.compile(r"[a-z]*")
_LAST_MEMBER = re.compile(r"(?P<family>.*?) ?(?P<member>\d+|(?<=[ \d])[a-z])")
_MAX_ENGINE_LITRES = 3
_MIN_FAMILY = 2
"""Letters of a name whose last letter tells models apart, as "model s" and "model x"."""
_MAX_SHORT_NAME = 3
_MAX_NAME_WORDS = 4
_MIN_LISTINGS_OF_ROUND_NUMBER = 100
_NO_VERSIONS = frozenset({("mini", "one"), ("nissan", "note")})
"""Models whose names are words of versions, but not of versions of their own brands."""
_BARE_GENERATION = re.compile(r"(?P<family>[a-z]+)(?P<member>\d) (?P<number>\d)(?: .*)?")
_TWO_CLASSES = re.compile(r"(?:classe )?([abcegsvx]) (?:ou |or )?([abcegsvx])(?: ?\d{2,3}\b.*)?")
_MERCEDES_WORD = re.compile(
    r"(?:[abcegsv](?:1[4-9]0|2[0-9]0|[3-6][05]0|43|45|53|55|63|65)[a-z]{0,3}"
    r"|(?:cl[acks]?|gl[abceks]?|sl[cks]?|ml)(?:\d{2,3}[a-z]{0,3})?)"
)
_BMW_WORD = re.compile(r"m?[1-8](?:1[4-8]|2[0358]|3[058]|4[05]|50)(?P<fuel>[a-z]{0,2})")
_BMW_FUELS = frozenset({"d", "i", "e", "xd", "xi", "da", "ia"})


def two_classes(brand: Brand, text: str) -> list[str]:
    """The two classes that a text begins with, as "c e 220"; empty if it does not."""
    found = _TWO_CLASSES.fullmatch(text) if brand.name == MERCEDES else None
    names = [f"classe {letter}" for letter in found.groups()] if found else []
    return names if len(set(names)) > 1 and all(name in brand.models for name in names) else []


def other_models(brand: Brand, name: str, words: Sequence[str]) -> list[str]:
    """Models or generations of a brand that the words name beside the model `name`.

    Args:
        brand: the brand.
        name: the model, or generation, that the words begin with.
        words: all words of the text.
    """
    rest = rest_of(brand, name, words)
    found = [*_numbered(brand, name, words[: len(words) - len(rest)], rest)]
    found += _designated(brand, name, words)
    found += _short_names(brand, name, rest)
    found += _behind_or(brand, rest)
    return [other for other in dict.fromkeys(found) if other != name and not _is_part(other, name)]


def member_or_generation(brand: Brand, text: str) -> list[str]:
    """The two models that a text like "a3 4" may name, of which it may also be a generation.

    Empty if it leaves no such doubt.
    """
    found = _BARE_GENERATION.fullmatch(text)
    if found is None or counts(found["number"], text.split(" ")[2:]):
        return []
    family, member, number = found.groups()
    names = [f"{family}{member}", f"{family}{number}"]
    return names if member != number and all(name in brand.models for name in names) else []


def _behind_or(brand: Brand, rest: Sequence[str]) -> Iterator[str]:
    """Models that a word like "or" stands before, whatever words they are: "cooper ou one"."""
    for place, word in enumerate(rest[:-1]):
        if word not in OR_WORDS and (word not in _AND or place > 0):
            continue
        following = rest[place + 1 :]
        for length in range(min(_MAX_NAME_WORDS, len(following)), 0, -1):
            name = brand.spellings.get("".join(following[:length]))
            if name is not None and (word in OR_WORDS or length == len(following)):
                yield name
                break


def rest_of(brand: Brand, name: str, words: Sequence[str]) -> Sequence[str]:
    """The words behind those that spell a model; those behind the first one if none do."""
    for length in range(len(words), 0, -1):
        text = " ".join(words[:length])
        if brand.spellings.get(compact(text)) == name and not is_run_together(brand, text, name):
            return words[length:]
    base = _family(brand, name)[0]
    known = base if brand.spellings.get(compact(base)) else name
    for length in range(1, len(words)):
        if brand.spellings.get("".join(words[:length])) == known:
            return words[length:]
    return words[1:]


def behind_name(brand: Brand, name: str, words: Sequence[str]) -> Sequence[str]:
    """The words behind a model's name and generation; none behind a designation like "320"."""
    rest = rest_of(brand, name, words)
    if "".join(words[: len(words) - len(rest)]) not in brand.spellings:
        return ()
    is_numbered = bool(rest) and _GENERATION.fullmatch(ROMAN.get(rest[0], rest[0])) is not None
    return rest[1:] if is_numbered else rest


def models_among(brand: Brand, words: Sequence[str]) -> Iterator[str]:
    """Models whose name is found among words that follow another model's name."""
    place = 0
    while place < len(words):
        length = 1
        for longer in range(min(_MAX_NAME_WORDS, len(words) - place), 0, -1):
            name = _model_of_words(brand, words[place : place + longer])
            if name is not None:
                yield name
                length = longer
                break
        place += length


def _model_of_words(brand: Brand, words: Sequence[str]) -> str | None:
    """The model that words name beyond doubt: no number, short name, or word of a version."""
    spelling, spaced = "".join(words), " ".join(words)
    if len(words) > 1 and spaced in brand.models and spelling.isalpha():
        return spaced  # "hr v"
    if (brand.name, spelling) in _NO_VERSIONS:
        return spelling
    if len(spelling) <= _MAX_SHORT_NAME or (len(words) == 1 and spelling in VERSION_WORDS):
        return None
    name = brand.spellings.get(spelling)
    return None if spelling.isdigit() or name is None or name.isdigit() else name


def model_of_number(brand: Brand, word: str) -> str | None:
    """The model that a number of three or more digits names; no round number, and no year."""
    is_number = word.isdigit() and len(word) >= _MAX_SHORT_NAME and not word.endswith("0")
    if not is_number or (word.startswith(("19", "20")) and len(word) > _MAX_SHORT_NAME):
        return None
    name = brand.spellings.get(word)
    return name if name is not None and brand.popularity(name) else None


def model_of_letter_and_number(brand: Brand, word: str, name: str) -> str | None:
    """The model that is called as one word, a letter or more and a number: "x5", "i20".

    It is listed, or has as many letters and digits as the model `name` before it: "s60 v60".
    """
    if not word[0].isalpha() or not word[-1].isdigit():
        return None
    other = brand.spellings.get(word)
    if other is None or other in brand.generations or compact(other) != word:
        return None
    return other if brand.popularity(other) or _shape(other) == _shape(name) else None


def _shape(name: str) -> str:
    """A name with one sign for each letter and one for each digit."""
    return "".join("1" if sign.isdigit() else "a" for sign in name)


def is_year(brand: Brand, name: str) -> bool:
    """Whether a model's name may also be a year, as "2008"."""
    return name in brand.models and _YEAR.fullmatch(name) is not None


def _family(brand: Brand, name: str) -> tuple[str, bool]:
    """What the names of similar models begin with, and whether they are generations."""
    if name in brand.generations:
        return name.rpartition(" ")[0], True
    found = _LAST_MEMBER.fullmatch(name)
    return (name, False) if found is None else (found["family"], False)


def _numbered(brand: Brand, name: str, known: Sequence[str], rest: Sequence[str]) -> Iterator[str]:
    """Models that differ from `name` by a number or letter that follows, or stands behind "ou"."""
    family, are_generations = _family(brand, name)
    if family == name or (not family and brand.name == MERCEDES):
        return
    again = {*family.split(" "), *known[:1]} | (GENERATION_WORDS if are_generations else set())
    between = OR_WORDS | (_UP_TO if are_generations else set())
    # A bare number may be a generation: "x3 5".
    has_generations = bool(family) and not are_generations and brand.models[name].generations > 0
    is_next = not has_generations and brand.spellings.get("".join(known)) in {name, family}
    for place, word in enumerate(rest):
        following = rest[place + 1 :]
        if word in between or word in again or (word in _AND and len(following) == 1):
            is_next = True
            continue
        bare = _without_mark(known, word, are_generations=are_generations)
        member = ROMAN.get(bare, bare) if are_generations else bare
        other = _member(brand, family, member, are_generations=are_generations)
        if other is None or not (is_next or bare != word) or counts(word, following):
            is_next = False
            continue
        is_next = True
        yield other


def _without_mark(known: Sequence[str], word: str, *, are_generations: bool) -> str:
    """The number of a word that begins as the known one does: "60" of "v40 v60", "7" of "mk7"."""
    if are_generations and (mark := _GENERATION_MARK.match(word)) is not None:
        return word[mark.end() :]
    letters = _LETTERS.match("".join(known))[0]  # type: ignore[index]
    number = word.removeprefix(letters) if letters else word
    return number if number.isdigit() else word


def _member(brand: Brand, family: str, member: str, *, are_generations: bool) -> str | None:
    """The model of a family that a number or a letter tells; None if there is none."""
    if are_generations:
        name = f"{family} {member}"
        return name if name in brand.generations else None
    if not member.isdigit() and (len(member) > 1 or len(family) < _MIN_FAMILY):
        return None  # "x4 m" is no XM
    name = brand.spellings.get(compact(f"{family}{member}"), "")
    return name if name and name not in brand.generations else None


def counts(word: str, following: Sequence[str]) -> bool:
    """Whether a number counts what the next word says, or is the size of an engine: "2 0 tdi"."""
    if not word.isdigit() or not following:
        return False
    after = following[0]
    if after in COUNTED or (after in _VALVES and len(word) > 1):
        return True
    is_litres = len(word) == 1 and int(word) <= _MAX_ENGINE_LITRES
    return is_litres and after[0].isdigit() and len(after) <= len("5t")


def is_engine_size(word: str, following: Sequence[str]) -> bool:
    """Whether a number is the litres of an engine that is written with a space: "1 5 dci"."""
    if not counts(word, following) or not following[0].isdigit() or len(following[0]) > 1:
        return False
    return following[0] == "0" or (len(following) > 1 and following[1] in ENGINE_WORDS)


def _designated(brand: Brand, name: str, words: Sequence[str]) -> Iterator[str]:
    """Classes or series of the designations behind the first word."""
    for place in range(1, len(words)):
        word, following = words[place], words[place + 1 :]
        if brand.name == MERCEDES:
            if words[place - 1] in OR_WORDS and f"classe {word}" in brand.models:
                yield f"classe {word}"  # "vito ou v"
                continue
            if _is_class_and_number(name, words, place):
                word, following = f"{word}{following[0]}", following[1:]
            is_other = _MERCEDES_WORD.fullmatch(word) is not None
        elif brand.name == BMW and (found := _BMW_WORD.fullmatch(word)) is not None:
            fuel = found["fuel"] or (following[0] if following else "")
            is_other = fuel in _BMW_FUELS or (place == 1 and not counts(word, following))
        else:
            continue
        other = designated(brand.name, word) if is_other else None
        if other in brand.models and not (following and following[0] in COUNTED):
            yield other


def _is_class_and_number(name: str, words: Sequence[str], place: int) -> bool:
    """Whether a letter and the number behind it are a class of their own, as "b 180"."""
    if len(words[place]) > 1 or place + 1 == len(words) or not words[place + 1].isdigit():
        return False
    is_part = name.endswith("".join(words[: place + 1]))  # "gl a 200"
    return len(words[place - 1]) > 1 and not is_part


def _short_names(brand: Brand, name: str, rest: Sequence[str]) -> Iterator[str]:
    """Models with a short name, or a round number, that begin the rest: "xe xf", "panda 500"."""
    for place, word in enumerate(rest[:2]):
        other = brand.spellings.get(word)
        if other is None or compact(other) != word or len(word) > _MAX_SHORT_NAME:
            continue
        if word.isdigit():
            is_round = len(word) == _MAX_SHORT_NAME and brand.name != MERCEDES
            is_other = is_round and brand.popularity(other) >= _MIN_LISTINGS_OF_ROUND_NUMBER
            if place == 0 and is_other and not counts(word, rest[1:]):
                yield other
        elif word.isalpha() and word not in VERSION_WORDS:
            is_like = place == 0 and len(word) == len(compact(name))
            if is_like or len(word) == _MAX_SHORT_NAME:
                yield other


def _is_part(other: str, name: str) -> bool:
    """Whether a model's name begins another's: "serie 2" and "serie 2 active tourer"."""
    return name.startswith(f"{other} ")
