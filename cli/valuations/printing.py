"""Text output of a valuation."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.valuations.texts import number
from client.valuations import Valuation, Verdict
from shared.domain.valuation import NO_EFFECT
from shared.i18n.catalogue import mark, translate, translate_plural
from shared.i18n.languages import Language
from shared.i18n.numbers import COMMA
from shared.messages.names import format_city, format_name
from shared.messages.texts import choice_name
from shared.vehicles.names import display_names

TEXTS: Mapping[str, str] = {
    "interval": mark("{coverage:.0f}% between {low} and {high} MAD"),
    "data": mark("data until {data_as_of}, {months} months old"),
    "verdict": mark("{asking} MAD is {position}: {share} ({difference} MAD)"),
    "share": mark("{percentile:.0f}% of comparable cars ask less"),
    "almost-all-less": mark("almost all comparable cars ask less"),
    "almost-all-more": mark("almost all comparable cars ask more"),
    "unjudged": mark("{asking} MAD is not judged: the data have no listings of this model"),
    "unjudged-extrapolated": mark("{asking} MAD is not judged: the price is extrapolated"),
    "below_market": mark("below market"),
    "fair": mark("fair"),
    "above_market": mark("above market"),
    "not-stated": mark("not stated"),
    "own": mark("the next years, at its own pace of {km} km a year:"),
    "market": mark("the next years, at the market's pace of {km} km a year:"),
    "comparables": mark("typical cars that resemble it:"),
    "no-comparables": mark("no typical car resembles it"),
    "comparable": mark("{name} {years}, {kind}, {km} km: {price} MAD ({listings} listings){but}"),
    "but": mark("; {differs}"),
    "read-as": mark("read as{match}: {car}"),
    "alias": mark("another usual name"),
    "corrected": mark("corrected"),
    "ambiguous": mark("uncertain"),
    "unknown": mark("unknown name"),
    "suggestions": mark("did you mean: {names}?"),
    "note": mark("note: {text}"),
    NO_EFFECT: mark("no effect on this price: {fields}; the model's data say nothing about it"),
    "after-name": mark("{name}: {text}"),
}

DIFFERENCES: Mapping[str, str] = {
    "other_fuel": mark("other fuel"),
    "other_transmission": mark("other gearbox"),
    "older": mark("older"),
    "newer": mark("newer"),
    "fewer_km": mark("fewer kilometres"),
    "more_km": mark("more kilometres"),
    "cheaper": mark("cheaper"),
    "dearer": mark("dearer"),
}
"""In what a comparable differs, by `shared.domain.outlook.DifferenceReason`."""

LOWEST_PERCENTILE = 2.5
"""Percentiles range from here to 100 minus it, the outermost quantiles of an estimate."""
NAME_AND_YEAR = frozenset({"company", "model", "year"})
USUALLY_STATED = frozenset({"fuel", "transmission", "km_driven"})
"""Fields that are printed even if they are not stated."""

FIELD_NAMES: Mapping[str, str] = {
    "company": mark("brand"),
    "model": mark("model"),
    "year": mark("year"),
    "fuel": mark("fuel"),
    "transmission": mark("gearbox"),
    "km_driven": mark("kilometres"),
    "edition": mark("trim"),
    "owner": mark("owner"),
    "seller_type": mark("seller"),
    "mileage_mpg": mark("fuel economy (mpg)"),
    "engine_cc": mark("displacement (cc)"),
    "max_power_bhp": mark("power (bhp)"),
    "torque_nm": mark("torque (Nm)"),
    "fiscal_power_cv": mark("fiscal power (CV)"),
    "city": mark("city"),
    "condition": mark("condition"),
    "origin": mark("origin"),
    "doors": mark("doors"),
}


class _Texts:
    """The texts of `TEXTS` in one language."""

    def __init__(self, language: Language) -> None:
        self._language: Language = language

    def __getitem__(self, code: str) -> str:
        return translate(TEXTS[code], self._language)

    def get(self, code: str) -> str:
        """A text; the code itself if a newer service has sent it."""
        return self[code] if code in TEXTS else code


def valuation_lines(valuation: Valuation, language: Language) -> Iterator[str]:
    """The lines of price, interval, verdict, car as understood and requested extras."""
    texts = _Texts(language)
    yield f"{number(valuation.price_mad, language)} MAD"
    yield texts["interval"].format(
        coverage=100 * valuation.coverage,
        low=number(valuation.low_mad, language),
        high=number(valuation.high_mad, language),
    )
    if valuation.verdict is not None:
        yield _verdict_line(valuation.verdict, language, model_known=valuation.model_known)
    model = valuation.raw["model"]
    if model.get("data_age_months") is not None:
        yield texts["data"].format(data_as_of=model["data_as_of"], months=model["data_age_months"])
    yield from _reading_lines(valuation, language)
    for line in valuation.raw.get("explanation", ()):
        yield f"  {line}"
    for line in (valuation.raw.get("typical") or {}).get("explanation", ()):
        yield f"  {line}"
    if "depreciation" in valuation.raw:
        yield from _depreciation_lines(valuation.raw, language)
    if "comparables" in valuation.raw:
        yield from _comparable_lines(valuation.raw["comparables"], language)


def warning_lines(valuation: Valuation, language: Language) -> Iterator[str]:
    """The lines of the warnings, each with the field that it is about.

    The fields whose values have no effect share a line.
    """
    texts = _Texts(language)
    without_effect = []
    for warning in valuation.raw["warnings"]:
        feature = warning["pointer"].rsplit("/", 1)[-1]
        if warning.get("code") == NO_EFFECT:
            without_effect.append(_name(feature, language))
            continue
        text = warning["detail"]
        if feature:
            text = texts["after-name"].format(name=_name(feature, language), text=text)
        yield texts["note"].format(text=text)
    if without_effect:
        text = texts[NO_EFFECT].format(fields=COMMA[language].join(without_effect))
        yield texts["note"].format(text=text)


def _verdict_line(verdict: Verdict, language: Language, *, model_known: bool) -> str:
    texts = _Texts(language)
    # A service of an earlier release compares with the price of an unknown model.
    if verdict.percentile is None or not model_known:
        reason = "unjudged-extrapolated" if model_known else "unjudged"
        return texts[reason].format(asking=number(verdict.asking_price_mad, language))
    code = "share"
    if verdict.percentile <= LOWEST_PERCENTILE:
        code = "almost-all-more"
    elif verdict.percentile >= 100 - LOWEST_PERCENTILE:
        code = "almost-all-less"
    return texts["verdict"].format(
        asking=number(verdict.asking_price_mad, language),
        position=texts.get(verdict.position),
        share=texts[code].format(percentile=verdict.percentile),
        difference=number(verdict.difference_mad, language, sign="+"),
    )


def _reading_lines(valuation: Valuation, language: Language) -> Iterator[str]:
    """The car as it was understood, and the cars that may be meant instead."""
    texts, car = _Texts(language), valuation.read_as
    parts = [str(car.name), str(car.year)]
    for field in dataclasses.fields(car):
        value = getattr(car, field.name)
        if field.name in NAME_AND_YEAR or (value is None and field.name not in USUALLY_STATED):
            continue
        shown = _value({"feature": field.name, "value": value}, language)
        parts.append(f"{_name(field.name, language)} {shown}")
    match = "" if valuation.match == "exact" else f" ({texts[valuation.match]})"
    yield texts["read-as"].format(match=match, car=COMMA[language].join(parts))
    if valuation.suggestions:
        yield texts["suggestions"].format(
            names=COMMA[language].join(map(str, valuation.suggestions))
        )


def _depreciation_lines(answer: Mapping[str, Any], language: Language) -> Iterator[str]:
    texts, pace = _Texts(language), answer["depreciation_pace"]
    yield texts[pace["basis"]].format(km=number(pace["km_per_year"], language))
    for point in answer["depreciation"]:
        text = translate_plural(
            "in {years} year: {price} MAD ({low} to {high})",
            "in {years} years: {price} MAD ({low} to {high})",
            point["years"],
            language,
        )
        yield "  " + text.format(
            years=point["years"],
            price=number(point["price_mad"], language),
            low=number(point["interval"]["low"], language),
            high=number(point["interval"]["high"], language),
        )


def _comparable_lines(found: Sequence[Mapping[str, Any]], language: Language) -> Iterator[str]:
    texts = _Texts(language)
    yield texts["comparables" if found else "no-comparables"]
    for one in found:
        first, last = one["year_from"], one["year_to"]
        kind = COMMA[language].join(
            _word_of(one[name], language) for name in ("fuel", "transmission")
        )
        differs = [
            translate(DIFFERENCES.get(each, each), language) for each in one.get("differs", ())
        ]
        yield "  " + texts["comparable"].format(
            kind=kind.lower() if language == "fr" else kind,
            but=texts["but"].format(differs=COMMA[language].join(differs)) if differs else "",
            name=" ".join(display_names(one["company"], one["model"])),
            years=first if first == last else f"{first}-{last}",
            km=number(one["km_driven"], language),
            price=number(one["price_mad"], language),
            listings=one["listings"],
        )


def _name(feature: str, language: Language) -> str:
    return translate(FIELD_NAMES.get(feature, feature), language)


def _value(part: Mapping[str, Any], language: Language) -> str:
    value = part["value"]
    if value is None:
        return _Texts(language)["not-stated"]
    if part["feature"] == "city":
        return format_city(str(value))
    if part["feature"] == "edition":
        return format_name(str(value))
    if part["feature"] == "km_driven":
        return number(value, language)
    if isinstance(value, str):
        return _word_of(value, language)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _word_of(value: str, language: Language) -> str:
    """A word of a category; a word of a newer service unchanged."""
    return choice_name(value, language)
