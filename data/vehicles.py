"""Finding a car's model among the known ones, however the seller wrote it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from data.vehicle_aliases import MODEL_ALIASES, OTHER_BRANDS
from shared.domain.near_names import NearNames

_SERIES = re.compile(r"^(\d)( series|er)?$")
_SERIES_DIGITS = re.compile(r"^(?:serie )?(\d)\d\d ?[a-z]{0,2}$")
_CLASS = re.compile(r"^(?:classe |class )?([a-z]{1,3})(?: class| klasse| ?\d{2,3} ?[a-z]{0,2})?$")
_GENERATION = re.compile(r"^(.+) (\d{1,2})$")
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}
_LONGEST_CACHE = 100_000


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
            yield from _other_names(company, shortened)
    brand = company.split(" ")
    for prefix in dict.fromkeys((company, brand[0], brand[-1])):
        if model.startswith(prefix + " "):
            yield from candidates(company, model[len(prefix) + 1 :])


def _other_names(company: str, model: str) -> Iterator[str]:
    """What the brand itself, or another source, calls the model."""
    if (alias := MODEL_ALIASES.get(company, {}).get(model)) is not None:
        yield alias
    if company == "bmw" and (match := _SERIES.match(model) or _SERIES_DIGITS.match(model)):
        yield f"serie {match[1]}"
    if company == "mercedes benz" and (match := _CLASS.match(model)):
        yield f"classe {match[1]}"


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
        self._generations = _generations(self._codes, years)
        self._near = _near_names(self._codes)
        self._cache: dict[tuple[str, str], int | tuple[tuple[float, int], ...]] = {}

    def code(self, company: str, model: str, year: float | None) -> int:
        """The code of the vehicle, 0 if it is not known."""
        found = self._cache.get((company, model))
        if found is None:
            found = self._find(company, model)
            if len(self._cache) >= _LONGEST_CACHE:
                self._cache.clear()
            self._cache[company, model] = found
        if isinstance(found, int):
            return found
        return found[-1][1] if year is None else min(found, key=lambda g: abs(g[0] - year))[1]

    def _find(self, company: str, model: str) -> int | tuple[tuple[float, int], ...]:
        for name in (model, *candidates(company, model)):
            if found := self._exactly(company, name):
                return found
        if (pair := OTHER_BRANDS.get((company, model))) is not None:
            return self._exactly(*pair)
        # A slip is looked for last: it must never hide another name of the model.
        first = model.split(" ", maxsplit=1)[0]
        near = self._near[company].find(first) if company in self._near else None
        return self._exactly(company, near) if near is not None else 0

    def _exactly(self, company: str, name: str) -> int | tuple[tuple[float, int], ...]:
        """The code, or the codes of all generations, of a name as it is known; 0 if it is not."""
        pair = (company, name)
        if pair in self._codes:
            return self._codes[pair]
        if pair in self._generations:
            return self._generations[pair]
        return self._compact.get((company, name.replace(" ", "")), 0)


def _near_names(pairs: Iterable[tuple[str, str]]) -> dict[str, NearNames]:
    """By company: its models, and those that are sold in numbered generations."""
    names: dict[str, set[str]] = {}
    for company, model in pairs:
        match = _GENERATION.match(model)
        names.setdefault(company, set()).add(match[1] if match else model)
    return {company: NearNames(found) for company, found in names.items()}


def _generations(
    codes: Mapping[tuple[str, str], int], years: Sequence[float]
) -> dict[tuple[str, str], tuple[tuple[float, int], ...]]:
    """Models that are sold as "name 1", "name 2": their codes by usual year."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for (company, model), code in codes.items():
        if (match := _GENERATION.match(model)) is not None:
            found.setdefault((company, match[1]), []).append((years[code - 1], code))
    return {pair: tuple(sorted(g)) for pair, g in found.items() if len(g) > 1}
