"""Units in which people state the numbers of a car, and their conversion into ours.

A unit is used only where it is stated: in a cell, or in the header of its column.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from shared.domain.names import clean_text


class Unit(NamedTuple):
    """A unit of one field."""

    name: str
    """Its name in `Dialect.units`."""
    factor: float
    """What one of it is in the field's own unit; 1 for the field's own unit."""
    spellings: str
    """How it is written, separated by spaces; each in the form of `_compact`."""
    is_inverse: bool = False
    """Whether the field's own unit is `factor` divided by the number (l/100 km)."""
    minimum: float = 0.0
    """Smaller numbers with this unit are of something else: "8 CV" is no engine power."""


THOUSAND_KM = "thousand km"
KM_PER_MILE = 1.609344
BHP_PER_METRIC_HP = 0.98632
BHP_PER_KW = 1.34102
CM3_PER_LITRE = 1000
MPG_PER_KMPL = 2.35214583
MPG_PER_IMPERIAL_MPG = 0.832674
NM_PER_KGM = 9.80665
NM_PER_LB_FT = 1.355818
MIN_METRIC_HP_AS_CV = 50
"""Fiscal powers, which are stated in CV too, are lower."""

FIELD_UNITS: Mapping[str, tuple[Unit, ...]] = {
    "km_driven": (
        Unit(
            "km", 1, "km kms kmt kilometre kilometres kilometer kilometers kilometro kilometros كم "
            "كلم كيلومتر كيلومترات",
        ),
        Unit("miles", KM_PER_MILE, "mi mile miles mls smi ميل اميال"),
        Unit(
            THOUSAND_KM, 1000, "x1000 kmx1000 x1000km 1000km tkm tsdkm enmilliers milliers "
            "enmilliersdekm milliersdekm millierskm thousands thousandkm thousandskm",
        ),
    ),
    "engine_cc": (
        Unit("cc", 1, "cc cm3 ccm cmc cmq cm^3 cucm centimetrescubes سيسي سم3"),
        Unit(
            "litres", CM3_PER_LITRE, "l litre litres liter liters ltr ltrs lt litro litros لتر",
        ),
    ),
    "max_power_bhp": (
        Unit("bhp", 1, "bhp hp whp"),
        Unit(
            "PS", BHP_PER_METRIC_HP, "ps ch chdin din pk cp hk km bg cheval chevaux "
            "chevauxdin pferdestarken حصان",
        ),
        Unit(
            "CV", BHP_PER_METRIC_HP, "cv cvdin cavalli caballos",
            minimum=MIN_METRIC_HP_AS_CV,
        ),
        Unit("kW", BHP_PER_KW, "kw kws kwt kilowatt kilowatts كيلوواط"),
    ),
    "mileage_mpg": (
        Unit("mpg", 1, "mpg mpgus usmpg mi/gal miles/gallon milespergallon"),
        Unit("mpg-imperial", MPG_PER_IMPERIAL_MPG, "mpguk mpgimp mpgimperial ukmpg impmpg"),
        Unit("km/l", MPG_PER_KMPL, "km/l kmpl kml km/litre km/liter km/ltr kmperlitre kmperliter"),
        # Gas cars: counted like litres, as the listings do from which the model learns.
        Unit("km/kg", MPG_PER_KMPL, "km/kg kmpkg kmperkg"),
        Unit(
            "l/100km", 100 * MPG_PER_KMPL, "l/100km l/100kms l/100 litres/100km litre/100km "
            "liter/100km litros/100km laux100 laux100km",
            is_inverse=True,
        ),
    ),
    "torque_nm": (
        Unit("Nm", 1, "nm newtonmetre newtonmetres newtonmeter newtonmeters نيوتنمتر"),
        Unit("kgm", NM_PER_KGM, "kgm kgfm mkg mkgf mkp"),
        Unit("lb-ft", NM_PER_LB_FT, "lbft lbsft lbfft ftlb ftlbs ftlbf poundfeet"),
    ),
    "fiscal_power_cv": (
        Unit(
            "CV", 1, "cv cvf ch chf cvfiscaux cvfiscal chfiscaux chevaux chevauxfiscaux حصان حصانا",
        ),
    ),
    "asking_price_mad": (Unit("MAD", 1, "mad dh dhs drh dirham dirhams درهم"),),
    "doors": (
        Unit(
            "doors", 1, "p porte portes door doors dr drs tur turen turig puertas ابواب "
            "باب",
        ),
    ),
}  # fmt: skip
"""The units of each field, its own first."""

UNSTATED = ""
"""In place of a unit's name: a number is read only if it states its unit itself."""

UNIT_MAX_CHARS = 40
_IGNORED_SIGNS = " \t\n\r\f\v\x1c\x1d\x1e\x1f.()*_-"
"""The ASCII characters of `_IGNORED`."""
_WITHOUT_IGNORED = str.maketrans("", "", _IGNORED_SIGNS)
_IGNORED = re.compile(r"[\s.()\u00b7\u22c5*_-]+")


def _compact(text: str) -> str:
    """A unit's text without case, spaces, dots and hyphens.

    >>> _compact("lb-ft"), _compact("N·m"), _compact("cm³"), _compact("mi.")
    ('lbft', 'nm', 'cm3', 'mi')
    """
    if text.isascii():
        return text.lower().translate(_WITHOUT_IGNORED)
    decomposed = unicodedata.normalize("NFKD", clean_text(text).casefold())
    return _IGNORED.sub("", "".join(c for c in decomposed if not unicodedata.combining(c)))


_BY_SPELLING: Mapping[str, Mapping[str, Unit]] = {
    field: {_compact(spelling): unit for unit in units for spelling in unit.spellings.split()}
    for field, units in FIELD_UNITS.items()
}
_FIRST_LETTERS: Mapping[str, frozenset[str]] = {
    field: frozenset(spelling[0] for spelling in spellings)
    for field, spellings in _BY_SPELLING.items()
}
_BY_NAME: Mapping[str, Mapping[str, Unit]] = {
    field: {unit.name: unit for unit in units} for field, units in FIELD_UNITS.items()
}


# Cells of a column repeat the words around their numbers, whether these are a unit or not.
@lru_cache(maxsize=4096)
def find_unit(field: str, text: str) -> str | None:
    """The name of the unit of a field that a text states; None if it states none.

    >>> find_unit("km_driven", "Miles"), find_unit("engine_cc", "cm³"), find_unit("doors", "kW")
    ('miles', 'cc', None)
    """
    known = _BY_SPELLING.get(field)
    if known is None or len(text) > UNIT_MAX_CHARS:
        return None
    if text.isascii() and text.strip(_IGNORED_SIGNS)[:1].lower() not in _FIRST_LETTERS[field]:
        return None
    unit = known.get(text) or known.get(_compact(text))
    return None if unit is None else unit.name


def own_unit(field: str) -> str | None:
    """The name of the unit in which the values of a field are kept; None if it has none."""
    units = FIELD_UNITS.get(field)
    return units[0].name if units else None


def convert(field: str, number: float, unit: str) -> float | None:
    """A number in the field's own unit; None if it cannot be one of this unit.

    Args:
        field: name of the field.
        number: in `unit`.
        unit: its name, one that `find_unit` returns.

    Raises:
        KeyError: the field has no such unit.

    >>> convert("km_driven", 1000, "miles"), convert("mileage_mpg", 10, "l/100km")
    (1609.344, 23.5214583)
    """
    known = _BY_NAME[field][unit]
    if number < known.minimum:
        return None
    if known.is_inverse:
        return known.factor / number if number > 0 else None
    return number * known.factor
