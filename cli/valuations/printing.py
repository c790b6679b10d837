"""Text output of a valuation, in French or English."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.valuations.texts import number
from client.valuations import Valuation, Verdict
from shared.domain.valuation import NO_EFFECT
from shared.fields.spellings import FRENCH_CHOICES
from shared.messages.names import format_city, format_name
from shared.vehicles.names import display_names

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "interval": "{coverage:.0f}% between {low} and {high} MAD",
        "data": "data until {data_as_of}, {months} months old",
        "verdict": "{asking} MAD is {position}: {share} ({difference} MAD)",
        "share": "{percentile:.0f}% of comparable cars ask less",
        "almost-all-less": "almost all comparable cars ask less",
        "almost-all-more": "almost all comparable cars ask more",
        "unjudged": "{asking} MAD is not judged: the data have no listings of this model",
        "unjudged-extrapolated": "{asking} MAD is not judged: the price is extrapolated",
        "below_market": "below market",
        "fair": "fair",
        "above_market": "above market",
        "not-stated": "not stated",
        "year": "in {years} year: {price} MAD ({low} to {high})",
        "years": "in {years} years: {price} MAD ({low} to {high})",
        "own": "the next years, at its own pace of {km} km a year:",
        "market": "the next years, at the market's pace of {km} km a year:",
        "comparables": "typical cars that resemble it:",
        "no-comparables": "no typical car resembles it",
        "comparable": "{name} {years}, {kind}, {km} km: {price} MAD ({listings} listings){but}",
        "but": "; {differs}",
        "read-as": "read as{match}: {car}",
        "alias": "another usual name",
        "corrected": "corrected",
        "ambiguous": "uncertain",
        "unknown": "unknown name",
        "suggestions": "did you mean: {names}?",
        "note": "note: {text}",
        NO_EFFECT: "no effect on this price: {fields}; the model's data say nothing about it",
        "colon": ": ",
    },
    "fr": {
        "interval": "{coverage:.0f} % entre {low} et {high} MAD",
        "data": "données jusqu'à {data_as_of}, il y a {months} mois",
        "verdict": "{asking} MAD, c'est {position} : {share} ({difference} MAD)",
        "share": "{percentile:.0f} % des voitures comparables sont proposées moins cher",
        "almost-all-less": "presque toutes les voitures comparables sont proposées moins cher",
        "almost-all-more": "presque toutes les voitures comparables sont proposées plus cher",
        "unjudged": "{asking} MAD, prix non jugé : les données n'ont pas d'annonces de ce modèle",
        "unjudged-extrapolated": "{asking} MAD, prix non jugé : l'estimation est extrapolée",
        "below_market": "en dessous du marché",
        "fair": "dans le marché",
        "above_market": "au-dessus du marché",
        "not-stated": "sans précision",
        "year": "dans {years} an : {price} MAD (de {low} à {high})",
        "years": "dans {years} ans : {price} MAD (de {low} à {high})",
        "own": "les prochaines années, à son propre rythme de {km} km par an :",
        "market": "les prochaines années, au rythme du marché de {km} km par an :",
        "comparables": "voitures typiques semblables :",
        "no-comparables": "aucune voiture typique ne lui ressemble",
        "comparable": "{name} {years}, {kind}, {km} km : {price} MAD ({listings} annonces){but}",
        "but": " ; {differs}",
        "read-as": "lue comme{match} : {car}",
        "alias": "autre nom usuel",
        "corrected": "corrigé",
        "ambiguous": "incertain",
        "unknown": "nom inconnu",
        "suggestions": "vouliez-vous dire : {names} ?",
        "note": "remarque : {text}",
        NO_EFFECT: "sans effet sur ce prix : {fields} ; les données du modèle n'en disent rien",
        "colon": " : ",
    },
}

DIFFERENCES: dict[str, dict[str, str]] = {
    "en": {
        "other_fuel": "other fuel",
        "other_transmission": "other gearbox",
        "older": "older",
        "newer": "newer",
        "fewer_km": "fewer kilometres",
        "more_km": "more kilometres",
        "cheaper": "cheaper",
        "dearer": "dearer",
    },
    "fr": {
        "other_fuel": "autre carburant",
        "other_transmission": "autre boîte de vitesses",
        "older": "plus ancienne",
        "newer": "plus récente",
        "fewer_km": "moins de kilomètres",
        "more_km": "plus de kilomètres",
        "cheaper": "moins chère",
        "dearer": "plus chère",
    },
}
"""In what a comparable differs, by `shared.domain.outlook.DifferenceReason`."""

LOWEST_PERCENTILE = 2.5
"""Percentiles range from here to 100 minus it, the outermost quantiles of an estimate."""
NAME_AND_YEAR = frozenset({"company", "model", "year"})
USUALLY_STATED = frozenset({"fuel", "transmission", "km_driven"})
"""Fields that are printed even if they are not stated."""

FRENCH_NAMES = {
    "company": "marque", "model": "modèle", "year": "année", "fuel": "carburant",
    "transmission": "boîte de vitesses", "km_driven": "kilométrage", "edition": "finition",
    "owner": "propriétaire", "seller_type": "vendeur", "mileage_mpg": "autonomie par gallon",
    "engine_cc": "cylindrée", "max_power_bhp": "puissance réelle", "torque_nm": "couple",
    "fiscal_power_cv": "puissance fiscale", "city": "ville", "condition": "état",
    "origin": "origine", "doors": "portes",
}  # fmt: skip


ENGLISH_NAMES = {
    "company": "brand", "model": "model", "year": "year", "fuel": "fuel",
    "transmission": "gearbox", "km_driven": "kilometres", "edition": "trim",
    "owner": "owner", "seller_type": "seller", "mileage_mpg": "fuel economy (mpg)",
    "engine_cc": "displacement (cc)", "max_power_bhp": "power (bhp)", "torque_nm": "torque (Nm)",
    "fiscal_power_cv": "fiscal power (CV)", "city": "city", "condition": "condition",
    "origin": "origin", "doors": "doors",
}  # fmt: skip


def valuation_lines(valuation: Valuation, language: str) -> Iterator[str]:
    """The lines of price, interval, verdict, car as understood and requested extras."""
    texts = TEXTS[language]
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


def warning_lines(valuation: Valuation, language: str) -> Iterator[str]:
    """The lines of the warnings, each with the field that it is about.

    The fields whose values have no effect share a line.
    """
    texts = TEXTS[language]
    without_effect = []
    for warning in valuation.raw["warnings"]:
        feature = warning["pointer"].rsplit("/", 1)[-1]
        if warning.get("code") == NO_EFFECT:
            without_effect.append(_name(feature, language))
            continue
        place = f"{_name(feature, language)}{texts['colon']}" if feature else ""
        yield texts["note"].format(text=f"{place}{warning['detail']}")
    if without_effect:
        text = texts[NO_EFFECT].format(fields=", ".join(without_effect))
        yield texts["note"].format(text=text)


def _verdict_line(verdict: Verdict, language: str, *, model_known: bool) -> str:
    texts = TEXTS[language]
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
        position=texts.get(verdict.position, verdict.position),
        share=texts[code].format(percentile=verdict.percentile),
        difference=number(verdict.difference_mad, language, sign="+"),
    )


def _reading_lines(valuation: Valuation, language: str) -> Iterator[str]:
    """The car as it was understood, and the cars that may be meant instead."""
    texts, car = TEXTS[language], valuation.read_as
    parts = [str(car.name), str(car.year)]
    for field in dataclasses.fields(car):
        value = getattr(car, field.name)
        if field.name in NAME_AND_YEAR or (value is None and field.name not in USUALLY_STATED):
            continue
        shown = _value({"feature": field.name, "value": value}, language)
        parts.append(f"{_name(field.name, language)} {shown}")
    match = "" if valuation.match == "exact" else f" ({texts[valuation.match]})"
    yield texts["read-as"].format(match=match, car=", ".join(parts))
    if valuation.suggestions:
        yield texts["suggestions"].format(names=", ".join(map(str, valuation.suggestions)))


def _depreciation_lines(answer: Mapping[str, Any], language: str) -> Iterator[str]:
    texts, pace = TEXTS[language], answer["depreciation_pace"]
    yield texts[pace["basis"]].format(km=number(pace["km_per_year"], language))
    for point in answer["depreciation"]:
        yield "  " + texts["year" if point["years"] == 1 else "years"].format(
            years=point["years"],
            price=number(point["price_mad"], language),
            low=number(point["interval"]["low"], language),
            high=number(point["interval"]["high"], language),
        )


def _comparable_lines(found: Sequence[Mapping[str, Any]], language: str) -> Iterator[str]:
    texts = TEXTS[language]
    yield texts["comparables" if found else "no-comparables"]
    for one in found:
        first, last = one["year_from"], one["year_to"]
        kind = ", ".join(_word_of(one[name], language) for name in ("fuel", "transmission"))
        differs = [DIFFERENCES[language].get(each, each) for each in one.get("differs", ())]
        yield "  " + texts["comparable"].format(
            kind=kind.lower() if language == "fr" else kind,
            but=texts["but"].format(differs=", ".join(differs)) if differs else "",
            name=" ".join(display_names(one["company"], one["model"])),
            years=first if first == last else f"{first}-{last}",
            km=number(one["km_driven"], language),
            price=number(one["price_mad"], language),
            listings=one["listings"],
        )


def _name(feature: str, language: str) -> str:
    names = FRENCH_NAMES if language == "fr" else ENGLISH_NAMES
    return names.get(feature, feature)


def _value(part: Mapping[str, Any], language: str) -> str:
    value = part["value"]
    if value is None:
        return TEXTS[language]["not-stated"]
    if part["feature"] == "city":
        return format_city(str(value))
    if part["feature"] == "edition":
        return format_name(str(value))
    if part["feature"] == "km_driven":
        return number(value, language)
    if isinstance(value, str):
        return _word_of(value, language)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _word_of(value: str, language: str) -> str:
    """A word of a category; a word of a newer service unchanged."""
    return FRENCH_CHOICES.get(value, value) if language == "fr" else value
