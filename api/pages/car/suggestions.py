"""What the form suggests without JavaScript: names in lists, and usual values as hints."""

from collections.abc import Mapping
from typing import Any

from api.pages.car.reading import format_value
from api.pages.language import gettext as _
from api.pages.typography import format_percent
from api.suggestions.active import active_folder, find_usual_values
from api.suggestions.search import known_brand, suggest_models, suggest_trims
from api.suggestions.usual import Share, UsualValues
from api.suggestions.vocabulary import Name, vocabulary

MAX_BRANDS = 140
MAX_MODELS = 80
"""Models of all brands, by frequency: enough for nine listings in ten, and a small page."""
MAX_TRIMS = 12
USUAL_FIELDS = ("fuel", "transmission", "fiscal_power_cv", "km_driven")
"""Fields that have usual values."""
MAX_USUAL = 2
"""Usual values of a field that are named."""


def field_options(values: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """The suggestions for brand, model and trim, the most frequent first.

    Args:
        values: raw values of the form; once it has a brand, only its models are suggested.
    """
    folder = active_folder()
    words = vocabulary(folder)
    company, model = values.get("company", ""), values.get("model", "")
    own = words.brand_models(known_brand(company)) if company else ()
    models = own or suggest_models(folder, "", "", MAX_MODELS)
    trims = suggest_trims(folder, company, model, "", MAX_TRIMS)
    return {
        "company": [{"value": one.value, "label": ""} for one in words.brands[:MAX_BRANDS]],
        "model": [_option(one, is_of_brand=bool(own)) for one in models],
        "edition": [{"value": one.value, "label": ""} for one in trims],
    }


def usual_hints(values: Mapping[str, str]) -> dict[str, str]:
    """A sentence on what is usual for the car, by field; empty until brand, model and year are set.

    They are never entered: a price is better with what the car has than with what is usual.
    """
    company, model, year = (values.get(name, "").strip() for name in ("company", "model", "year"))
    if not (company and model and len(year) == len("2018") and year.isdecimal()):
        return {}
    usual = find_usual_values(company, model, int(year))
    texts = {name: _usual_text(name, usual) for name in USUAL_FIELDS}
    return {name: _("Usual: {values}").format(values=text) for name, text in texts.items() if text}


def _usual_text(name: str, usual: UsualValues) -> str:
    if name == "km_driven":
        return "" if usual.km_driven is None else format_value(name, usual.km_driven)
    shares: tuple[Share, ...] = getattr(usual, name)
    texts = [
        f"{format_value(name, one.value)} ({format_percent(100 * one.share)})"
        for one in shares[:MAX_USUAL]
    ]
    return " · ".join(texts)


def _option(name: Name, *, is_of_brand: bool) -> dict[str, Any]:
    return {"value": name.value, "label": "" if is_of_brand else name.company}
