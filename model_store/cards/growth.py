"""The parts of a model card on the age of the data: growth of the intervals, recalibration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_store.cards.blocks import Block, heading, markdown, paragraph, table
from model_store.cards.languages import CardTexts
from model_store.cards.texts import LANGUAGES, Language
from model_store.registry.manifest import (
    MEASURED,
    ModelVersion,
    card_data_file,
    card_markdown_file,
)
from shared.domain.valuation import CALIBRATION_HORIZON_MONTHS

_TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "growth": "Intervals and the age of the data",
        "measured": "Measured: baselines of the listings up to {origins}, on {listings} listings "
        "three to twelve months later.",
        "reference": "Reference growth, not measured on these listings: {reason}.",
        "generated": "they are generated",
        "no-dates": "they have no dates",
        "one-month": "all are of one month ({month})",
        "no-origin": "too few of them precede, or follow, any month",
        "few-later": "too few follow in each quarter",
        "unknown-reason": "the manifest says why",
        "since": "Intervals widen with the months since {since}; the figures above are those of "
        "new data. Beyond {horizon} months the growth is a rule, and answers warn.",
        "age": "age of the data (months)",
        "width": "width of the intervals",
        "recalibration": "Recalibration",
        "same-forest": "This version has the forest of {version}. Its price level and intervals "
        "were recalibrated; all other parts of this card describe that version as it was trained.",
        "data": "data",
        "listings": "listings",
        "listed": "listed",
        "sales": "reported sales",
        "level-of": "quotes the level of",
        "level": "change of the price level",
        "factor": "width of the intervals, median factor",
        "before": "inside the 90 % interval before",
        "after": "inside it now, on prices not calibrated on",
    },
    "fr": {
        "growth": "Intervalles et âge des données",
        "measured": "Mesuré : des régressions sur les annonces jusqu'à {origins}, sur {listings} "
        "annonces de trois à douze mois plus tard.",
        "reference": "Élargissement de référence, non mesuré sur ces annonces : {reason}.",
        "generated": "elles sont générées",
        "no-dates": "elles n'ont pas de dates",
        "one-month": "toutes sont du même mois ({month})",
        "no-origin": "trop peu d'entre elles précèdent ou suivent un même mois",
        "few-later": "trop peu d'entre elles suivent dans chaque trimestre",
        "unknown-reason": "le manifeste de la version dit pourquoi",
        "since": "Les intervalles s'élargissent avec les mois écoulés depuis {since} ; les "
        "chiffres ci-dessus sont ceux de données récentes. Au-delà de {horizon} mois, "
        "l'élargissement suit une règle, et les réponses avertissent.",
        "age": "âge des données (mois)",
        "width": "largeur des intervalles",
        "recalibration": "Recalibrage",
        "same-forest": "Cette version a la forêt de {version}. Son niveau de prix et ses "
        "intervalles ont été recalibrés ; le reste de la fiche décrit cette version-là telle "
        "qu'elle a été entraînée.",
        "data": "données",
        "listings": "annonces",
        "listed": "mois des annonces",
        "sales": "ventes déclarées",
        "level-of": "niveau de prix de",
        "level": "changement du niveau de prix",
        "factor": "largeur des intervalles, facteur médian",
        "before": "dans l'intervalle à 90 % avant",
        "after": "dans l'intervalle maintenant, sur des prix non utilisés",
    },
}


def growth_blocks(version: ModelVersion, texts: CardTexts) -> list[Block]:
    """How the intervals widen; no blocks for a manifest that does not state it."""
    growth = version.training.get("interval_growth")
    if growth is None:
        return []
    if growth["source"] == MEASURED:
        origins = ", ".join(growth["origins"])
        listings = texts.number(growth["listings"])
        basis = _text(texts, "measured", origins=origins, listings=listings)
    else:
        basis = _text(texts, "reference", reason=_reason(growth, texts))
    since = growth.get("data_until", version.data_as_of)
    widths = growth["width_by_months"].items()
    return [
        heading(_text(texts, "growth")),
        paragraph(
            f"{basis} {_text(texts, 'since', since=since, horizon=CALIBRATION_HORIZON_MONTHS)}"
        ),
        table(
            (_text(texts, "age"), _text(texts, "width")),
            [(months, texts.number(width, 2)) for months, width in widths],
        ),
    ]


def _reason(growth: Mapping[str, Any], texts: CardTexts) -> str:
    """Why the growth was not measured; manifests of earlier releases say it in English only."""
    code = growth.get("reason_code", "unknown-reason")
    return _text(texts, code, month=growth.get("month", ""))


def recalibrated_card(folder: Path, version: ModelVersion) -> dict[str, bytes]:
    """The files of the card of a recalibrated version by name.

    It is the card of the version whose forest is used, with a part on the recalibration.

    Args:
        folder: of the version whose forest is used; it may have no card.
        version: the manifest so far, with `calibrated_on`.
    """
    files: dict[str, bytes] = {}
    for language in LANGUAGES:
        texts = CardTexts(language)
        former = folder / card_data_file(language)
        if not former.exists():
            continue
        title = texts("title", version=version.id)
        blocks = [*_recalibration(version, texts), *json.loads(former.read_bytes())["blocks"]]
        content = json.dumps({"title": title, "blocks": blocks}, ensure_ascii=False)
        files[card_data_file(language)] = content.encode()
        files[card_markdown_file(language)] = markdown(title, blocks).encode()
    if files:
        files |= {path.name: path.read_bytes() for path in sorted(folder.glob("card-*.png"))}
    return files


def _recalibration(version: ModelVersion, texts: CardTexts) -> list[Block]:
    facts = dict(version.calibrated_on or {})
    months = facts["months"]
    listed = texts("months", first=months[0], last=months[-1]) if months else "-"
    rows: list[tuple[str, object]] = [
        ("data", facts["name"]),
        ("listings", texts.number(facts["rows"])),
        ("listed", listed),
        ("sales", texts.number(facts["sales"])),
        ("level-of", version.data_as_of),
        ("level", texts.percent(100 * (facts["price_level"] - 1), signed=True)),
        ("factor", texts.number(facts["width_factor"], 2)),
        ("before", texts.percent(100 * facts["coverage_before"])),
        ("after", texts.percent(100 * facts["coverage_after"])),
    ]
    return [
        heading(_text(texts, "recalibration")),
        paragraph(_text(texts, "same-forest", version=facts["version"])),
        table(("", ""), [(_text(texts, name), value) for name, value in rows]),
    ]


def _text(texts: CardTexts, name: str, **values: object) -> str:
    return texts.typographic(_TEXTS[texts.language][name].format(**values))
