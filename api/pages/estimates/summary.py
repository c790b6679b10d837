"""A kept estimate in the words of the page: for documents, preview images and comparisons."""

import dataclasses
from collections.abc import Sequence

from api.pages.car.form import form_values
from api.pages.car.reading import car_name, format_value
from api.pages.language import gettext as _
from api.pages.language import page_language
from api.pages.typography import format_price, round_price
from shared.blobs.estimate_files import KeptEstimate
from shared.domain.valuation import CarRequest, Estimate, VerdictPosition
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark
from shared.messages.explanations import explain_in_words
from shared.messages.typical import typical_in_words

VERDICT_TITLES = {
    VerdictPosition.BELOW: mark("Below the market"),
    VerdictPosition.FAIR: mark("Within the market"),
    VerdictPosition.ABOVE: mark("Above the market"),
    VerdictPosition.UNCERTAIN: mark("Asking price not judged"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Texts about one estimate, in the language of the page."""

    car: str
    price_mad: int
    """Rounded to hundreds."""
    price: str
    low: str
    """Lower end of the interval."""
    high: str
    asking: str
    """The asking price; empty without one."""
    verdict: str
    """What is said of it; empty without one."""
    facts: Sequence[tuple[str, str, str]]
    """Name, label and value of every stated field except brand, model and year."""
    explanation: Sequence[str]
    """Sentences on the price."""


def summarize(kept: KeptEstimate) -> Summary:
    """The texts about a kept estimate; raises `ValueError` while it is not made."""
    valuation = kept.valuation()
    request, estimate = valuation.request, valuation.estimate
    interval, language = estimate.interval(), page_language()
    asking = request.asking_price_mad
    return Summary(
        car=car_name(request, estimate, form_values(request)),
        price_mad=round_price(estimate.price_mad),
        price=format_price(estimate.price_mad),
        low=format_price(interval.low_mad),
        high=format_price(interval.high_mad),
        asking="" if asking is None else format_price(asking),
        verdict="" if asking is None else _verdict(estimate, asking),
        facts=[
            (name, CAR_FIELDS[name].label(language), format_value(name, value))
            for name, value in request.car.to_dict().items()
            if name not in {"company", "model", "year"}
        ],
        explanation=_explanation(request, estimate),
    )


def interval_sentence(summary: Summary) -> str:
    """The interval in words."""
    text = _("Nine comparable cars in ten are offered between {low} and {high}.")
    return text.format(low=summary.low, high=summary.high)


def _explanation(request: CarRequest, estimate: Estimate) -> Sequence[str]:
    """Sentences on the price: against the typical car, where the data have one."""
    if estimate.typical is not None:
        return typical_in_words(estimate, estimate.typical, request.car, page_language())
    if estimate.explanation is not None:
        return explain_in_words(estimate, estimate.explanation, request.car, page_language())
    return ()


def _verdict(estimate: Estimate, asking_price_mad: float) -> str:
    return _(VERDICT_TITLES[estimate.verdict(asking_price_mad).position])
