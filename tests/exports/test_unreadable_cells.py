"""A long file in which every tenth row has an optional cell that cannot be read."""

from collections.abc import Iterator

import pytest

from tests.conftest import Service
from tests.exports.uploads import Outcome, value_file

pytestmark = pytest.mark.integration

ROWS = 4_000
EVERY = 10
HEADER = "Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Puissance fiscale;Portes;Prix"
UNREADABLE = {
    "fuel": "charbon",
    "transmission": "à pédales",
    "km_driven": "peu roulé",
    "fiscal_power_cv": "turbo",
    "doors": "coffre",
    "asking_price_mad": "14,5 millions",
}
"""A cell that cannot be read, by field."""

CARS = (
    ("Dacia", "Logan", "Diesel", "Manuelle"),
    ("Seat", "Leon", "Essence", "Automatique"),
    ("Hyundai", "Accent", "Diesel", "Manuelle"),
    ("Volkswagen", "Touran", "Diesel", "Automatique"),
)
COLUMNS = ("company", "model", "year", *UNREADABLE)


def is_marked(number: int) -> bool:
    """Whether a row has a cell that cannot be read."""
    return number % EVERY == EVERY - 1


def marked_field(number: int) -> str:
    fields = list(UNREADABLE)
    return fields[number // EVERY % len(fields)]


def lines(cell: dict[str, str]) -> Iterator[str]:
    """Header and rows; `cell` says what stands in the marked cells, by field."""
    yield HEADER
    for number in range(ROWS):
        company, model, fuel, gear = CARS[number % len(CARS)]
        km, price = 20_000 + 37 * number, 60_000 + 11 * number
        row = [company, model, str(2010 + number % 12), fuel, gear, str(km), "7", "5", str(price)]
        if is_marked(number):
            field = marked_field(number)
            row[COLUMNS.index(field)] = cell.get(field, "")
        yield ";".join(row)


def valued(service: Service, cell: dict[str, str]) -> Outcome:
    return value_file(service, "stock.csv", "\n".join(lines(cell)).encode())


@pytest.fixture(scope="module")
def outcome(service: Service) -> Outcome:
    return valued(service, UNREADABLE)


def test_every_row_is_valued_in_the_order_of_the_file(outcome: Outcome) -> None:
    assert outcome.statuses == ["valued"] * ROWS
    assert [int(row["Année"]) for row in outcome.rows] == [2010 + i % 12 for i in range(ROWS)]


def test_only_the_rows_with_such_a_cell_have_notes_and_these_quote_it(outcome: Outcome) -> None:
    for number, row in enumerate(outcome.rows):
        if is_marked(number):
            assert UNREADABLE[marked_field(number)] in row["row_notes"], number
        else:
            notes = row["row_notes"]
            assert not notes or "very low for the car's age" in notes, number


def test_notices_count_the_cells_of_each_column(outcome: Outcome) -> None:
    expected = {
        field: sum(is_marked(i) and marked_field(i) == field for i in range(ROWS))
        for field in UNREADABLE
    }
    counted = {
        each["field"]: each["count"]
        for each in outcome.notices
        if UNREADABLE.get(each["field"]) in each["examples"]
    }
    assert counted == expected


def test_an_unreadable_cell_counts_as_an_empty_one(service: Service, outcome: Outcome) -> None:
    empty = valued(service, {})
    assert outcome.prices == empty.prices
    assert outcome.asking_prices == empty.asking_prices
    assert outcome.features == empty.features
