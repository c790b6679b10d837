"""A header or a row of units among the rows of a file changes the units of what follows."""

import io
from pathlib import Path

import pytest
from openpyxl import Workbook

from shared.domain.batch import Batch, BatchOptions
from shared.domain.table import Dialect
from shared.tabular.csv_reader import START
from shared.tabular.dialect import detect_dialect
from shared.tabular.encoding import EncodingDetector
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
from tests.unit.worker.test_row_units import counted, read
from worker.batches.fast_csv.spans import ByteSpan
from worker.batches.split import ChunkReader

MILE = 1.609344
HEADER = "Brand;Model;Year;Fuel;Odometer (km)"
CAR = "Seat;Leon;2016;Diesel;"
MILES_HEADER = "Brand;Model;Year;Fuel;Odometer (miles)"


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker, chunk_rows=7)


def table(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines]).encode() + b"\n"


def cars(number: int, *, first: int = 40_000) -> list[str]:
    return [f"{CAR}{first + row}" for row in range(number)]


def reasons(path: BulkPath, batch: Batch) -> dict[int, str]:
    found = path.errors(batch)
    return {each["line"]: each["code"] for each in found}


@pytest.mark.parametrize("before", [3, 30, 60])
@pytest.mark.parametrize(
    ("row", "code"),
    [
        (MILES_HEADER, "repeated-header"),
        ("Make;Model;Year;Fuel type;Mileage (mi)", "repeated-header"),
        (";;;;miles", "units-row"),
        (";;;;(mi)", "units-row"),
        (";;;;in miles", "units-row"),
        ("text;text;YYYY;text;miles", "units-row"),
    ],
)
def test_the_unit_of_a_second_header_or_row_of_units_holds_for_what_follows(
    path: BulkPath, before: int, row: str, code: str
) -> None:
    batch = path.run(table(*cars(before), row, *cars(20)))
    assert reasons(path, batch) == {before + 2: code}
    expected = [40_000 + at for at in range(before)]
    assert read(path, batch, "km_driven") == expected + [
        round((40_000 + at) * MILE) for at in range(20)
    ]
    assert counted(batch)["km_driven", "unit-changed"] == (20, ("miles",))


@pytest.mark.parametrize(
    "row",
    [
        "Brand;Model;Year;Fuel;Odometer (km/miles)",
        "Brand;Model;Year;Fuel;Reading",
        "Distances in miles;;;;",
        ";;miles;;",
    ],
)
def test_a_unit_that_is_not_clear_is_never_taken_for_kilometres(path: BulkPath, row: str) -> None:
    batch = path.run(table(*cars(12), row, *cars(9), f"{CAR}33000 km"))
    assert len(reasons(path, batch)) == 1
    assert read(path, batch, "km_driven")[12:] == [None] * 9 + [33_000]
    assert all("unit" in note for note in notes(path, batch)[13:22])
    assert counted(batch)["km_driven", "unclear-unit"][0] == 10


def notes(path: BulkPath, batch: Batch) -> list[str]:
    return [row["row_notes"].replace("unité", "unit") for row in rows_of(path, batch)]


@pytest.mark.parametrize("row", [HEADER, "Make;Model;Year;Fuel;Odometer (km)", ";;;;km"])
def test_a_row_that_says_the_same_as_the_header_changes_nothing(path: BulkPath, row: str) -> None:
    batch = path.run(table(*cars(12), row, *cars(9)))
    assert len(reasons(path, batch)) == 1
    assert read(path, batch, "km_driven")[12:] == [40_000 + at for at in range(9)]
    assert ("km_driven", "unit-changed") not in counted(batch)


def test_the_header_of_the_file_brings_its_unit_back(path: BulkPath) -> None:
    batch = path.run(table(*cars(8), MILES_HEADER, *cars(8), HEADER, *cars(8)))
    expected = [40_000 + at for at in range(8)]
    miles = [round(each * MILE) for each in expected]
    assert read(path, batch, "km_driven") == expected + miles + expected


def test_a_unit_that_was_unclear_at_first_can_be_stated_later(path: BulkPath) -> None:
    data = table(*cars(8), HEADER, *cars(8), header="Brand;Model;Year;Fuel;Odometer (km/miles)")
    batch = path.run(data)
    assert read(path, batch, "km_driven") == [None] * 8 + [40_000 + at for at in range(8)]


def test_prices_below_a_header_with_another_currency_get_no_verdict(path: BulkPath) -> None:
    header = f"{HEADER};Price (MAD)"
    rows = [f"{car};90000" for car in cars(8)]
    batch = path.run(table(*rows, f"{HEADER};Price (EUR)", *rows, header=header))
    verdicts = [row["verdict"] for row in rows_of(path, batch)]
    assert all(verdicts[:8])
    assert not any(verdicts[8:])
    assert ("asking_price_mad", "foreign-currency") in counted(batch)


@pytest.mark.parametrize("row", ["Brand;Model;Fuel;Price (EUR)", ";;;EUR"])
def test_a_currency_changes_in_files_without_years_and_distances(path: BulkPath, row: str) -> None:
    cars = ["Seat;Leon;Diesel;90000"] * 8
    data = table(*cars, row, *cars, header="Brand;Model;Fuel;Price (MAD)")
    batch = path.run(data, constants=(("year", "2016"), ("km_driven", "80000")))
    verdicts = [row["verdict"] for row in rows_of(path, batch)]
    assert all(verdicts[:8])
    assert not any(verdicts[8:])


def test_rows_below_a_header_with_other_columns_are_rejected(path: BulkPath) -> None:
    swapped = "Model;Brand;Year;Fuel;Odometer (km)"
    batch = path.run(table(*cars(8), swapped, *cars(8), HEADER, *cars(2)))
    codes = list(reasons(path, batch).values())
    assert codes == ["repeated-header", *["after-other-header"] * 8, "repeated-header"]
    assert batch.progress.counts.valid == 10


@pytest.mark.parametrize(
    "row",
    [
        "Seat;Leon;;Diesel;41000", "Seat;Leon;;;", "Total;;;;", ";;;;41000", "Seat;;;Diesel;miles",
        "Diesel;;;;",
    ],
)  # fmt: skip
def test_rows_that_state_no_unit_change_nothing(path: BulkPath, row: str) -> None:
    batch = path.run(table(*cars(8), row, *cars(8)))
    assert not {"units-row", "repeated-header"} & set(reasons(path, batch).values())
    assert read(path, batch, "km_driven") == [40_000 + at for at in range(8)] * 2


def test_a_workbook_is_read_like_a_text_file(path: BulkPath) -> None:
    book = Workbook()
    for line in (HEADER, *cars(60), MILES_HEADER, *cars(5)):
        cells = line.split(";")
        book.active.append([int(cell) if cell.isdigit() else cell for cell in cells])
    data = io.BytesIO()
    book.save(data)
    batch = path.run(data.getvalue())
    assert read(path, batch, "km_driven")[60:] == [round((40_000 + at) * MILE) for at in range(5)]


def test_a_corrected_row_of_a_file_whose_unit_changes_has_to_state_its_unit(
    path: BulkPath,
) -> None:
    rows = [*cars(8), MILES_HEADER, "Seat;Leon;n.c.;Diesel;42000", "Seat;Leon;?;Diesel;43000"]
    batch = path.run(table(*rows))
    rejected = path.text(batch, "rejected.csv").splitlines()
    fixed = [rejected[0], *(line.replace("n.c.", "2016") for line in rejected if "n.c." in line)]
    fixed += [
        line.replace("?", "2016", 1).replace("43000", "43000 miles")
        for line in rejected
        if ";?;" in line
    ]
    correction = path.correct(batch, "\n".join(fixed).encode())
    assert correction.progress.error is None
    assert read(path, correction, "km_driven") == [None, round(43_000 * MILE)]


def test_only_chunks_up_to_the_change_are_cut_for_the_fast_engine() -> None:
    quoted = '"Brand";"Model";"Year";"Fuel";"Odometer (miles)"'
    for row in (MILES_HEADER, quoted, ";;;;miles"):
        data = io.BytesIO(table(*cars(20), row, *cars(20)))
        reader = ChunkReader(data, _dialect(), START)
        chunks = []
        while chunk := reader.cut(first_row=1, max_rows=10):
            chunks.append(isinstance(chunk, ByteSpan))
        assert chunks == [True, True, False, False, False]
        assert reader.inner_state.units == {"km_driven": "miles"}


def _dialect() -> Dialect:
    data = table(*cars(5))
    detector = EncodingDetector()
    detector.feed(data)
    return detect_dialect(data, detector, BatchOptions(), whole=True)
