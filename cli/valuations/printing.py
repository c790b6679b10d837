"""Text output of a valuation, in French or English."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.valuations.texts import number
from client.models import Valuation, Verdict
from shared.fields.spellings import FRENCH_CHOICES

ACRONYMS = frozenset({"bmw", "byd", "ds", "gmc", "mg", "vw", "gt", "gti", "gtd", "tt", "rs"})

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "interval": "{coverage:.0f}% between {low} and {high} MAD",
        "data": "data until {data_as_of}, {months} months old",
        "verdict": "{asking} MAD is {position}: {percentile:.0f}% of comparable cars ask less "
        "({difference} MAD)",
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
        "colon": ": ",
    },
    "fr": {
        "interval": "{coverage:.0f} % entre {low} et {high} MAD",
        "data": "données jusqu'à {data_as_of}, il y a {months} mois",
        "verdict": "{asking} MAD, c'est {position} : {percentile:.0f} % des voitures comparables "
        "sont proposées moins cher ({difference} MAD)",
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
        yield _verdict_line(valuation.verdict, language)
    model = valuation.raw["model"]
    if model.get("data_age_months") is not None:
        yield texts["data"].format(data_as_of=model["data_as_of"], months=model["data_age_months"])
    yield from _reading_lines(valuation, language)
    for line in valuation.raw.get("explanation", ()):
        yield f"  {line}"
    if "depreciation" in valuation.raw:
        yield from _depreciation_lines(valuation.raw, language)
    if "comparables" in valuation.raw:
        yield from _comparable_lines(valuation.raw["comparables"], language)


def warning_lines(valuation: Valuation, language: str) -> Iterator[str]:
    """The lines of the warnings."""
    for warning in valuation.warnings:
        yield TEXTS[language]["note"].format(text=warning)


def _verdict_line(verdict: Verdict, language: str) -> str:
    texts = TEXTS[language]
    return texts["verdict"].format(
        asking=number(verdict.asking_price_mad, language),
        position=texts.get(verdict.position, verdict.position),
        percentile=verdict.percentile,
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
            name=f"{title_case(one['company'])} {title_case(one['model'])}",
            years=first if first == last else f"{first}-{last}",
            km=number(one["km_driven"], language),
            price=number(one["price_mad"], language),
            listings=one["listings"],
        )


def _name(feature: str, language: str) -> str:
    if language == "fr" and feature in FRENCH_NAMES:
        return FRENCH_NAMES[feature]
    return feature


def _value(part: Mapping[str, Any], language: str) -> str:
    value = part["value"]
    if value is None:
        return TEXTS[language]["not-stated"]
    if part["feature"] in ("company", "model"):
        return title_case(str(value))
    if part["feature"] == "km_driven":
        return number(value, language)
    if isinstance(value, str):
        return _word_of(value, language)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _word_of(value: str, language: str) -> str:
    """A word of a category; a word of a newer service unchanged."""
    return FRENCH_CHOICES.get(value, value) if language == "fr" else value


def title_case(name: str) -> str:
    """A lower-case brand or model in its usual spelling.

    >>> title_case("land rover"), title_case("bmw"), title_case("x5"), title_case("c-max")
    ('Land Rover', 'BMW', 'X5', 'C-Max')
    """
    return " ".join("-".join(map(_word, word.split("-"))) for word in name.split(" "))


def _word(word: str) -> str:
    has_digit = any(letter.isdigit() for letter in word)
    return word.upper() if has_digit or word in ACRONYMS else word.capitalize()
