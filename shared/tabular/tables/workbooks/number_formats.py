"""Currencies and units that the number formats of a workbook show beside its numbers.

A cell formatted as `#,##0 "miles"` or `#,##0 [$€-40C]` holds a plain number. A person reads the
unit, so it becomes part of the cell's text; without it, miles would be read as kilometres.
"""

import re

_SECTION_END = re.compile(r'((?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\\[])*)')
_SYMBOL = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]")
_LITERAL = re.compile(r'"([^"]*)"')
_CURRENCY = re.compile(
    r"[€$£¥₽₺₹]|\b(?:eur|euros?|usd|dollars?|gbp|chf|cad|aed|sar|dzd|tnd|xof|cfa)\b", re.IGNORECASE
)
_UNIT = re.compile(r"\b(?:miles?|mi|kw)\b", re.IGNORECASE)
"""Units in which a number of the fields differs from the one that a bare number means."""


def shown_unit(code: str) -> str | None:
    """The foreign currency or the unit that a format shows; None if it shows neither.

    >>> shown_unit('#,##0 [$€-40C]'), shown_unit('0" miles"'), shown_unit('#,##0 "DH"')
    ('€', 'miles', None)

    Args:
        code: a format code; its first section, that of positive numbers, counts.
    """
    found = _SECTION_END.match(code)
    section = found[1] if found else code
    literals = " ".join(_LITERAL.findall(section))
    symbols = " ".join(_SYMBOL.findall(section))
    bare = _LITERAL.sub(" ", _SYMBOL.sub(" ", section)).replace("\\", "")
    bare = re.sub(r"\[[^\]]*\]", " ", bare)  # colours and conditions
    for text in (symbols, literals, bare):
        currency = _CURRENCY.search(text)
        if currency is not None:
            return currency[0]
    unit = _UNIT.search(literals)
    return unit[0] if unit else None
