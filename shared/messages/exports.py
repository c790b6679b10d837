"""Headers of the added result columns as words, by column."""

from shared.i18n.catalogue import mark, translate
from shared.i18n.languages import LANGUAGES

RESULT_HEADERS: dict[str, str] = {
    "price_mad": mark("Estimated price (MAD)"),
    "low_mad": mark("Low end of the interval (MAD)"),
    "high_mad": mark("High end of the interval (MAD)"),
    "verdict": mark("Verdict on the asking price"),
    "percentile": mark("Share of the market that is cheaper (%)"),
    "fair_low_mad": mark("Fair price, low end (MAD)"),
    "fair_high_mad": mark("Fair price, high end (MAD)"),
    "difference_mad": mark("Difference from the estimated price (MAD)"),
    "read_as": mark("Read as"),
    "match": mark("Match"),
    "suggestions": mark("Suggestions"),
    "row_notes": mark("Notes on the row"),
    "row_status": mark("Status of the row"),
    "row_error": mark("Reason of the refusal"),
}

LOCALIZED_HEADERS = frozenset(
    translate(name, language) for name in RESULT_HEADERS.values() for language in LANGUAGES
)
"""These words in every language."""
