"""Brand, model and edition of listings, read as the service reads those of a request."""

from functools import cache
from typing import Any

from data.hedonic.model import split_vehicle
from data.listings.columns import ListingColumns
from data.market.reference import ReferenceMarket
from shared.domain.names import fold, fold_name
from shared.domain.reading import NamesMissing
from shared.vehicles.names import canonical_brand, read_names

_TWO_WORD_BRANDS = frozenset(
    {"land rover", "alfa romeo", "aston martin", "mercedes benz", "rolls royce", "ds automobiles"}
)
_MAX_MODEL_WORDS = 3

Names = tuple[str | None, str | None, str | None]
"""Brand, model, edition."""


def add_vehicle_names(columns: ListingColumns, *, is_catalogued: bool) -> None:
    """Replace brand and model by canonical names; take titles apart.

    Args:
        columns: changed in place.
        is_catalogued: read them by the catalogue, as requests are read, so that a model trained on
            "Golf 7 GTI" knows the Golf of a request; False: keep the model as written, folded.
    """
    values = columns.cells
    absent: list[Any] = [None] * len(next(iter(values.values())))
    companies = values.get("company", absent)
    models = values.get("model", absent) if columns.names is None else columns.names
    read = _read_title if columns.names is not None else _read_pair
    known: dict[tuple[Any, Any], Names] = {}
    found = []
    for pair in zip(companies, models, strict=True):
        if pair not in known:
            known[pair] = _without_shifted(read(*pair, is_catalogued=is_catalogued))
        found.append(known[pair])
    values["company"] = [company for company, _, _ in found]
    values["model"] = [model for _, model, _ in found]
    if columns.names is not None:
        values.setdefault("edition", [edition for _, _, edition in found])


def _without_shifted(names: Names) -> Names:
    """No brand is a number: the cells of such a row are shifted by a column."""
    company, model, edition = names
    return (None, model, edition) if company and company.isdigit() else names


def _read_pair(company: str | None, model: str | None, *, is_catalogued: bool) -> Names:
    as_written = (company and canonical_brand(company), model and (fold(model) or model), None)
    if not is_catalogued:
        return as_written
    try:
        found = read_names(company, model)
    except NamesMissing as error:
        if company and model:
            return as_written
        return (None, model, None) if error.field == "company" else (company, None, None)
    # The committed statistics are by names without signs ("206+" is the 206).
    return found.company, fold(found.model) or found.model, None


def _read_title(company: str | None, title: str, *, is_catalogued: bool) -> Names:
    split = split_name(title)
    if not is_catalogued:
        return canonical_brand(split[0]) or None, split[1] or None, split[2] or None
    brand, model, _ = _read_pair(company, fold_name(title) or None, is_catalogued=True)
    if brand is None or model is None:
        return brand, model, None
    words, named = fold(title).split(" "), model.split(" ")
    for place in range(len(words) - len(named) + 1):
        if words[place : place + len(named)] == named:
            return brand, model, " ".join(words[place + len(named) :]) or None
    return brand, model, split[2] or None


def split_name(name: str) -> tuple[str, str, str]:
    """Split a listing's full name into company, model and edition.

    Models of the reference market may have several words; for others the first word is the model.

    >>> split_name("Maruti Swift Dzire VDI"), split_name("Mercedes-Benz Classe C 220 d")
    (('maruti', 'swift', 'dzire vdi'), ('mercedes benz', 'classe c', '220 d'))
    """
    words = fold(name).split(" ")
    size = 2 if " ".join(words[:2]) in _TWO_WORD_BRANDS else 1
    company, rest = " ".join(words[:size]), words[size:]
    length = _model_length(canonical_brand(company), rest)
    return company, " ".join(rest[:length]), " ".join(rest[length:])


def _model_length(company: str, words: list[str]) -> int:
    """Number of words that name the model."""
    known = _known_vehicles()
    for length in range(min(_MAX_MODEL_WORDS, len(words)), 1, -1):
        if (company, " ".join(words[:length])) in known:
            return length
    return 1


@cache
def _known_vehicles() -> frozenset[tuple[str, str]]:
    """(company, model) pairs of the reference market."""
    return frozenset(map(split_vehicle, ReferenceMarket.load().hedonic.vehicle_years))
