"""Brand and model of the rows of a batch: read once for each distinct pair of texts."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import orjson

from shared.domain.files.notes import NoteCounter
from shared.domain.names import fold_name
from shared.domain.reading import Match, NameReading, VehicleName
from shared.domain.valuation import MODEL_UNKNOWN, audit_names
from shared.fields.blanks import is_blank
from shared.vehicles.names import NamesMissing, display_names, read_names

NAME_FIELDS = frozenset({"company", "model"})
NAME_NOTES = {
    Match.CORRECTED: "name-corrected",
    Match.AMBIGUOUS: "name-ambiguous",
    Match.UNKNOWN: "name-unknown",
}


SUMMARY_ROW = "summary-row"
SUMMARY_MAX_CHARS = 40
_SUMMARY_MAX_WORDS = 3
_SUMMARY = (
    r"(?:(?:grand|sub|sous) ?)?(?:totals?|totaux|totales?)(?: general| generaux)?"
    r"|somme|sum|moyenne|average|summe|gesamt(?:summe|ergebnis)?|zwischensumme|mittelwert|suma"
    r"|(?:ال)?مجموع(?: الكلي| العام)?|(?:ال)?اجمالي|(?:ال)?معدل"
)
_COUNT = (
    r"(?:nombre|nb|nbre|number|no|count|anzahl|عدد) (?:d |de |des |of )?"
    r"(?:vehicules?|voitures?|annonces?|lignes?|cars?|vehicles?|rows?|fahrzeuge|السيارات)(?: \d+)?"
)
_SHORT_SUMMARY = re.compile(
    r"(?:moy|moyen|min|minimum|maxi?|maximum|mean|avg|median|mediane|mittel|ecart type|std|count)"
    r"(?: \d.*)?"
)
"""Words that could be a part of a model's name: they count if nothing else is named. "Mini" is a
brand: "MINI 3 portes Cooper S"."""
_IS_SUMMARY = re.compile(rf"{_SUMMARY}|{_COUNT}")
_BEGINS_AS_SUMMARY = re.compile(rf"(?:{_SUMMARY}) .*")
_ENDS_AS_SUMMARY = re.compile(rf".* (?:{_SUMMARY})")


class ReadPair(NamedTuple):
    """What a pair of texts, brand and model, was read as."""

    given: VehicleName
    """The texts in normal form; empty for a blank one."""
    reading: NameReading | None
    """None: no brand or no model is stated."""
    missing: str | None = None
    """The field that is not stated: `company` or `model`."""
    is_summary: bool = False
    """Whether the texts say that the row adds up others; it has no reading then."""

    @property
    def is_blank(self) -> bool:
        """Whether neither brand nor model is stated."""
        return not self.given.company and not self.given.model

    @property
    def error_code(self) -> str:
        """The code of the error of a pair without a reading."""
        if self.is_summary:
            return SUMMARY_ROW
        if not self.given.model:
            return "required"
        return "brand-not-found" if self.missing == "company" else "model-not-found"


def is_summary(name: VehicleName) -> bool:
    """Whether brand and model are the words of a row that adds up others.

    >>> is_summary(VehicleName("sous total", "")), is_summary(VehicleName("dacia total", ""))
    (True, True)
    >>> is_summary(VehicleName("", "total 12 cars")), is_summary(VehicleName("dacia", "sandero"))
    (True, False)
    """
    if _IS_SUMMARY.fullmatch(name.company) or _IS_SUMMARY.fullmatch(name.model):
        return True
    if name.company and name.model:
        are_numbers = name.model.replace(" ", "").isdigit()
        return are_numbers and _SHORT_SUMMARY.fullmatch(name.company) is not None
    text = name.company or name.model
    if _SHORT_SUMMARY.fullmatch(text):
        return True
    if _BEGINS_AS_SUMMARY.fullmatch(text):
        return True
    is_short = len(text.split()) <= _SUMMARY_MAX_WORDS
    return is_short and _ENDS_AS_SUMMARY.fullmatch(text) is not None


def summary_cell(cells: Iterable[str]) -> int | None:
    """Index of the first filled cell of a row that names no car, if it says that it adds up others.

    >>> summary_cell(["", "Moyenne", "", "81000"]), summary_cell(["R7", "", "", "81000"])
    (1, None)
    """
    for index, cell in enumerate(cells):
        if not is_blank(cell):
            found = is_summary(VehicleName("", fold_name(cell[:SUMMARY_MAX_CHARS])))
            return index if found else None
    return None


def summary_field(name: VehicleName) -> str:
    """The field, `company` or `model`, whose words make a row a summary.

    >>> summary_field(VehicleName("dacia", "total")), summary_field(VehicleName("total", "2"))
    ('model', 'company')
    """
    is_model = not name.company or _IS_SUMMARY.fullmatch(name.model) is not None
    return "model" if is_model else "company"


@lru_cache(maxsize=20_000)
def read_pair(company: str | None, model: str | None) -> ReadPair:
    """Read the normal forms of brand and model; None is a blank cell or an absent column."""
    given = VehicleName(company or "", model or "")
    if is_summary(given):
        return ReadPair(given, None, is_summary=True)
    try:
        return ReadPair(given, read_names(company, model))
    except NamesMissing as error:
        return ReadPair(given, None, error.field)


def final_match(reading: NameReading, *, model_known: bool) -> Match:
    """The match of an answer: a name that only the model knows is exact."""
    return Match.EXACT if reading.match is Match.UNKNOWN and model_known else reading.match


def name_cells(reading: NameReading, match: Match) -> tuple[str, str, str]:
    """Cells of `NAME_COLUMNS`.

    >>> name_cells(NameReading("dacia", "logan", Match.EXACT), Match.EXACT)
    ('Dacia Logan', 'exact', '')
    """
    near = () if match is Match.EXACT else reading.suggestions
    texts = [" ".join(display_names(each.company, each.model)) for each in near]
    return " ".join(display_names(reading.company, reading.model)), str(match), " | ".join(texts)


def audit_fragment(pair: ReadPair, match: Match) -> bytes:
    """The start of `features` in an audit record, and what precedes it: JSON without braces.

    >>> audit_fragment(read_pair("dacia", "logan"), Match.EXACT)
    b'"features":{"company":"dacia","model":"logan"'
    """
    if pair.reading is None:
        raise ValueError(f"{pair.given} were not read")
    before = orjson.dumps(audit_names(match, pair.given))[1:-1]
    names = orjson.dumps({"company": pair.reading.company, "model": pair.reading.model})[1:-1]
    return b'%s%s"features":{%s' % (before, b"," if before else b"", names)


def count_names(counter: NoteCounter, pairs: Iterable[tuple[ReadPair, Match, bool, int]]) -> None:
    """Count the notes on names.

    Args:
        counter: counts them.
        pairs: pair, its match, whether the model has statistics, number of rows.
    """
    for pair, match, model_known, rows in pairs:
        written = as_written(pair.given)
        if (code := NAME_NOTES.get(match)) is not None:
            counter.add("model", code, rows, [_example(pair, written, match)])
        elif not model_known:
            counter.add("model", MODEL_UNKNOWN, rows, [written])


def as_written(given: VehicleName) -> str:
    """Brand and model as one text; a brand that the model repeats only once."""
    if given.model == given.company or given.model.startswith(f"{given.company} "):
        return given.model
    return f"{given.company} {given.model}".strip()


def _example(pair: ReadPair, written: str, match: Match) -> str:
    """The names as written and, if they were corrected, as read."""
    if match is not Match.CORRECTED or pair.reading is None:
        return written
    return f"{written} → {name_cells(pair.reading, match)[0]}"
