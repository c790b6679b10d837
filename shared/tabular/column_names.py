"""What the name of a column says: the field of the car, its unit, and how it was recognised."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

from shared.domain.car import FIELD_NAMES
from shared.domain.names import fold, fold_script
from shared.fields import header_names
from shared.fields.car import CAR_FIELDS
from shared.fields.prices import find_currency
from shared.fields.units import find_unit

ASKING_PRICE = "asking_price_mad"
NAME_MAX_CHARS = 200
"""A longer text is not looked up as a column name."""

NEAR_MIN_CHARS = 5
"""Shorter names are not matched by similarity: one letter is too large a part of them."""

UNIT_FIELDS = ("mileage_mpg", "km_driven", "max_power_bhp", "torque_nm")
"""Fields that a unit alone names, as in `kW`."""

DBASE_NAME_CHARS = 10
_NAMED_FIELDS = ("seller_type", "city")
"""Fields of people and places: `seller.name` is no kind of seller."""

_BRACKETED = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Ý][a-zà-ÿ])|(?<=[a-zà-ÿ]{2})(?=[A-ZÀ-Ý])")
_LETTERS = str.maketrans("ıłŁøØđĐ", "ilLoOdD")
"""Letters that have no accent to take off."""

_SEPARATORS = re.compile(r"[\s_,;:-]+")
_LOST = re.compile(r"[?\ufffd]+")
_UNIT_TOKENS = 3
"""Words of the longest unit in a name: `l 100 km`."""


_NUMBERED = re.compile(
    r"[(\[]?(?P<code>[A-Z](?:\.?\d){0,2}|\d{1,2}(?=[.):]|\s-))[)\]]?\s*[.):_\s-]+(?P<name>[^\W\d].*)"
)
_TECHNICAL_END = re.compile(r"__(?:c|r|pc)\b(?=$|\.)", re.IGNORECASE)
"""Of the names of Salesforce's own fields and relations: `Vehicle__r.Make__c`."""

_JOINTS = "_.:/ |-"
_AFFIX_WORDS = re.compile(rf"[^{_JOINTS}]+[{_JOINTS}]*")
AFFIX_MAX_WORDS, MIN_SHARING, MIN_GAINED, MIN_CODES = 3, 3, 2, 2


class NamedField(NamedTuple):
    """The field that a column's name means."""

    field: str
    basis: str
    """One of `shared.domain.table.ColumnMatch`."""
    unit: str | None = None
    """The unit that the name states, if it states one."""


def split_words(name: str) -> str:
    """A name in `camelCase` as words."""
    return _CAMEL.sub(" ", name)


def header_key(name: str) -> str:
    """The normal form of a column's name: words without accents, plurals and words like "of".

    >>> header_key("fuelType"), header_key("Boîte de vitesses"), header_key("car_name")
    ('fuel type', 'boite vitesse', 'name')
    >>> header_key("الموديل"), header_key("Véhicule")
    ('الموديل', 'vehicule')
    """
    return _header_key(name[:NAME_MAX_CHARS])


@lru_cache(maxsize=4096)
def _header_key(name: str) -> str:
    spaced = split_words(name).translate(_LETTERS)
    words = (fold(spaced) or fold_script(spaced)).split()
    forms = [header_names.WORD_FORMS.get(word, word) for word in words]
    kept = [word for word in forms[:-1] if word not in header_names.IGNORED_WORDS]
    if forms and (len(forms[-1]) == 1 or forms[-1] not in header_names.IGNORED_WORDS or not kept):
        kept.append(forms[-1])  # a letter at the end is a unit: `km/l`
    return " ".join(_singular(word) for word in kept)


def _singular(word: str) -> str:
    is_plural = len(word) > len("kms") and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if is_plural and word.isascii() else word


def keys_of(names: str) -> Iterator[str]:
    """The normal forms of comma-separated names."""
    return (header_key(name) for name in names.split(", "))


def _fields_by_key() -> dict[str, str]:
    fields: dict[str, str] = {}
    for name in (*FIELD_NAMES, ASKING_PRICE):
        own = map(header_key, (*CAR_FIELDS[name].names, name))
        for key in (*own, *keys_of(header_names.HEADER_NAMES.get(name, name))):
            fields.setdefault(key, name)
    fields |= dict.fromkeys(keys_of(header_names.DATE_NAMES), "year")
    return fields


FIELD_BY_KEY: Mapping[str, str] = _fields_by_key()
"""The field of every known name, by its normal form."""

USUAL_KEYS = frozenset(
    header_key(name) for field in FIELD_NAMES for name in (*CAR_FIELDS[field].names, field)
)
"""Normal forms of the names that a field itself has, without synonyms."""

_LONG_KEYS = [key for key in FIELD_BY_KEY if len(key) >= NEAR_MIN_CHARS]
DATE_KEYS = frozenset(keys_of(header_names.DATE_NAMES))
TITLE_KEYS = frozenset(keys_of(header_names.TITLE_NAMES))
POWER_KEYS = frozenset(keys_of(header_names.POWER_NAMES))
MILEAGE_KEYS = frozenset(keys_of(header_names.MILEAGE_NAMES))
CURRENCY_KEYS = frozenset(keys_of(header_names.CURRENCY_NAMES))
_CONSUMPTION_KEYS = frozenset(keys_of(header_names.CONSUMPTION_NAMES))
_BY_COMPACT = {
    key.replace(" ", ""): field for key, field in reversed(list(FIELD_BY_KEY.items())) if " " in key
}
"""Names whose words are not separated, as in `fueltype`."""


def read_name(name: str) -> NamedField | None:
    """The field that a column's name means; None if it means none, or several.

    >>> read_name("Kilométrage (km)")
    NamedField(field='km_driven', basis='alias-and-unit', unit='km')
    >>> read_name("fuel_type"), read_name("colour")
    (NamedField(field='fuel', basis='alias', unit=None), None)
    """
    return _read_name(name) if 0 < len(name) <= NAME_MAX_CHARS else None


@lru_cache(maxsize=4096)
def _read_name(name: str) -> NamedField | None:
    if name in CAR_FIELDS:
        return NamedField(name, "name")
    key = header_key(name)
    field = _known_field(key)
    if field is not None:
        return NamedField(field, "date" if key in DATE_KEYS else "alias", _stated_unit(field, name))
    bracketed = [inside.strip() for inside in _BRACKETED.findall(name)]
    if bracketed:
        return _read_with_brackets(_BRACKETED.sub(" ", name), bracketed)
    return (
        _read_with_tail(name, key)
        or _read_last_part(name)
        or _read_cut_name(name, key)
        or _read_numbered(name)
    )


def _known_field(key: str) -> str | None:
    return FIELD_BY_KEY.get(key) or (_BY_COMPACT.get(key) if " " not in key else None)


def _tails(name: str) -> Iterator[tuple[str, str]]:
    """A name without its last words, and these, the longest tail first."""
    words = _SEPARATORS.split(split_words(name).strip())
    for count in range(min(_UNIT_TOKENS, len(words) - 1), 0, -1):
        yield " ".join(words[:-count]), " ".join(words[-count:])


def _stated_unit(field: str, name: str) -> str | None:
    """The unit that the last words of a known name state, as in `mileage km`."""
    texts = [name, *(tail for _, tail in _tails(name)), *_BRACKETED.findall(name)]
    return next(filter(None, (find_unit(field, text) for text in texts)), None)


def _read_with_brackets(outside: str, inside: list[str]) -> NamedField | None:
    found = _read_with_unit(header_key(outside), inside)
    if found is None and outside.strip():
        found = read_name(outside.strip())
    if found is None:  # a translation, as in "الماركة (Marque)"
        found = next(filter(None, map(read_name, inside)), None)
    return found


def _read_with_unit(key: str, units: Sequence[str]) -> NamedField | None:
    """The field of a name beside which a unit, or another remark, stands."""
    if key in _CONSUMPTION_KEYS or key in MILEAGE_KEYS or key in POWER_KEYS:
        return _read_unit_column(key, units)
    field = _known_field(key)
    if field is None:
        return None
    unit = next(filter(None, (find_unit(field, text) for text in units)), None)
    return NamedField(field, "date" if key in DATE_KEYS else "alias-and-unit", unit)


def _read_unit_column(key: str, units: Iterable[str]) -> NamedField | None:
    """A column whose field depends on its unit: `Mileage (mi)`, `Puissance (kW)`."""
    fields = ["max_power_bhp"] if key in POWER_KEYS else ["mileage_mpg"]
    if key in MILEAGE_KEYS:
        fields = ["km_driven", "mileage_mpg"]
    for unit in units:
        for field in fields:
            found = find_unit(field, unit)
            if found is not None and fold(unit) != "cv":
                return NamedField(field, "alias-and-unit", found)
    return None


def is_mileage(name: str) -> bool:
    """Whether a name, perhaps that of a member of an object, is "mileage" or the like."""
    if len(name) > NAME_MAX_CHARS:
        return False
    own = split_nested(name)[1]
    return any(header_key(each).removesuffix(" amount") in MILEAGE_KEYS for each in (name, own))


def split_nested(name: str) -> tuple[str, str]:
    """The names of the objects around a member, and its own name.

    >>> split_nested("vehicle.make"), split_nested("make")
    (('vehicle', 'make'), ('', 'make'))
    """
    outer, _, last = name.replace("/", ".").rpartition(".")
    return (outer, last) if outer.strip() and last.strip() else ("", name)


def are_of_two_objects(name: str, other: str) -> bool:
    """Whether two names are of members of different objects: `car.model` and `tradeIn.model`."""
    outer, other_outer = split_nested(name)[0], split_nested(other)[0]
    return bool(outer and other_outer) and outer != other_outer


def _read_last_part(name: str) -> NamedField | None:
    """A flattened name: `specs.fuel`, `vehicle/make`."""
    *outer, last = [part.strip() for part in re.split(r"[./>|:]+", name) if part.strip()] or [""]
    if not outer:
        return None
    found = read_name(last)
    if header_key(last) == "amount" and header_key(outer[-1]) in MILEAGE_KEYS | FIELD_BY_KEY.keys():
        return read_name(outer[-1])
    if found is None and header_key(last) in header_names.GENERIC_PARTS:
        found = read_name(outer[-1])
        if found is not None and found.field in _NAMED_FIELDS and header_key(last) != "type":
            return None
    return found


def _read_cut_name(name: str, key: str) -> NamedField | None:
    """A name of a dBase file, which is cut after ten characters: `KILOMETRAG`."""
    if len(name) != DBASE_NAME_CHARS or not name.isupper():
        return None
    fields = {field for known, field in FIELD_BY_KEY.items() if known.startswith(key)}
    return NamedField(fields.pop(), "near") if len(fields) == 1 else None


def _read_numbered(name: str) -> NamedField | None:
    """A name behind a number, or a code of a registration certificate: `D.1 Marque`."""
    found = _NUMBERED.fullmatch(name)
    named = read_name(found["name"]) if found else None
    if found and named is not None and found["code"] in {"P.2", "P2"} and named.unit is None:
        return named._replace(unit="kW") if named.field == "max_power_bhp" else None
    return named


def plain_names(header: Sequence[str]) -> tuple[Sequence[str], str]:
    """The names of a header as they are read: without a beginning or end that they share.

    `vehica_make` and `vehica_model` are read as `make` and `model` if the header has no names of
    the needed fields without that beginning. The codes of registration certificates are read as
    names if there are several. The second value is what was left out; mostly empty.
    """
    if sum(name in header_names.CERTIFICATE_CODES for name in header) >= MIN_CODES:
        return [header_names.CERTIFICATE_CODES.get(name, name) for name in header], ""
    names = [_TECHNICAL_END.sub("", name) for name in header]
    known = _known_fields(names)
    if known.issuperset({"year", "model"}):
        return names, ""
    best, left_out = names, ""
    spaced = [split_words(name) for name in names]
    cars: list[set[int]] = []
    for affix in _shared_affixes(spaced):
        plain = [_without(name, affix) for name in spaced]
        found = _known_fields(plain)
        if found.issuperset({"company", "model", "year"}):
            cars.append({at for at, name in enumerate(plain) if name != spaced[at]})
        if len(found) >= max(len(known) + MIN_GAINED, MIN_SHARING):
            best, left_out, known = plain, affix, found
    if any(one.isdisjoint(other) for one, other in itertools.combinations(cars, 2)):
        return names, ""  # two cars a row, as in `first_make` and `second_make`
    return best, left_out


def _known_fields(names: Iterable[str]) -> set[str]:
    return {found.field for name in names if name and (found := read_name(name)) is not None}


def _shared_affixes(names: Sequence[str]) -> Iterator[str]:
    """Beginnings (`vehica_`) and ends (`_vehicle`) of several names, of up to three words."""
    counts: Counter[str] = Counter()
    for name in names:
        words = _AFFIX_WORDS.findall(name[:NAME_MAX_CHARS])
        for count in range(1, min(AFFIX_MAX_WORDS, len(words) - 1) + 1):
            counts["".join(words[:count])] += 1
            end = "".join(words[-count:])
            before = name[: len(name) - len(end)]
            counts[before[len(before.rstrip(_JOINTS)) :] + end] += 1
    for affix, count in counts.items():
        means_others = header_names.OTHERS_WORDS.intersection(fold(affix).split())
        if count >= MIN_SHARING and not means_others and read_name(affix.strip(_JOINTS)) is None:
            yield affix


def _without(name: str, affix: str) -> str:
    starts = affix[-1:] in _JOINTS
    plain = name.removeprefix(affix) if starts else name.removesuffix(affix)
    return plain or name


def _read_with_tail(name: str, key: str) -> NamedField | None:
    """A name that ends with a unit: `puissance kw`; or a unit alone."""
    for field in UNIT_FIELDS:
        unit = find_unit(field, name)
        if unit is not None and key not in POWER_KEYS:
            return NamedField(field, "alias-and-unit", unit)
    if find_currency(split_words(name)) is not None:
        named = " ".join(word for word in key.split() if find_currency(word) is None)
        if _known_field(named) == ASKING_PRICE:
            return NamedField(ASKING_PRICE, "alias-and-unit")
    for head, tail in _tails(name):
        found = _read_with_unit(header_key(head), [tail])
        if found is not None and found.unit is not None:
            return found
    return None


def key_of_measured(name: str, words: AbstractSet[str] = header_names.UNIT_WORDS) -> str | None:
    """The normal form of the name of the column whose unit a column states, by its own name.

    Empty if the name does not say which column; None if it is no name of a column of units.

    >>> key_of_measured("mileageUnitCode"), key_of_measured("Unité"), key_of_measured("km")
    ('mileage', '', None)
    """
    found = header_key(name).split()
    if words.isdisjoint(found):
        return None
    rest = (word for word in found if word not in words)
    return " ".join(word for word in rest if word not in header_names.UNIT_REMARKS)


def unit_among_words(field: str, name: str) -> str | None:
    """The unit of a field that a word of a column's name states: `km_driven`."""
    return next(filter(None, (find_unit(field, word) for word in header_key(name).split())), None)


def field_for_header(header: str) -> str | None:
    """The field of the car for a column's name; None if there is none.

    >>> field_for_header("Kilométrage (km)"), field_for_header("KM"), field_for_header("colour")
    ('km_driven', 'km_driven', None)
    """
    found = read_name(header)
    return None if found is None or found.field == ASKING_PRICE else found.field


def near_field(name: str, fields: Iterable[str]) -> str | None:
    """The only one of `fields` whose name is one letter away from a column's name.

    Signs that stand for letters which were lost count as such letters: `Mod?le`.

    >>> near_field("Modelle", ["model"]), near_field("Constructuer", ["company", "model"])
    ('model', 'company')
    """
    wanted = set(fields)
    key = header_key(_LOST.sub("q", name))
    lost = len(_LOST.findall(name))
    if len(key) < NEAR_MIN_CHARS or len(name) > NAME_MAX_CHARS:
        return None
    found = process.extract(
        key, _LONG_KEYS, scorer=OSA.distance, score_cutoff=max(1, lost), limit=None
    )
    near = {FIELD_BY_KEY[known] for known, *_ in found}
    return near.pop() if len(near) == 1 and near <= wanted else None


def find_column(header: Sequence[str], wanted: str) -> int | None:
    """Index of a column by its position (`#3`), its name, or another spelling of its name."""
    if wanted in header:
        return list(header).index(wanted)
    position = wanted.removeprefix("#")
    is_number = position.isascii() and position.isdigit() and len(position) < len("10000")
    if wanted.startswith("#") and is_number:
        return int(position) - 1 if 1 <= int(position) <= len(header) else None
    for spelling in (fold, header_key):
        names = [spelling(name) for name in header]
        if spelling(wanted) and spelling(wanted) in names:
            return names.index(spelling(wanted))
    return None
