"""Finds the currency that a text names: the header of prices, or a cell of a currency column."""

import re
from functools import lru_cache

from shared.domain.names import by_spelling, fold, fold_script

DIRHAM = "MAD"

_SYMBOLS = {
    "€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "₺": "TRY", "₽": "RUB", "₩": "KRW",
    "₦": "NGN", "₴": "UAH", "₱": "PHP", "₫": "VND",
}  # fmt: skip
_SYMBOL = re.compile("[" + "".join(_SYMBOLS) + "]")
_WORDS = by_spelling(
    {
        DIRHAM: "mad, dh, dhs, dirham, dirhams, درهم, دراهم",
        "EUR": "eur, euro, euros, يورو",
        "USD": "usd, dollar, dollars, us dollar, دولار",
        "GBP": "gbp, pound, pounds, livres sterling",
        "INR": "inr, rs, rupee, rupees, rupiah, lakh, lakhs, lacs",
        "CHF": "chf, francs suisses",
        "PLN": "pln, zl, zloty",
        "CZK": "czk, kc",
        "TRY": "try, tl, lira",
        "RUB": "rub, rubles, roubles",
        "UAH": "uah",
        "BYN": "byn",
        "SEK": "sek",
        "NOK": "nok",
        "DKK": "dkk",
        "HUF": "huf",
        "RON": "ron, lei",
        "CAD": "cad",
        "AUD": "aud",
        "JPY": "jpy, yen",
        "CNY": "cny, rmb, yuan",
        "BRL": "brl, reais",
        "MXN": "mxn",
        "ZAR": "zar",
        "NGN": "ngn, naira",
        "AED": "aed",
        "SAR": "sar, riyal",
        "QAR": "qar",
        "EGP": "egp, جنيه",
        "TND": "tnd, dinar tunisien",
        "DZD": "dzd, dinar algerien, دينار",
        "LYD": "lyd",
        "MRU": "mru, ouguiya",
        "XOF": "xof, cfa, fcfa, franc cfa",
        "PKR": "pkr",
    }
)


MAX_CHARS = 200
"""A longer text is no price."""


def find_currency(text: str) -> str | None:
    """Code of the currency that a text names; None if it names none.

    >>> find_currency("Preis (€)"), find_currency("price_usd"), find_currency("Prix DH")
    ('EUR', 'USD', 'MAD')
    """
    return _find_currency(text) if len(text) <= MAX_CHARS else None


@lru_cache(maxsize=4096)
def _find_currency(text: str) -> str | None:
    if (symbol := _SYMBOL.search(text)) is not None:
        return _SYMBOLS[symbol[0]]
    words = {*fold(text).split(), *fold_script(text).split()}
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None
