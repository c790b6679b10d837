"""The brand of a known vehicle, whatever brand the seller named.

"Citroën DS3" and "Renault Logan" are known as a DS and as a Dacia: they are priced as those.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.hedonic import IntArray

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

    def correct_arrays(self, codes: IntArray, vehicles: IntArray) -> None:
        """The same for `codes` (keys, n)."""
        for place, own in self._arrays.items():
            codes[place] = np.where(vehicles > 0, own[vehicles], codes[place])
