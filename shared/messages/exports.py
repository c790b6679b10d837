"""Headers of the added result columns as words, in French and English, by column."""

from shared.messages.uploads import Texts

RESULT_HEADERS: dict[str, Texts] = {
    "price_mad": {"fr": "Prix estimé (MAD)", "en": "Estimated price (MAD)"},
    "low_mad": {"fr": "Bas de l'intervalle (MAD)", "en": "Low end of the interval (MAD)"},
    "high_mad": {"fr": "Haut de l'intervalle (MAD)", "en": "High end of the interval (MAD)"},
    "verdict": {"fr": "Avis sur le prix demandé", "en": "Verdict on the asking price"},
    "percentile": {
        "fr": "Part du marché moins chère (%)",
        "en": "Share of the market that is cheaper (%)",
    },
    "fair_low_mad": {"fr": "Prix juste, bas (MAD)", "en": "Fair price, low end (MAD)"},
    "fair_high_mad": {"fr": "Prix juste, haut (MAD)", "en": "Fair price, high end (MAD)"},
    "difference_mad": {
        "fr": "Écart au prix estimé (MAD)",
        "en": "Difference from the estimated price (MAD)",
    },
    "read_as": {"fr": "Lu comme", "en": "Read as"},
    "match": {"fr": "Correspondance", "en": "Match"},
    "suggestions": {"fr": "Suggestions", "en": "Suggestions"},
    "row_notes": {"fr": "Remarques sur la ligne", "en": "Notes on the row"},
    "row_status": {"fr": "État de la ligne", "en": "Status of the row"},
    "row_error": {"fr": "Motif du refus", "en": "Reason of the refusal"},
}

LOCALIZED_HEADERS = frozenset(name for texts in RESULT_HEADERS.values() for name in texts.values())
"""All of these words."""
