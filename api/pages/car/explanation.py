"""What the page shows of why a price is what it is: a start, effects with bars, and the price."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from api.pages.language import gettext as _
from api.pages.language import page_language
from api.pages.typography import format_amount
from shared.domain.car import CarFeatures
from shared.domain.valuation import Estimate
from shared.i18n.languages import direction
from shared.messages.explanations import explanation_lines
from shared.messages.typical import explain_by_typical

_HALF = 50.0
"""Half the width of the drawing of a bar, percent: bars begin in the middle."""


class Effect(NamedTuple):
    """One line of the table."""

    text: str
    reason: str
    amount_mad: int


def explanation_table(estimate: Estimate, car: CarFeatures) -> dict[str, Any] | None:
    """The table of effects against the typical car of that model and year.

    Where the data have no such car, it is against the average car of the market. None if the
    estimate has neither explanation.
    """
    language = page_language()
    if estimate.typical is not None:
        found = explain_by_typical(estimate, estimate.typical, car, language)
        effects = [Effect(_capital(line.text), "", line.amount_mad) for line in found.lines]
        caption = _(
            "Compared with the typical car of this model and year. The amounts are rounded to "
            "100 MAD and add up to the price."
        )
        return _table(caption, found.typical, found.typical_mad, effects)
    if estimate.explanation is None:
        return None
    base, *lines = explanation_lines(estimate, estimate.explanation, car, language)
    effects = [
        Effect(line.text, line.reason if line.is_compared else "", line.amount_mad)
        for line in lines
    ]
    caption = _(
        "There is no typical car of this model and year in the data: each stated feature is "
        "compared with the average car of the market. The amounts add up to the price."
    )
    return _table(caption, base.text, base.amount_mad, effects)


def _table(caption: str, base: str, base_mad: int, effects: Sequence[Effect]) -> dict[str, Any]:
    scale = _HALF / max([1, *(abs(one.amount_mad) for one in effects)])
    return {
        "caption": caption,
        "base": base,
        "base_price": format_amount(base_mad),
        "effects": [_effect(one, scale) for one in effects],
    }


def _effect(one: Effect, scale: float) -> dict[str, Any]:
    """An effect with its bar: gains point to the end of the line, losses to its start."""
    width = round(abs(one.amount_mad) * scale, 2)
    is_gain = one.amount_mad >= 0
    is_right = is_gain != (direction(page_language()) == "rtl")
    return {
        "text": one.text,
        "reason": one.reason,
        "amount": format_amount(one.amount_mad, signed=True),
        "is_gain": is_gain,
        "start": _HALF if is_right else round(_HALF - width, 2),
        "width": width,
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
