"""The caller's own word on which column is which field: `columns=km_driven:Compteur,year:#5`."""

import re

from shared.domain.car import FIELD_NAMES
from shared.schemas.asking_price import ASKING_PRICE

_PAIR = re.compile(rf"(?:^|,)\s*({'|'.join((*FIELD_NAMES, ASKING_PRICE))}):")


def parse_columns(text: str) -> tuple[tuple[str, str], ...] | None:
    """Pairs of a field and what the caller calls its column; None if `text` is none.

    A header may hold commas and colons: a pair begins only where a field's name does.

    >>> parse_columns("year:#5,km_driven:Compteur, km:h")
    (('year', '#5'), ('km_driven', 'Compteur, km:h'))
    >>> parse_columns("engine_cc:")
    (('engine_cc', ''),)
    """
    marks = list(_PAIR.finditer(text))
    if not marks or marks[0].start() > 0:
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    pairs = [
        (mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]
    fields = [field for field, _ in pairs]
    return tuple(pairs) if len(set(fields)) == len(fields) else None
