"""Names of units for people."""

from typing import Final

from shared.i18n.catalogue import mark_in_context, translate_in_context
from shared.i18n.languages import Language

CONTEXT: Final = "unit"
UNITS: Final = (
    mark_in_context("unit", "km"),
    mark_in_context("unit", "thousand km"),
    mark_in_context("unit", "cc"),
    mark_in_context("unit", "bhp"),
    mark_in_context("unit", "Nm"),
    mark_in_context("unit", "CV"),
    mark_in_context("unit", "mpg"),
    mark_in_context("unit", "MAD"),
)
"""The units of the car's fields, and those that notices name in words."""


def unit_name(unit: str, language: Language) -> str:
    """A unit as people write it: "ch" for bhp in French; an unknown one unchanged.

    >>> unit_name("cc", "fr"), unit_name("cc", "en")
    ('cm³', 'cc')
    """
    return translate_in_context(CONTEXT, unit, language)
