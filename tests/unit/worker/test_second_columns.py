"""Where the column of a field is blank, its value is read from a second column of that field."""

from pathlib import Path

import pytest

from shared.domain.batch import BatchOptions
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
from tests.unit.worker.test_row_units import notices, read

MILE = 1.609344


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def table(header: str, *rows: str) -> bytes:
    return "\n".join([header, *rows]).encode()


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Date de mise en circulation", "15/03/2015"),
        ("Date 1ère immatriculation", "2015-03-15"),
        ("Year of registration", "2015"),
    ],
)
def test_a_blank_year_is_read_from_the_date_beside_it(
    path: BulkPath, column: str, cell: str
) -> None:
    header = f"Marque;Modèle;Année;{column};Kilométrage"
    rows = [f"Ford;Focus;{year};{cell};81000" for year in ("2015", "", "n.c.", "2016")]
    batch = path.run(table(header, *rows, "Ford;Focus;;;82000"))
    assert read(path, batch, "year") == [2015, 2015, 2015, 2016]
    assert notices(batch)["read-where-blank"] == "year"
    assert [each["line"] for each in path.errors(batch)] == [6]


def test_the_error_names_the_column_that_was_read(path: BulkPath) -> None:
    header = "Marque;Modèle;Année;Date de mise en circulation;Km"
    rows = ["Ford;Focus;2014;03/2014;90000", "Ford;Focus;;soon;90000"]
    (error,) = path.errors(path.run(table(header, *rows)))
    assert (error["column"], error["value"]) == ("Date de mise en circulation", "soon")


def test_other_fields_have_second_columns_too(path: BulkPath) -> None:
    header = "Make;Marque;Model;Year;Fuel;Carburant;Odometer;Kilométrage"
    rows = [
        "Ford;Ford;Focus;2014;Diesel;Diesel;80000;80000", ";Ford;Focus;2014;;Essence;;81000",
        "Ford;;Focus;2014;Petrol;;82000;",
    ]  # fmt: skip
    batch = path.run(table(header, *rows))
    assert read(path, batch, "company") == ["ford"] * 3
    assert read(path, batch, "fuel") == ["Diesel", "Petrol", "Petrol"]
    assert read(path, batch, "km_driven") == [80000, 81000, 82000]


def test_columns_that_contradict_each_other_do_not_complete_each_other(path: BulkPath) -> None:
    header = "Marque;Modèle;Année;Date de mise en circulation;Kilométrage"
    rows = [f"Ford;Focus;{year};03/2009;81000" for year in (2014, 2017, 2019, "")]
    try:
        batch = path.run(table(header, *rows))
    except Exception:  # noqa: BLE001 - a refusal of the file is as good
        return
    assert read(path, batch, "year") == [2014, 2017, 2019]


def test_rows_in_both_engines_are_read_alike(path: BulkPath) -> None:
    path.split_by(2)
    header = "Marque;Modèle;Année;Date de mise en circulation;Km;Miles"
    full = "Ford;Focus;2015;15/03/2015;80467;50000"
    blank = ["Ford;Focus;;15/03/2015;80467;50000", "Ford;Focus;2015;;;50000"]
    rows = [full] * 10 + [*blank, full, full]
    batch = path.run(table(header, *rows))
    assert read(path, batch, "year") == [2015] * 14
    assert read(path, batch, "km_driven") == [80467] * 11 + [round(50000 * MILE)] + [80467] * 2
    assert [row["row_status"] for row in rows_of(path, batch)] == ["valued"] * 14
    assert BatchOptions() == batch.manifest.options
