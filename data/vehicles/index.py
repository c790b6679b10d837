"""Finding a car's model among the known ones, however the seller wrote it."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.domain.names import FuzzyNameIndex

MODEL_ALIASES: Mapping[str, Mapping[str, str]] = {
    "alfa romeo": {"mi to": "mito", "gulietta": "giulietta"},
    "citroen": {
        "elysee": "c elysee",
        "grand c4 picasso": "c4 picasso",
        "grand picasso": "c4 picasso",
        "c4 spacetourer": "c4 picasso",
    },
    "dacia": {"stepway": "sandero", "mcv": "logan mcv"},
    "ds automobiles": {
        "3": "ds3",
        "5": "ds5",
        "7": "ds7",
        "crossback": "ds7",
    },
    "fiat": {"cinquecento": "500", "500 l": "500l", "500 x": "500x"},
    "ford": {"grand c max": "c max", "eco sport": "ecosport"},
    "hyundai": {"i 10 grand": "grand i10", "i10 grand": "grand i10"},
    "land rover": {
        "sport": "range rover sport",
        "range sport": "range rover sport",
        "rr sport": "range rover sport",
        "evoque": "range rover evoque",
        "range evoque": "range rover evoque",
        "velar": "range rover velar",
        "range velar": "range rover velar",
        "vogue": "range rover vogue",
        "range vogue": "range rover vogue",
        "range": "range rover",
    },
    "mercedes benz": {
        "glc coupe": "classe glc",
        "gle coupe": "classe gle",
        "coupe cla": "classe cla",
    },
    "mini": {"s": "cooper", "john cooper works": "cooper", "jcw": "cooper"},
    "peugeot": {"partner tepee": "tepee"},
    "porsche": {"cayene": "cayenne"},
    "renault": {
        "grand scenic": "scenic",
        "grand kangoo": "kangoo",
        "r4": "4",
        "r 4": "4",
        "r19": "19",
        "r 19": "19",
    },
    "tesla": {"3": "model 3"},
    "toyota": {"land cruiser prado": "prado", "landcruiser prado": "prado"},
    "volkswagen": {"beetle": "coccinelle"},
}
"""By company, then by the name that sellers write: the name of the statistics."""

BRAND_CORRECTIONS: Mapping[tuple[str, str], tuple[str, str]] = {
    **{("citroen", name): ("ds automobiles", "ds3") for name in ("ds3", "ds 3")},
    **{("citroen", name): ("ds automobiles", "ds5") for name in ("ds5", "ds 5")},
    **{("citroen", name): ("ds automobiles", "ds7") for name in ("ds7", "ds 7")},
    **{
        ("renault", name): ("dacia", name)
        for name in ("dokker", "duster", "lodgy", "logan", "sandero")
    },
    ("bmw", "mini"): ("mini", "cooper"),
    ("bmw", "mini cooper"): ("mini", "cooper"),
    ("fiat", "abarth"): ("abarth", "595"),
    ("fiat", "595"): ("abarth", "595"),
    ("rover", "evoque"): ("land rover", "range rover evoque"),
    ("rover", "range rover"): ("land rover", "range rover"),
    ("rover", "range rover sport"): ("land rover", "range rover sport"),
}
"""Models that are written under another brand than the one of their statistics."""


CodesByCompany = Mapping[Any, int]


class VehicleBrands:
    """Codes that follow from a vehicle's company.

    Args:
        vehicles: the known (company, model) pairs; the i-th has code i + 1.
        words: by the place of a key among all keys: the key's codes by company.
    """

    def __init__(
        self, vehicles: Sequence[tuple[str, str]], words: Mapping[int, CodesByCompany]
    ) -> None:
        self._codes = {
            place: [0, *(codes.get(company, 0) for company, _ in vehicles)]
            for place, codes in words.items()
        }
        self._arrays = {place: np.array(codes) for place, codes in self._codes.items()}

    def correct_lists(self, codes: list[list[int]], vehicles: Sequence[int]) -> None:
        """Put the known vehicles' own codes into `codes`, one list for each key."""
        for place, own in self._codes.items():
            written = codes[place]
            codes[place] = [
                own[vehicle] if vehicle else code
                for vehicle, code in zip(vehicles, written, strict=True)
            ]

    def correct_arrays(self, codes: npt.NDArray[np.int64], vehicles: npt.NDArray[np.int64]) -> None:
        """The same for `codes` (keys, n)."""
        for place, own in self._arrays.items():
            codes[place] = np.where(vehicles > 0, own[vehicles], codes[place])


_SERIES = re.compile(r"^(\d)( series|er)?$")
_SERIES_DIGITS = re.compile(r"^(?:serie )?(\d)\d\d ?[a-z]{0,2}$")
_CLASS = re.compile(r"^(?:classe |class )?([a-z]{1,3})(?: class| klasse| ?\d{2,3} ?[a-z]{0,2})?$")
_GENERATION = re.compile(r"^(.+) (\d{1,2})$")
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}
_MAX_CACHE_SIZE = 100_000
BMW, MERCEDES = "bmw", "mercedes benz"

Generations: TypeAlias = tuple[tuple[float, int], ...]
"""Usual year and code of each, the oldest first."""
Codes: TypeAlias = int | Generations


def candidates(company: str, model: str) -> Iterable[str]:
    """Other names under which `model` may be known, best first.

    >>> list(candidates("bmw", "320 d")), list(candidates("volkswagen", "golf vii"))
    (['320 d', 'serie 3', '320', 'serie 3'], ['golf 7', 'golf', 'golf vii', 'golf'])
    """
    words = model.split(" ")
    numbered = [words[0], *(_ROMAN.get(word, word) for word in words[1:])]
    for spelled in (numbered, words) if numbered != words else (words,):
        for length in range(len(spelled), 0, -1):
            shortened = " ".join(spelled[:length])
            yield shortened
            yield from _aliases(company, shortened)
    for prefix in _brand_prefixes(company):
        if model.startswith(prefix):
            yield from candidates(company, model[len(prefix) :])


@lru_cache(maxsize=1024)
def _brand_prefixes(company: str) -> tuple[str, ...]:
    """What sellers write before the model's name."""
    words = company.split(" ")
    return tuple(dict.fromkeys(f"{name} " for name in (company, words[0], words[-1])))


def _aliases(company: str, model: str) -> Iterator[str]:
    """What the brand itself, or another source, calls the model."""
    if (alias := MODEL_ALIASES.get(company, {}).get(model)) is not None:
        yield alias
    if company == BMW and (match := _SERIES.match(model) or _SERIES_DIGITS.match(model)):
        yield f"serie {match[1]}"
    if company == MERCEDES and (match := _CLASS.match(model)):
        yield f"classe {match[1]}"


def generation_for_year(generations: Generations, year: float | None) -> int:
    """The code of the generation that was sold in a year; without one, of the newest."""
    if year is None:
        return generations[-1][1]
    return min(generations, key=lambda each: abs(each[0] - year))[1]


class VehicleIndex:
    """Codes of the known vehicles; 0 stands for a vehicle that is not known.

    Args:
        vehicles: the known (company, model) pairs; the i-th has code i + 1.
        years: the usual year of each, which tells generations apart ("golf" of 2016 is "golf 7").
    """

    def __init__(self, vehicles: Sequence[tuple[str, str]], years: Sequence[float]) -> None:
        self._codes = {pair: code for code, pair in enumerate(vehicles, start=1)}
        self._compact = {
            (company, model.replace(" ", "")): code
            for (company, model), code in self._codes.items()
        }
        self._prefix_index = _compact_names(self._codes)
        self._generations = _generations(self._codes, years)
        self._fuzzy_matchers = _build_fuzzy_matchers(self._codes)
        self._cache: dict[tuple[str, str], Codes] = {}

    def code(self, company: str, model: str, year: float | None) -> int:
        """The code of the vehicle, 0 if it is not known."""
        found = self.codes(company, model)
        return found if isinstance(found, int) else generation_for_year(found, year)

    def codes(self, company: str, model: str) -> Codes:
        """The code of the vehicle, 0 if it is not known; of one sold in generations: all theirs."""
        found = self._cache.get((company, model))
        if found is None:
            found = self._find(company, model)
            if len(self._cache) >= _MAX_CACHE_SIZE:
                self._cache.clear()
            self._cache[company, model] = found
        return found

    def _find(self, company: str, model: str) -> Codes:
        first = model.split(" ", maxsplit=1)[0]
        if self._may_match(company, model, first):
            for name in (model, *candidates(company, model)):
                if found := self._exact_match(company, name):
                    return found
        if (pair := BRAND_CORRECTIONS.get((company, model))) is not None:
            return self._exact_match(*pair)
        # A slip is looked for last: it must never hide another name of the model.
        near = (
            self._fuzzy_matchers[company].find(first) if company in self._fuzzy_matchers else None
        )
        return self._exact_match(company, near) if near is not None else 0

    def _may_match(self, company: str, model: str, first: str) -> bool:
        """False where no candidate can be known: all of them begin with the first word."""
        names = self._prefix_index.get(company)
        if names is None:
            return False
        at = bisect_left(names, first)
        if at < len(names) and names[at].startswith(first):
            return True
        return company in {BMW, MERCEDES} or model.startswith(_brand_prefixes(company))

    def _exact_match(self, company: str, name: str) -> Codes:
        """The code, or the codes of all generations, of a name as it is known; 0 if it is not."""
        pair = (company, name)
        if pair in self._codes:
            return self._codes[pair]
        if pair in self._generations:
            return self._generations[pair]
        return self._compact.get((company, name.replace(" ", "")), 0)


def _compact_names(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """By company: what its models are called, without spaces, in order of the alphabet."""
    names: dict[str, set[str]] = {}
    for company, model in pairs:
        names.setdefault(company, set(MODEL_ALIASES.get(company, ()))).add(model)
    return {
        company: sorted(name.replace(" ", "") for name in found) for company, found in names.items()
    }


def _build_fuzzy_matchers(pairs: Iterable[tuple[str, str]]) -> dict[str, FuzzyNameIndex]:
    """By company: its models, and those that are sold in numbered generations."""
    names: dict[str, set[str]] = {}
    for company, model in pairs:
        match = _GENERATION.match(model)
        names.setdefault(company, set()).add(match[1] if match else model)
    return {company: FuzzyNameIndex(found) for company, found in names.items()}


def _generations(
    codes: Mapping[tuple[str, str], int], years: Sequence[float]
) -> dict[tuple[str, str], Generations]:
    """Models that are sold as "name 1", "name 2": their codes by usual year."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for (company, model), code in codes.items():
        if (match := _GENERATION.match(model)) is not None:
            found.setdefault((company, match[1]), []).append((years[code - 1], code))
    return {pair: tuple(sorted(g)) for pair, g in found.items() if len(g) > 1}
