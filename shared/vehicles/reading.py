"""Reading of a written brand and model together."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from shared.domain.reading import MAX_SUGGESTIONS, Match, NameReading, NamesMissing, VehicleName
from shared.vehicles.arabic import to_latin
from shared.vehicles.brands import (
    MIN_CORRECTED_LETTERS,
    BrandReading,
    find_brand,
    find_brand_inside,
    near_beginnings,
    near_brands,
)
from shared.vehicles.catalogue import Brand, Catalogue, compact
from shared.vehicles.designations import designated_brand
from shared.vehicles.models import ModelReading, find_known, read_unknown
from shared.vehicles.owners import (
    MIN_LISTINGS_OF_NUMBER,
    MIN_UNIQUE_NAME,
    SUZUKI_OF_INDIA,
    NameOwners,
)
from shared.vehicles.several import OR_WORDS
from shared.vehicles.titles import (
    PLACEHOLDERS,
    glued_brands,
    join_names,
    names_no_model,
    swap_keys,
    without_noise,
    without_repeats,
    without_year,
)

_CERTAINTY = list(Match)
_MAX_NAME_WORDS = 4
_MIN_SWAPPED = 5
"""Characters of a model that was typed with the keys of another keyboard."""


class NameReader:
    """Reads brands and models by a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._owners = NameOwners(catalogue)

    def read(self, company: str | None, model: str | None) -> NameReading:
        """Read the folded texts (`shared.domain.names.fold_name`) of a brand and a model.

        Raises:
            NamesMissing: neither text gives a brand, or a model.
        """
        company = without_repeats(to_latin(company or ""))
        model = without_repeats(to_latin(model or ""))
        if company in PLACEHOLDERS and model and model not in PLACEHOLDERS:
            # If it tells no brand, the model may still be known to the price model.
            with suppress(NamesMissing):
                return _demote(self._read_title(model, lacks="company"), Match.CORRECTED)
        if not company or not model:
            return self._read_title(company or model, lacks="model" if company else "company")
        found = find_brand(self._catalogue, company)
        if found is None or found.match is not Match.EXACT:
            joined = find_brand(self._catalogue, f"{company} {model}")
            if joined is not None and len(joined.rest) < len(model):  # "land", "rover discovery"
                return self._read_title(f"{company} {model}", lacks="model")
        if found is None:
            return self._read_with_unknown_brand(company, model)
        if self._is_same_brand(found.name, model):
            return self._read_title(company, lacks="model")
        return self._read_with_known_brand(found, company, model)

    def _read_with_known_brand(self, found: BrandReading, company: str, model: str) -> NameReading:
        """Read a model of the brand `found`, or a car whose name begins with the brand's."""
        reading = self._read_with_brand(found, model)
        if reading.match is not Match.UNKNOWN or found.match is Match.EXACT:
            return reading
        whole = self._read_unique_model(f"{company} {model}")  # "land", "cruiser"
        return reading if whole is None or whole.match is Match.UNKNOWN else whole

    def read_brand(self, text: str) -> str:
        """The canonical name of a brand; the text itself if the brand is unknown."""
        found = find_brand(self._catalogue, text)
        if found is not None:
            return found.name
        near = near_brands(self._catalogue, text)
        certain = [name for name, errors in near if errors == 1]
        is_certain = len(certain) == 1 and len(text) >= MIN_CORRECTED_LETTERS
        return certain[0] if is_certain else text

    def _is_same_brand(self, name: str, model: str) -> bool:
        """Whether the model's text is the brand's name again, and no model has this name."""
        again = find_brand(self._catalogue, model)
        if again is None or again.rest or again.name != name:
            return False
        return compact(model) not in self._catalogue.brands[name].spellings

    def _read_title(self, text: str, lacks: str) -> NameReading:
        """Read a text that holds brand and model."""
        if not text:
            raise NamesMissing("company")
        found = find_brand(self._catalogue, text)
        if found is not None and self._names_brand_only(found):
            raise NamesMissing("model")
        if found is not None:
            reading = self._read_with_brand(found._replace(rest=""), found.rest)
            if reading.match is not Match.UNKNOWN or found.match is Match.EXACT:
                return reading
        named = self._read_without_brand(text)
        if named is not None:
            return named
        if found is not None:
            return reading
        raise NamesMissing(lacks)

    def _read_around(self, before: str, found: BrandReading) -> NameReading:
        """Read the words before and after a brand; those after it count, if they name a model.

        Raises:
            NamesMissing: they name none.
        """
        brand = self._catalogue.brands[found.name]
        words = {word for name in brand.models for word in name.split(" ")} | brand.spellings.keys()
        if found.rest and words.isdisjoint(before.split(" ")):
            reading = self._read_with_brand(found._replace(rest=""), found.rest)
            if reading.match in {Match.EXACT, Match.ALIAS}:
                return _demote(reading, Match.ALIAS)
        whole = found._replace(rest=f"{before} {found.rest}".strip())
        if self._names_brand_only(whole):
            raise NamesMissing("model")
        reading = self._read_with_brand(found._replace(rest=""), whole.rest)
        if found.rest or brand.name == SUZUKI_OF_INDIA:
            return reading
        other = self._read_unique_model(f"{before} {brand.name}")
        if other is None or (other.company, other.model) == (reading.company, reading.model):
            return reading
        if other.match is not Match.CORRECTED or reading.match is Match.UNKNOWN:
            return reading
        # The brand may be a version of another brand's car: "leon cupra".
        cars = [VehicleName(each.company, each.model) for each in (other, reading)]
        return NameReading(other.company, other.model, Match.AMBIGUOUS, _some(cars))

    def _names_brand_only(self, found: BrandReading) -> bool:
        """Whether a title has only words that name no model beside the brand."""
        spellings = self._catalogue.brands[found.name].spellings
        words = found.rest.split()
        return names_no_model(found.rest) and not any(word in spellings for word in words)

    def _read_without_brand(self, text: str) -> NameReading | None:
        """Read a text that does not begin with a known brand; None if no brand is found."""
        for name, rest in glued_brands(self._catalogue, text):
            reading = self._read_in_brand(self._catalogue.brands[name], rest)
            if reading.match in {Match.EXACT, Match.ALIAS}:
                return _demote(reading, Match.ALIAS)
        for name, rest in near_beginnings(self._catalogue, text):
            reading = self._read_in_brand(self._catalogue.brands[name], rest)
            if reading.match in {Match.EXACT, Match.ALIAS}:
                return _demote(reading, Match.CORRECTED)
        inside = find_brand_inside(self._catalogue, text)
        if inside is not None:
            return self._read_around(*inside)
        for part in dict.fromkeys((without_year(text), text, without_noise(text))):
            found = self._read_unique_model(part)
            if found is not None and found.match is not Match.UNKNOWN:
                return found
        return None

    def _read_unique_model(self, text: str) -> NameReading | None:
        """Read a text that begins with a model's name that tells its brand."""
        words = text.split(" ")
        for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
            spelling = "".join(words[:length])
            if length > 1 and words[length - 2][-1].isdigit() and words[length - 1].isdigit():
                continue  # "c3 1" is no C31
            owner = self._owners.owner(spelling)
            if owner is not None and self._owners.tells_brand(spelling, owner):
                others = self._owners.other_brands_model(owner, words[length:], with_numbers=False)
                if others is not None:
                    return None
                return _demote(self._read_in_brand(owner, text), Match.CORRECTED)
        if (name := designated_brand(text)) is None:
            return None
        return _demote(self._read_in_brand(self._catalogue.brands[name], text), Match.CORRECTED)

    def _read_with_unknown_brand(self, company: str, model: str) -> NameReading:
        """Read a model and a text that begins with no known brand."""
        near = near_brands(self._catalogue, company)
        readings = [
            (errors, self._read_in_brand(self._catalogue.brands[name], model))
            for name, errors in near
        ]
        known = [
            (errors, reading)
            for errors, reading in readings
            if reading.match in {Match.EXACT, Match.ALIAS, Match.CORRECTED}
        ]
        fewest = [reading for errors, reading in known if errors == known[0][0]]
        if len(fewest) == 1:
            return _demote(fewest[0], Match.CORRECTED)
        is_certain = len(near) == 1 and near[0][1] == 1 and len(company) >= MIN_CORRECTED_LETTERS
        if is_certain and not fewest:
            return _demote(readings[0][1], Match.CORRECTED)
        swapped = find_brand(self._catalogue, model)
        if swapped is not None:
            text = f"{swapped.rest} {company}" if not swapped.rest else swapped.rest
            reading = self._read_in_brand(self._catalogue.brands[swapped.name], text.strip())
            if reading.match in {Match.EXACT, Match.ALIAS}:
                return _demote(reading, Match.CORRECTED)
        whole = self._read_unique_model(join_names(company, model))
        tells = (
            designated_brand(company) is not None
            or self._owners.owner(compact(company)) is not None
        )
        if whole is not None and whole.match is not Match.UNKNOWN and tells:
            return whole
        if (typed := self._read_swapped(company, model)) is not None:
            return typed
        found = [VehicleName(reading.company, reading.model) for reading in fewest]
        if (owner := self._owners.owner(compact(model))) is not None:
            found.append(VehicleName(owner.name, owner.spellings[compact(model)]))
        match = Match.AMBIGUOUS if fewest else Match.UNKNOWN
        return NameReading(company, model, match, _some(found))

    def _read_swapped(self, company: str, model: str) -> NameReading | None:
        """Read a brand and a model that were typed with the keys of another keyboard."""
        found = find_brand(self._catalogue, swap_keys(company))
        if found is None or found.rest:
            return None
        brand = self._catalogue.brands[found.name]
        reading = self._known(brand, swap_keys(model))
        if reading is None or reading.match not in {Match.EXACT, Match.ALIAS}:
            return None
        return _demote(reading, Match.CORRECTED)

    def _read_with_brand(self, found: BrandReading, model: str) -> NameReading:
        """Read a model of a known brand; words after the brand may name the model, too."""
        brand = self._catalogue.brands[found.name]
        if compact(found.rest) == compact(model):
            model = found.rest
        alone = self._read_in_brand(brand, model)
        reading = alone
        first = find_known(brand, found.rest) if found.rest else None
        if first is not None and first.match is not Match.AMBIGUOUS:
            reading = self._combine(brand, first, alone, f"{found.rest} {model}")
        match = Match.ALIAS if found.rest else found.match
        return _demote(reading, match)

    def _combine(
        self, brand: Brand, first: ModelReading, alone: NameReading, text: str
    ) -> NameReading:
        """Read a model's name after the brand, `first`, together with the model's own text."""
        known = alone.match in {Match.EXACT, Match.ALIAS}
        if known and (alone.model == first.name or alone.model.startswith(f"{first.name} ")):
            return alone
        both = self._read_in_brand(brand, text)
        if not known or alone.model.isdigit() or both.model.startswith(f"{first.name} "):
            return both  # "classe c" and "220 cdi"
        cars = [VehicleName(brand.name, first.name), VehicleName(alone.company, alone.model)]
        return NameReading(brand.name, alone.model, Match.AMBIGUOUS, _some(cars))

    def _read_in_brand(self, brand: Brand, text: str) -> NameReading:
        """Read the model of a known brand, with the brand or another brand before it."""
        rest = "" if compact(text) in brand.exact else self._without_brand(brand, text)
        inner = self._known(brand, rest)
        if inner is not None:
            return _demote(inner, Match.ALIAS)
        return self._known(brand, text) or self._read_unknown_model(brand, rest or text)

    def _read_unknown_model(self, brand: Brand, text: str) -> NameReading:
        """Read a text that does not begin with a known model: a slip, or another brand's car."""
        reading = read_unknown(brand, text)
        first = text.partition(" ")[0]
        if reading.match is not Match.CORRECTED and first.isalpha() and len(first) >= _MIN_SWAPPED:
            swapped = self._known(brand, swap_keys(text))
            if swapped is not None and swapped.match is not Match.AMBIGUOUS:
                return _demote(swapped, Match.CORRECTED)
        own = [VehicleName(brand.name, name) for name in reading.suggestions]
        if (other := self._car_of_other_brand(brand, text)) is not None:
            is_own = other.company == brand.name  # "dacia", "renault logan"
            doubtful = NameReading(brand.name, text, Match.AMBIGUOUS, _some([other, *own]))
            return NameReading(brand.name, other.model, Match.ALIAS) if is_own else doubtful
        if others := self._popular_models(text):
            likely = [*others[:1], *own[:1], *others[1:], *own[1:]]
            return NameReading(brand.name, text, Match.UNKNOWN, _some(likely))
        other = self._namesake(text)
        if other is None or (own and not self._listings(other)):
            return NameReading(brand.name, reading.name, reading.match, _some(own))
        if reading.match is Match.CORRECTED:
            own = [VehicleName(brand.name, reading.name), *own]
            return NameReading(brand.name, text, Match.AMBIGUOUS, _some([*own, other]))
        return NameReading(brand.name, text, Match.UNKNOWN, _some([other, *own]))

    def _without_brand(self, brand: Brand, text: str) -> str:
        """The text without the brand before it, as "mazda 3" or "mazda3"; blank if it has none."""
        own = find_brand(self._catalogue, text)
        if own is not None and own.name == brand.name:
            return own.rest
        glued = glued_brands(self._catalogue, text)
        return next((rest for name, rest in glued if name == brand.name), "")

    def _known(self, brand: Brand, text: str) -> NameReading | None:
        """The reading of a known name, also of one that is sold under another brand."""
        if not text:
            return None
        pair, length = self._rebadged(brand, text)
        if pair is not None and length > 1:  # "500 abarth" is no 500
            return self._rebadged_reading(brand, pair, text.split(" ")[length:])
        known = find_known(brand, text)
        if known is not None:
            if (
                known.match is Match.ALIAS
                and (other := self._second_car(brand, known.name, text)) is not None
            ):
                cars = (VehicleName(brand.name, known.name), other)
                return NameReading(brand.name, text, Match.AMBIGUOUS, cars)
            suggested = _some(VehicleName(brand.name, name) for name in known.suggestions)
            return NameReading(brand.name, known.name, known.match, suggested)
        if pair is None:
            return None
        return self._rebadged_reading(brand, pair, text.split(" ")[length:])

    def _rebadged_reading(
        self, brand: Brand, pair: tuple[str, str], rest: Sequence[str]
    ) -> NameReading:
        """The reading of a car that is sold under another brand and the words behind it."""
        owner = self._catalogue.brands[pair[0]]
        car = VehicleName(*pair)
        other = self._owners.other_brands_model(owner, rest)  # "duster clio"
        if other is not None and other != car:
            text = " ".join([car.model, *rest])
            return NameReading(brand.name, text, Match.AMBIGUOUS, (car, other))
        read = find_known(owner, " ".join([car.model, *rest]))
        if read is None or read.match is not Match.AMBIGUOUS:
            return NameReading(*pair, Match.ALIAS)
        cars = _some(VehicleName(owner.name, name) for name in read.suggestions)
        return NameReading(owner.name, read.name, Match.AMBIGUOUS, cars)

    def _rebadged(self, brand: Brand, text: str) -> tuple[tuple[str, str] | None, int]:
        """The car of another brand that a text begins with, and the number of its words."""
        words = text.split(" ")
        for length in range(min(len(words), _MAX_NAME_WORDS), 0, -1):
            pair = self._catalogue.rebadged.get((brand.name, "".join(words[:length])))
            if pair is not None:
                return pair, length
        return None, 0

    def _car_of_other_brand(self, brand: Brand, text: str) -> VehicleName | None:
        """The car of another brand whose brand and model a text names; None if it names none."""
        found = find_brand(self._catalogue, text)
        if found is None or found.name == brand.name or not found.rest:
            return None
        other = self._catalogue.brands[found.name]
        if (rebadged := self._rebadged(other, found.rest)[0]) is not None:
            return VehicleName(*rebadged)  # "renault logan"
        known = find_known(other, found.rest)
        if known is None or known.name not in other.models:
            return None
        return VehicleName(other.name, known.name)

    def _second_car(self, brand: Brand, model: str, text: str) -> VehicleName | None:
        """The listed car of another brand behind a model, as in "logan ou renault clio"."""
        words = text.split(" ")
        for place in range(1, len(words)):
            rest = " ".join(words[place:])
            is_last = place == len(words) - 1  # "model 3 long range" names no Range Rover
            other = None if is_last else self._car_of_other_brand(brand, rest)
            if other is None and words[place - 1] in OR_WORDS:  # "leon ou golf 7"
                named = self._read_unique_model(rest)
                other = None if named is None else VehicleName(named.company, named.model)
            if other is None or other == VehicleName(brand.name, model):
                continue
            if self._listings(other):
                return other
        is_listed = model in brand.models and self._listings(VehicleName(brand.name, model))
        return self._owners.other_brands_model(brand, words[1:]) if is_listed else None

    def _listings(self, car: VehicleName) -> int:
        """Number of listings of a model; of all its generations, if it is one of them."""
        brand = self._catalogue.brands[car.company]
        is_generation = car.model in brand.generations
        return brand.popularity(car.model.rpartition(" ")[0] if is_generation else car.model)

    def _popular_models(self, text: str) -> tuple[VehicleName, ...]:
        """The most listed models of a brand whose name is the whole text; none if it is none."""
        found = find_brand(self._catalogue, text)
        if found is None or found.rest:
            return ()
        brand = self._catalogue.brands[found.name]
        names = sorted(brand.models, key=lambda name: -brand.popularity(name))
        return _some(VehicleName(brand.name, name) for name in names)

    def _designated_car(self, text: str) -> VehicleName | None:
        """The car of the brand that has such a designation, as "c220"; None if none has."""
        name = designated_brand(text)
        known = None if name is None else find_known(self._catalogue.brands[name], text)
        if name is None or known is None or known.match is Match.AMBIGUOUS:
            return None
        return VehicleName(name, known.name)

    def _namesake(self, text: str) -> VehicleName | None:
        """The most listed car that has exactly this model's name; None if there is none."""
        spelling = compact(text)
        is_mixed = spelling[0].isalpha() and spelling[-1].isdigit()
        if len(spelling) < MIN_UNIQUE_NAME and not is_mixed:
            return None
        owners = [self._catalogue.brands[name] for name in self._catalogue.owners.get(spelling, ())]
        best = max(owners, key=lambda each: each.popularity(each.spellings[spelling]), default=None)
        if best is None:
            return self._designated_car(text)
        name = best.spellings[spelling]
        is_known = not spelling.isdigit() or best.popularity(name) >= MIN_LISTINGS_OF_NUMBER
        return VehicleName(best.name, name) if is_known else None


def _demote(reading: NameReading, match: Match) -> NameReading:
    """The reading with the less certain of its match and `match`."""
    worse = max(reading.match, match, key=_CERTAINTY.index)
    if worse is reading.match:
        return reading
    return NameReading(reading.company, reading.model, worse, reading.suggestions)


def _some(names: Iterable[VehicleName]) -> tuple[VehicleName, ...]:
    """The first distinct names, no more than are suggested."""
    return tuple(dict.fromkeys(names))[:MAX_SUGGESTIONS]
