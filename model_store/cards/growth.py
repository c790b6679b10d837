"""The parts of a model card on the age of the data: growth of the intervals, recalibration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_store.cards.blocks import Block, heading, markdown, paragraph, table
from model_store.cards.languages import CardTexts
from model_store.registry.manifest import (
    MEASURED,
    ModelVersion,
    card_data_file,
    card_markdown_file,
)
from shared.domain.valuation import CALIBRATION_HORIZON_MONTHS
from shared.i18n.catalogue import mark_in_context
from shared.i18n.languages import LANGUAGES, Language

_TEXTS: Mapping[str, str] = {
    "growth": mark_in_context("card", "Intervals and the age of the data"),
    "measured": mark_in_context(
        "card",
        "Measured: baselines of the listings up to {origins}, on {listings} listings three "
        "to twelve months later.",
    ),
    "reference": mark_in_context(
        "card", "Reference growth, not measured on these listings: {reason}."
    ),
    "generated": mark_in_context("card", "they are generated"),
    "no-dates": mark_in_context("card", "they have no dates"),
    "one-month": mark_in_context("card", "all are of one month ({month})"),
    "no-origin": mark_in_context("card", "too few of them precede, or follow, any month"),
    "few-later": mark_in_context("card", "too few follow in each quarter"),
    "unknown-reason": mark_in_context("card", "the manifest says why"),
    "since": mark_in_context(
        "card",
        "Intervals widen with the months since {since}; the figures above are those of new "
        "data. Beyond {horizon} months the growth is a rule, and answers warn.",
    ),
    "age": mark_in_context("card", "age of the data (months)"),
    "width": mark_in_context("card", "width of the intervals"),
    "recalibration": mark_in_context("card", "Recalibration"),
    "same-forest": mark_in_context(
        "card",
        "This version has the forest of {version}. Its price level and intervals were "
        "recalibrated; all other parts of this card describe that version as it was "
        "trained.",
    ),
    "data": mark_in_context("card", "data"),
    "listings": mark_in_context("card", "listings"),
    "listed": mark_in_context("card", "listed"),
    "sales": mark_in_context("card", "reported sales"),
    "level-of": mark_in_context("card", "quotes the level of"),
    "level": mark_in_context("card", "change of the price level"),
    "factor": mark_in_context("card", "width of the intervals, median factor"),
    "before": mark_in_context("card", "inside the 90 % interval before"),
    "after": mark_in_context("card", "inside it now, on prices not calibrated on"),
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


def growth_reason(growth: Mapping[str, Any], language: Language) -> str:
    """Why the growth of a version was not measured; as its manifest says it if that has no code."""
    code = growth.get("reason_code")
    return str(growth["reason"]) if code is None else _reason(growth, CardTexts(language))


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
    return texts.say(_TEXTS[name], **values)
