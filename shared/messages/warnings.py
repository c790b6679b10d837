"""Texts of warnings: what is remarked on a valuation, by code."""

from shared.domain.valuation import EXTRAPOLATED
from shared.i18n.catalogue import mark

WARNING_MESSAGES: dict[str, str] = {
    "unknown-field": mark("Unknown field, ignored."),
    "misnamed-field": mark("Unknown field, ignored; `{name}` may be meant."),
    "more-unknown-fields": mark("More unknown fields, ignored: {count}."),
    "unknown-category": mark("Unknown value, ignored; expected {expected}."),
    "litres": mark("Less than ten: read as litres and converted to cc."),
    "converted": mark("Converted from the unit that is stated."),
    "unpriced": mark(
        "Valued as a damaged car, for lack of comparable listings: a car for parts is worth less."
    ),
    "no-effect": mark("No effect on this price: the model's data say nothing about this value."),
    "unseen-in-model": mark(
        "Hardly any listing of this model has this value: its effect is derived from other "
        "cars, and the interval is widened."
    ),
    "extrapolated": mark(
        "Hardly any listing of this model is near this value: the price is extrapolated and "
        "less certain, and the interval is widened."
    ),
    "out-of-listed-range": mark(
        "Outside the range of all listings: the price is extrapolated and less certain, and "
        "the interval is widened."
    ),
    "misspelt": mark("Taken for a typing error: read as {read_as}."),
    "open-range": mark("Open range: a value inside it is assumed."),
    "km-high": mark(
        "Very high for the car's age; please check: with so many kilometres, the estimate "
        "is not reliable, even with a wider interval."
    ),
    "km-low": mark("Very low for the car's age; please check: are these thousands?"),
    "name-corrected": mark("Taken for a typing error: read as {read_as}."),
    "name-ambiguous": mark(
        "Uncertain model: nothing is assumed, the interval is wider; did you mean {suggestions}?"
    ),
    "name-partly-read": mark(
        "Uncertain model: valued as {read_as}, the rest of the name is not understood."
    ),
    "missing-field": mark(
        "{label} is not stated: the price is an average of what is usual for this car, and "
        "less certain."
    ),
    "model-unknown": mark(
        "Model not in the data: the price comes from the other fields, and the interval is "
        "wider; an asking price cannot be judged by it."
    ),
    "brand-unknown": mark("Brand not in the data either: the price can be far from the true one."),
    "data-old": mark(
        "Most listings of the model are at least {months} months old: the market may have "
        "changed since, and the interval is widened accordingly."
    ),
}

_BY_MODEL = frozenset({"year", "km_driven"})
"""Numbers that are compared with the listings of the car's model; others with all listings."""


def message_code(code: str, field: str) -> str:
    """The code of the message about a field: a number is extrapolated for two reasons."""
    if code == EXTRAPOLATED and field not in _BY_MODEL:
        return "out-of-listed-range"
    return code
