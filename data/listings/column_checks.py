"""What a listings file must have: columns of the car, and prices in dirhams."""

from collections import Counter
from collections.abc import Container, Sequence

from data.listings.files import PRICE_NAMES, ListingsError, RawTable
from data.listings.table import PRICE
from shared.i18n.command import gettext as _

_MAX_HEADERS_SHOWN = 20


def check_columns(raw: RawTable, texts: Container[str], *, has_names: bool) -> None:
    """Raise `ListingsError` if a required column is missing."""
    needed = [PRICE, "year"] if has_names else [PRICE, "company", "model", "year"]
    missing = [name for name in needed if name not in texts]
    if missing:
        raise _missing(raw, missing)


def _missing(raw: RawTable, names: Sequence[str]) -> ListingsError:
    found = ", ".join(raw.headers[:_MAX_HEADERS_SHOWN])
    if not raw.dialect.has_header:
        return ListingsError(
            _(
                "{name}: the file has no header row: write the names of its columns above the "
                "first car"
            ).format(name=raw.name)
        )
    called = _("a price is called {names}").format(names=", ".join(PRICE_NAMES))
    hint = f" ({called})" if PRICE in names else ""
    return ListingsError(
        _("{name}: no column for {names}; found: {found}{hint}").format(
            name=raw.name, names=", ".join(names), found=found, hint=hint
        )
    )


def check_prices(raw: RawTable) -> None:
    """Raise `ListingsError` unless there is a column of prices in dirhams."""
    dialect = raw.dialect
    if dialect.asking is not None:
        return
    if dialect.currency is not None:
        raise in_foreign_currency(raw)
    notices = Counter({notice.code: 1 for notice in dialect.notices})
    if notices["price-scale"]:
        raise ListingsError(
            _(
                "{name}: the prices count in thousands: write them in dirhams, in a column "
                "price_mad"
            ).format(name=raw.name)
        )
    if {"price_mad", "low_mad", "high_mad"}.issubset(raw.headers):
        raise ListingsError(
            _(
                "{name}: price_mad is this service's own estimate here, beside low_mad and "
                "high_mad: a model is trained on asking prices, in a column such as prix"
            ).format(name=raw.name)
        )
    raise _missing(raw, [PRICE])


def in_foreign_currency(raw: RawTable) -> ListingsError:
    """The error of a file whose prices are all in another currency."""
    return ListingsError(
        _(
            "{name}: the prices are in {currency}, and a model quotes dirhams: convert the "
            "column, each price at the rate of its month, and call it price_mad"
        ).format(name=raw.name, currency=raw.dialect.currency)
    )
