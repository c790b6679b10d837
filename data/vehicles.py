"""Finding a car's model among the known ones, however the seller wrote it."""

import re
from collections.abc import Iterable, Mapping, Sequence

_SERIES = re.compile(r"^(\d)( series|er)?$")
_SERIES_DIGITS = re.compile(r"^(?:serie )?(\d)\d\d ?[a-z]{0,2}$")
_CLASS = re.compile(r"^(?:classe |class )?([a-z]{1,3})(?: class| klasse| ?\d{2,3} ?[a-z]{0,2})?$")
_GENERATION = re.compile(r"^(.+) (\d{1,2})$")
_LONGEST_CACHE = 100_000


def candidates(company: str, model: str) -> Iterable[str]:
    """Other names under which `model` may be known, best first.

    >>> list(candidates("bmw", "320 d"))[0], list(candidates("mercedes benz", "c 220"))[0]
    ('serie 3', 'classe c')
    """
    if company == "bmw" and (match := _SERIES.match(model) or _SERIES_DIGITS.match(model)):
        yield f"serie {match[1]}"
    if company == "mercedes benz" and (match := _CLASS.match(model)):
        yield f"classe {match[1]}"
    for prefix in (company, company.split(" ", maxsplit=1)[0]):
        if model.startswith(prefix + " "):
            yield model[len(prefix) + 1 :]
    words = model.split(" ")
    for length in range(len(words) - 1, 0, -1):
        yield " ".join(words[:length])


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
            pair = (company, name)
            if pair in self._codes:
                return self._codes[pair]
            if pair in self._generations:
                return self._generations[pair]
            if (compact := (company, name.replace(" ", ""))) in self._compact:
                return self._compact[compact]
        return 0


def _generations(
    codes: Mapping[tuple[str, str], int], years: Sequence[float]
) -> dict[tuple[str, str], tuple[tuple[float, int], ...]]:
    """Models that are sold as "name 1", "name 2": their codes by usual year."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for (company, model), code in codes.items():
        if (match := _GENERATION.match(model)) is not None:
            found.setdefault((company, match[1]), []).append((years[code - 1], code))
    return {pair: tuple(sorted(g)) for pair, g in found.items() if len(g) > 1}
