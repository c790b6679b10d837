"""CSV text of a table, and the words that sites of one language use for fuels and gearboxes."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence


def to_csv(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    delimiter: str = ",",
    line_end: str = "\n",
    quote_all: bool = False,
) -> str:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def grouped(number: float, sign: str) -> str:
    """1234567 with `sign` between the thousands."""
    return f"{number:,.0f}".replace(",", sign)


def one_of(words: Sequence[str], i: int) -> str:
    return words[i % len(words)]


Words = Mapping[str, Sequence[str]]

FRENCH: Words = {
    "Diesel": ("Diesel",),
    "Petrol": ("Essence",),
    "Hybrid": ("Hybride",),
    "Electric": ("Électrique",),
    "Manual": ("Manuelle",),
    "Automatic": ("Automatique",),
}
ENGLISH: Words = {
    "Diesel": ("Diesel",),
    "Petrol": ("Petrol",),
    "Hybrid": ("Hybrid",),
    "Electric": ("Electric",),
    "Manual": ("Manual",),
    "Automatic": ("Automatic",),
}
GERMAN: Words = {
    "Diesel": ("Diesel",),
    "Petrol": ("Benzin",),
    "Hybrid": ("Hybrid (Benzin/Elektro)", "Hybrid"),
    "Electric": ("Elektro",),
    "Manual": ("Schaltgetriebe",),
    "Automatic": ("Automatik",),
}
