"""Brands that have a model of a name, and whether the name alone tells the brand."""

from collections.abc import Sequence

from shared.domain.reading import VehicleName
from shared.vehicles.catalogue import Brand, Catalogue, compact
from shared.vehicles.designations import MERCEDES
from shared.vehicles.models import MAX_WORDS
from shared.vehicles.several import counts
from shared.vehicles.similar import within
from shared.vehicles.versions import VERSION_WORDS

MIN_UNIQUE_NAME = 3
"""Characters that a model's name needs to tell its brand."""
MIN_LISTINGS_OF_NUMBER = 10
_MIN_LISTINGS_OF_ROUND_NUMBER = 150
"""Listings that a model named by a number needs to tell its brand: "107", but not "250"."""
_MIN_LISTINGS_OF_COMMON_WORD = 100
"""Listings that a model named as versions are needs to tell its brand: "express"."""
_MIN_LISTINGS_OF_LETTERS = 30
"""Listings that a model named by two letters needs to tell its brand: "xf"."""
_MIN_LISTINGS_OF_BRAND = 200
"""Listings that a brand needs to be told by a model of three letters without listings: "asx"."""
_LETTERS_OF_NUMBER = 3
_DOMINANCE = 20
"""A name that several brands have means the one with this many times the listings of the others."""
SUZUKI_OF_INDIA = "maruti"
"""Its models are sold as Suzuki elsewhere."""


class NameOwners:
    """Tells the brand of a model's name by a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def other_brands_model(
        self, owner: Brand, words: Sequence[str], *, with_numbers: bool = True
    ) -> VehicleName | None:
        """The popular model of another brand that words after a model name: "logan clio".

        Args:
            owner: the brand of the first model.
            words: behind it.
            with_numbers: whether a number may be a model: "clio 208".
        """
        own = {part for name in owner.models for part in name.split(" ")}
        for place, word in enumerate(words[:MAX_WORDS]):
            is_mixed = word[0].isalpha() and word[-1].isdigit() and word.isalnum()  # "i10"
            is_word = word.isalpha() and len(word) > _LETTERS_OF_NUMBER
            is_number = with_numbers and _is_name_of_number(owner, word)
            is_number = is_number and not counts(word, words[place + 1 :])
            if not (is_word or is_mixed or is_number) or word in VERSION_WORDS or word in own:
                continue
            other = self.owner(word)
            if other is None or word in owner.spellings:
                continue
            name = other.spellings[word]
            is_code = compact(name) == word and not is_word  # "107 c1"
            least = _MIN_LISTINGS_OF_LETTERS if is_code else _MIN_LISTINGS_OF_COMMON_WORD
            least = MIN_LISTINGS_OF_NUMBER if is_number else least
            if other.popularity(name) < least or name in other.generations:
                continue
            is_part = name.startswith(f"{word} ")  # "model 3 long range" names no Range Rover
            if compact(name) == word or (is_word and not is_part):  # "f30" is a code of a series
                return VehicleName(other.name, name)
        return None

    def tells_brand(self, spelling: str, owner: Brand) -> bool:
        """Whether the only brand with a model of this name can be meant without its name."""
        name = owner.spellings[spelling]
        if name in owner.generations:
            name = name.rpartition(" ")[0]
        listings = owner.popularity(name)
        if spelling.isdigit():
            is_round = spelling.endswith("0") or len(spelling) < _LETTERS_OF_NUMBER
            least = _MIN_LISTINGS_OF_ROUND_NUMBER if is_round else MIN_LISTINGS_OF_NUMBER
            return listings >= least
        if spelling in VERSION_WORDS:
            return spelling == compact(name) and listings >= _MIN_LISTINGS_OF_COMMON_WORD
        if spelling[0].isalpha() and spelling[-1].isdigit() and owner.listings:  # "a3"
            return True
        if len(spelling) < MIN_UNIQUE_NAME:
            is_pair = len(spelling) > 1 and spelling.isalpha()
            return is_pair and listings >= _MIN_LISTINGS_OF_LETTERS
        is_short = len(spelling) == MIN_UNIQUE_NAME and owner.listings >= _MIN_LISTINGS_OF_BRAND
        return listings > 0 or is_short or not self._is_near_listed_name(spelling, owner)

    def _is_near_listed_name(self, spelling: str, owner: Brand) -> bool:
        """Whether a listed model of another brand begins with a name or has it with one error."""
        for brand in self._catalogue.brands.values():
            if brand is owner:
                continue
            near = [each for each, _ in within(spelling, brand.spellings, 1)]
            near += [each for each in brand.spellings if each.startswith(spelling)]
            if any(brand.popularity(brand.spellings[each]) for each in near):
                return True
        return False

    def owner(self, spelling: str) -> Brand | None:
        """The brand that has a model of this name; None if none or several have."""
        names = self._catalogue.owners.get(spelling, ())
        if len(names) > 1:
            names = [name for name in names if name != SUZUKI_OF_INDIA]
        brands = [self._catalogue.brands[name] for name in names]
        brands.sort(key=lambda brand: -brand.popularity(brand.spellings[spelling]))
        if not brands:
            return None
        listings = [brand.popularity(brand.spellings[spelling]) for brand in brands]
        if len(brands) > 1 and listings[0] < _DOMINANCE * max(listings[1], 1):
            is_sold_here = listings[0] > 0 and not any(brand.listings for brand in brands[1:])
            return brands[0] if is_sold_here else None
        return brands[0]


def _is_name_of_number(owner: Brand, word: str) -> bool:
    """Whether a number behind a model may name a car: "clio 208"; a power is mostly round.

    Vans of Mercedes-Benz are called by such numbers, too: "sprinter 208".
    """
    is_name = word.isdigit() and len(word) >= _LETTERS_OF_NUMBER and not word.endswith("0")
    is_year = len(word) > _LETTERS_OF_NUMBER and word.startswith(("19", "20"))
    return is_name and not is_year and owner.name != MERCEDES
