"""Units in names of columns that are not those of the field: the numbers mean something else."""

import re

from shared.domain.text import fold

_THOUSANDS = ("millier", "milliers", "en milliers", "thousand", "thousands", "x1000", "x 1000", "k")
_FOREIGN = {
    "km_driven": ("mi", "mile", "miles", "en miles", *_THOUSANDS),
    "mileage_mpg": ("l 100", "l 100km", "l 100 km", "km l", "kmpl", "kml"),
    "engine_cc": ("ci", "cid", "cu in", "in3", "inch3"),
    "max_power_bhp": ("kw", "kilowatt", "kilowatts"),
    "torque_nm": ("lb ft", "lbft", "ft lb", "ftlb", "kgm", "mkg", "kg m"),
    "asking_price_mad": (
        "eur",
        "euro",
        "euros",
        "usd",
        "dollars",
        "gbp",
        "kdh",
        "kmad",
        *_THOUSANDS,
    ),
}
"""Folded, by field."""

_CURRENCY_SYMBOLS = re.compile("[€$£]")
"""Of currencies that are not the dirham's; folding leaves them out."""

_BRACKETED = re.compile(r"[(\[]([^()\[\]]*)[)\]]")


def foreign_unit(field: str, header: str) -> str | None:
    """The unit that a column's name has in brackets, if it is not one of the field's.

    >>> foreign_unit("km_driven", "Kilométrage (miles)"), foreign_unit("km_driven", "Km (km)")
    ('miles', None)
    >>> foreign_unit("asking_price_mad", "Prix €")
    '€'
    """
    units = _FOREIGN.get(field)
    if units is None:
        return None
    if field == "asking_price_mad" and (symbol := _CURRENCY_SYMBOLS.search(header)) is not None:
        return symbol[0]
    inside = (found.strip() for found in _BRACKETED.findall(header))
    return next((unit for unit in inside if fold(unit) in units), None)
