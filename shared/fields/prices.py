"""Reads asking prices as sites show them, with words around the figure."""

import re

from shared.domain.names import by_spelling, plain_text
from shared.fields.numbers import parse_number
from shared.fields.quantities import (
    NOT_A_NUMBER,
    NUMBER,
    SEVERAL_VALUES,
    THOUSAND,
    states_open_range,
)
from shared.fields.quantities import UnreadableQuantity as UnreadablePrice

FOREIGN_CURRENCY, UNCLEAR_AMOUNT = "foreign-currency", "unclear-amount"

DIRHAM = "MAD"
THOUSAND_DIRHAM = "thousand MAD"
"""A unit that only the caller can state for a whole column of prices."""
CURRENCY_MAX_CHARS = 200
"""A longer text is no price."""

_CURRENCIES = by_spelling(
    {
        "EUR": "€, eur, euro, euros, يورو, اورو",
        "USD": "$, us$, usd, dollar, dollars, دولار",
        "GBP": "£, gbp, pound, pounds, livre sterling",
        "CHF": "chf, sfr, franken",
        "CAD": "cad, c$",
        "INR": "₹, inr, rs, rupees, rupee, roupies, lakh, lakhs, lac, crore",
        "JPY": "¥, jpy, yen",
        "AED": "aed",
        "SAR": "sar",
        "TND": "tnd, dt, dinar tunisien, dinars tunisiens",
        "DZD": "dzd, da, dinar algerien, dinars algeriens",
        "EGP": "egp",
        "XOF": "xof, fcfa, cfa",
        "TRY": "try, ₺",
        "PLN": "pln, zl",
        "SEK": "sek",
        "RUB": "₽, rub",
        "CZK": "czk, kc",
        "NOK": "nok",
        "DKK": "dkk",
        "HUF": "huf",
        "RON": "ron, lei",
        "UAH": "uah, ₴",
        "BYN": "byn",
        "AUD": "aud",
        "CNY": "cny, rmb",
        "BRL": "brl, r$",
        "NGN": "ngn, ₦",
        "QAR": "qar",
        "LYD": "lyd",
        "PKR": "pkr",
        "dinars": "dinar, dinars, دينار",
    }
)
_FOREIGN_SIGNS = re.compile(
    "|".join(
        re.escape(spelling)
        for spelling in sorted(_CURRENCIES, key=len, reverse=True)
        if not spelling.isalpha()
    )
)
"""Spellings of foreign currencies that may touch a letter."""
_LETTERS = re.compile(r"[^\W\d]+")
_DIRHAM = re.compile(
    r"(?<![^\W\d])(?:(?P<thousand>k) ?)?(?:mad|dhs?|drhs?|dirhams?|dirhem|درهما?|دراهم|د ?\. ?م\.?)"
    r"(?![^\W\d])\.?"
)
_EMIRATES = r"(?:uae|eau|emirat\w*|emirian\w*|united arab)"
_OTHER_DIRHAM = re.compile(
    rf"(?<![^\W\d])(?:aed|{_EMIRATES})[ .()-]{{0,3}}dirhams?(?![^\W\d])"
    rf"|(?<![^\W\d])dirhams?[ .()-]{{0,3}}(?:(?:des?|du|d'|of(?: the)?) ?)?(?:aed|{_EMIRATES})"
    rf"|(?<![^\W\d])dhs?[ .()-]{{0,3}}(?:des )?{_EMIRATES}"
    r"|درهما? ?\(?(?:ال)?امارات"
)
"""Dirhams of the Emirates."""
_UNCLEAR = re.compile(
    r"(?<![^\W\d])(?:ryals?|rials?|riyals?|reyals?|ريال|centimes?|cts?|سنتيم|millions?|mio|mln|m"
    r"|مليون|milliards?|briques?|ht|hors tax(?:es?)?|excl|sans tva)(?![^\W\d])"
)
"""Words with which the figure is not the price in dirhams: ryals, centimes, a price before tax."""

_ALF = re.compile("الف")
"""Thousands; of ryals, unless dirhams are named."""

_WORDS = re.compile(
    r"(?<![^\W\d])(?:prix|price|preis|precio|tarif|montant|a la (?:baisse|hausse)"
    r"|en (?:baisse|hausse)|baisse|hausse|reduced|new|a debattre|debattable|negociables?"
    r"|negotiable|nego|neg|discutable"
    r"|a discuter|ttc|ferme|fixe|fixed|firm|final|finale|dernier|derniere|demande|de vente|asking"
    r"|selling|a partir de|des|from|ab|seulement|only|nur|promo|promotion|net|cash|comptant|vb|vhb"
    r"|festpreis|verhandelbar|verhandlungsbasis|obo|ono|or (?:best|nearest) offer|tva (?:incluse|"
    r"comprise)|tax included|incl|est de|الثمن|السعر|ثمن|سعر|قابل للتفاوض|قابل للنقاش|نهائي|"
    r"للتفاوض|فقط|ابتداء من)(?![^\W\d])"
)
"""Words around a price that do not change it."""

_NO_PRICE = re.compile(
    r"(?<![^\W\d])(?:demander|le|la|les|pour|sur|demande|on|request|upon|consulter|nous|contacter|contactez"
    r"|contact|appeler|appelez|call|for|poa|por|vendeur|seller|ask|please|non|pas|de|specifie"
    r"|precise|indique|communique|a|anfrage|auf|preis|اتصل|بالبائع|عند|الطلب|غير|محدد)(?![^\W\d])"
)
"""Words of "price on request"."""

_PUNCTUATION = re.compile(r"^[\s():;!*=~'\"\[\]|>-]+|[\s():;!*='\"\[\]|.,-]+$|\(\s*\)")
_FIGURE = re.compile(rf"(?P<number>{NUMBER})\s*(?P<thousand>{THOUSAND})?")
_FIGURES = re.compile(rf"{NUMBER}\s*(?:{THOUSAND})?")
_BETWEEN_FIGURES = re.compile(
    r"(?:[\s|/;:.,()-]|\u2013|\u2014|\b(?:a|to|ou|or|et|and|entre|between|bis|de)\b|الى|او)+"
)
_SMALL_DECIMALS = re.compile(r"\d+(?:[.,]\d{1,2})?")
_GAP = re.compile(r"(?<=\d)\s{2,}(?=\d)")
_DIGIT = re.compile(r"\d")


def find_currency(text: str) -> str | None:
    """The code of the currency that a text names, be it the dirham; None if it names none.

    >>> find_currency("Preis (€)"), find_currency("price_usd"), find_currency("Prix DH")
    ('EUR', 'USD', 'MAD')
    """
    if len(text) > CURRENCY_MAX_CHARS:
        return None
    plain = plain_text(text.replace("_", " "))
    if _DIRHAM.search(plain) and not _OTHER_DIRHAM.search(plain):
        return DIRHAM
    return _foreign_currency(plain)


def _foreign_currency(plain: str) -> str | None:
    """The code of the first foreign currency that a text, as `plain_text` writes it, names."""
    if _OTHER_DIRHAM.search(plain):
        return "AED"
    words = (found for found in _LETTERS.finditer(plain) if found[0] in _CURRENCIES)
    found = [each for each in (next(words, None), _FOREIGN_SIGNS.search(plain)) if each]
    if not found:
        return None
    first = min(found, key=lambda each: (each.start(), -each.end()))
    return _CURRENCIES[first[0]]


def currency_of(text: str) -> str | None:
    """The code of the foreign currency that a text states; None for dirhams or no currency.

    >>> currency_of("145 000 €"), currency_of("MAD 145,000"), currency_of("145000")
    ('EUR', None, None)
    """
    plain = plain_text(text)
    is_ours = _DIRHAM.search(plain) and not _OTHER_DIRHAM.search(plain)
    return None if is_ours else _foreign_currency(plain)


def states_no_price(text: str) -> bool:
    """Whether a text says in words that no price is stated: "Demander le prix", "DH".

    >>> states_no_price("Demander le prix"), states_no_price("vendue"), states_no_price("1 DH")
    (True, False, False)
    """
    if _DIGIT.search(plain := plain_text(text)):
        return False
    return not re.search(r"\w", _NO_PRICE.sub(" ", _WORDS.sub(" ", _DIRHAM.sub(" ", plain))))


def read_price(text: str) -> float:
    """The price in dirhams that a text states.

    >>> read_price("Prix à la baisse480 000 DH"), read_price("145K")
    (480000.0, 145000.0)

    Raises:
        UnreadablePrice: it states none or several, or in another currency or unit.
    """
    number = parse_number(text, whole=True)
    if number is not None:
        return number
    plain = plain_text(text)
    if _DIGIT.search(plain):
        if currency_of(plain) is not None:
            raise UnreadablePrice(FOREIGN_CURRENCY)
        if _UNCLEAR.search(plain) or (_ALF.search(plain) and not _DIRHAM.search(plain)):
            raise UnreadablePrice(UNCLEAR_AMOUNT)
    bare = _DIRHAM.sub(lambda found: " k " if found["thousand"] else "  ", plain)
    bare = _PUNCTUATION.sub("", _WORDS.sub("  ", bare)).strip()
    figure = _FIGURE.fullmatch(bare)
    if figure is not None and not _GAP.search(bare) and (value := _value(figure)) is not None:
        return value
    raise UnreadablePrice(SEVERAL_VALUES if _states_several(bare) else NOT_A_NUMBER)


def _states_several(bare: str) -> bool:
    """Whether there are several figures, or only the bound of a band, and nothing else."""
    if states_open_range(bare):
        return True
    figures = [part for span in _GAP.split(bare) for part in _FIGURES.findall(span)]
    rest = _BETWEEN_FIGURES.sub("", _FIGURES.sub("", bare))
    return len(figures) > 1 and not rest


def _value(figure: re.Match[str]) -> float | None:
    number = figure["number"].strip()
    if not figure["thousand"]:
        return parse_number(number, whole=True)
    return 1000 * float(number.replace(",", ".")) if _SMALL_DECIMALS.fullmatch(number) else None
