"""What the page shows of an estimate: texts, and positions of the drawing in percent."""

from collections.abc import Mapping
from typing import Any

from api.pages.car.explanation import explanation_table
from api.pages.car.outlook import build_comparable, build_mileages, build_outlook
from api.pages.car.reading import (
    NAME_WARNINGS,
    build_reading,
    car_name,
    main_facts,
    missing_fields,
    other_facts,
)
from api.pages.language import gettext as _
from api.pages.language import ngettext, page_language
from api.pages.typography import (
    format_amount,
    format_centimes,
    format_number,
    format_percent,
    format_price,
    join_words,
    round_price,
)
from shared.domain.valuation import (
    CALIBRATION_HORIZON_MONTHS,
    DATA_OLD,
    NO_EFFECT,
    CarRequest,
    Estimate,
    PriceInterval,
    Verdict,
    VerdictPosition,
    width_age_months,
)
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark
from shared.i18n.languages import direction
from shared.messages.texts import describe_warning

MARGIN = 0.08
"""Margin beside the interval in the drawing, as a share of its width."""
REACH = 0.6
"""How far the drawing extends to an asking price outside, as a share of the width."""
SUSPICIOUS_PERCENTILE = 5.0
"""Up to this percentile an asking price is marked as suspiciously low."""

_SHOWN_ELSEWHERE = NAME_WARNINGS | {"missing-field", "model-unknown", "brand-unknown"}
_UNJUDGED = mark("Without listings of this model in the data, nothing says how it compares.")
_UNJUDGED_EXTRAPOLATED = mark(
    "Hardly any listing of this model comes near this car: nothing says how it compares."
)
VERDICTS = {
    VerdictPosition.BELOW: mark("Below the market"),
    VerdictPosition.FAIR: mark("Within the market"),
    VerdictPosition.ABOVE: mark("Above the market"),
}


def build_result(
    request: CarRequest, estimate: Estimate, values: Mapping[str, str]
) -> dict[str, Any]:
    """What the page shows of one valued car; amounts are texts without currency.

    Args:
        request: the car and the asking price.
        estimate: of the model.
        values: raw form values.
    """
    interval, half = estimate.interval(), estimate.interval(0.50)
    asking = request.asking_price_mad
    depreciation = estimate.depreciation
    return {
        "car": car_name(request, estimate, values),
        "facts": main_facts(request.car),
        "other_facts": other_facts(request.car),
        "reading": build_reading(request, estimate, values),
        "missing": missing_fields(request),
        "price_mad": round_price(estimate.price_mad),
        "price": format_number(round_price(estimate.price_mad)),
        "price_text": format_price(estimate.price_mad),
        "centimes": format_centimes(estimate.price_mad),
        "low": format_number(round_price(interval.low_mad)),
        "high": format_number(round_price(interval.high_mad)),
        "fair_low": format_number(round_price(half.low_mad)),
        "fair_high": format_number(round_price(half.high_mad)),
        "drawing": _drawing(estimate, interval, asking),
        "model_known": estimate.model_known,
        "brand_known": "company" not in estimate.unpriced,
        "verdict": None if asking is None else _verdict(estimate.verdict(asking), estimate),
        "warnings": _warnings(request, estimate),
        "outlook": depreciation and build_outlook(estimate, depreciation, request.car.km_driven),
        "mileages": estimate.typical
        and build_mileages(estimate, estimate.typical, request.car.km_driven),
        "comparables": [build_comparable(one) for one in estimate.comparables or ()],
        "month": estimate.month,
        "estimate": estimate,
        "explanation": explanation_table(estimate, request.car),
    }


def data_age_warnings(data_as_of: str, estimate: Estimate) -> list[str]:
    """The sentence on data beyond `CALIBRATION_HORIZON_MONTHS`; empty if they are not."""
    months = width_age_months(data_as_of, estimate)
    if months is None or months <= CALIBRATION_HORIZON_MONTHS:
        return []
    return [describe_warning({"pointer": "", "code": DATA_OLD, "months": months}, page_language())]


def _drawing(estimate: Estimate, interval: PriceInterval, asking: float | None) -> dict[str, Any]:
    """Horizontal positions, percent of the width of the drawing."""
    low, high = interval.low_mad, interval.high_mad
    width = max(high - low, 1.0)
    start, end = low, high
    if asking is not None:
        start = min(start, max(asking, low - REACH * width))
        end = max(end, min(asking, high + REACH * width))
    start, end = start - MARGIN * width, end + MARGIN * width

    is_mirrored = direction(page_language()) == "rtl"

    def position(price_mad: float) -> float:
        place = round(100 * min(max((price_mad - start) / (end - start), 0.01), 0.99), 2)
        return round(100 - place, 2) if is_mirrored else place

    fair = estimate.interval(0.50)
    drawing: dict[str, Any] = {
        "is_mirrored": is_mirrored,
        "low": position(low),
        "fair_low": position(fair.low_mad),
        "price": position(estimate.price_mad),
        "fair_high": position(fair.high_mad),
        "high": position(high),
    }
    if asking is None:
        return drawing
    # `text-anchor` of the label, so that it stays inside.
    asking_at, anchor = position(asking), "middle"
    if not 25 <= asking_at <= 75:  # noqa: PLR2004 (quarters of 100)
        anchor = "start" if asking_at < 50 else "end"  # noqa: PLR2004 (half of 100)
    is_beyond = not start <= asking <= end
    return {**drawing, "asking": asking_at, "asking_anchor": anchor, "is_beyond": is_beyond}


def _verdict(verdict: Verdict, estimate: Estimate) -> dict[str, Any]:
    asking = format_amount(verdict.asking_price_mad)
    if verdict.percentile is None:
        return {
            "position": "unknown",
            "title": _("Asking price not judged"),
            "asking": asking,
            "difference": _(_UNJUDGED_EXTRAPOLATED if estimate.model_known else _UNJUDGED),
            "percentile": "",
            "is_suspicious": False,
        }
    return {
        "position": str(verdict.position).replace("_", "-"),
        "title": _(VERDICTS[verdict.position]),
        "asking": asking,
        "difference": _difference(verdict.difference_mad, estimate.price_mad),
        "percentile": _percentile(verdict.percentile),
        "is_suspicious": verdict.percentile <= SUSPICIOUS_PERCENTILE,
    }


def _difference(difference_mad: float, price_mad: float) -> str:
    share = round(100 * difference_mad / price_mad)
    if share == 0:
        return _("The price asked is at the level of the estimate.")
    text = _("The price asked is {amount} less than the estimate ({percent}).")
    if difference_mad > 0:
        text = _("The price asked is {amount} more than the estimate ({percent}).")
    percent = format_percent(share, signed=True)
    return text.format(amount=format_price(abs(difference_mad)), percent=percent)


def _percentile(percentile: float) -> str:
    if percentile <= 2.5:  # noqa: PLR2004 (lowest quantile of an estimate)
        return _("Almost all comparable cars are offered for more.")
    if percentile >= 97.5:  # noqa: PLR2004 (highest quantile)
        return _("Almost all comparable cars are offered for less.")
    text = _("About {share} of comparable cars are offered for less.")
    return text.format(share=format_percent(percentile))


def _warnings(request: CarRequest, estimate: Estimate) -> list[str]:
    """The warnings that the page shows as a list; one for all fields without an effect."""
    found = request.warnings_with(estimate)
    texts = [
        _warning(warning)
        for warning in found
        if warning["code"] not in _SHOWN_ELSEWHERE | {NO_EFFECT}
    ]
    without = [one["pointer"].lstrip("/") for one in found if one["code"] == NO_EFFECT]
    if without:
        names = join_words([CAR_FIELDS[name].label(page_language()) for name in without])
        text = ngettext(
            "Without effect on this price: {names}. The model does not know this value.",
            "Without effect on this price: {names}. The model does not know these values.",
            len(without),
        )
        texts.append(text.format(names=names))
    return texts


def _warning(warning: dict[str, Any]) -> str:
    name = warning["pointer"].rsplit("/", 1)[-1]
    text = describe_warning(warning, page_language())
    if not name:
        return text
    label = CAR_FIELDS[name].label(page_language()) if name in CAR_FIELDS else name
    return _("{label}: {value}").format(label=label, value=text)
