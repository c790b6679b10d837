"""An unusual mileage has the note in batches that it has in the answer about a single car."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.domain.car import mileage_warning_code
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
from tests.unit.worker.test_row_units import counted
from worker.batches.mileages import unusual_mileages

HEADER = "Brand;Model;Year;Fuel;Gearbox;Odometer (km)"


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def table(*cells: str, year: int = 2012) -> bytes:
    rows = [f"Skoda;Octavia;{year};Diesel;Manual;{cell}" for cell in cells]
    return "\n".join([HEADER, *rows]).encode()


@pytest.mark.parametrize("year", [2009, 2023, datetime.now(UTC).year, datetime.now(UTC).year + 1])
@pytest.mark.parametrize("km_driven", [0, 90, 5999, 26_001, 150_001, 300_000, 2_000_000])
def test_columns_are_judged_as_single_cars_are(year: int, km_driven: int) -> None:
    now = datetime.now(UTC).year
    found = list(unusual_mileages(np.array([year, year]), np.array([np.nan, km_driven]), now))
    code = mileage_warning_code(year=year, km_driven=km_driven, this_year=now)
    assert found == ([] if code is None else [(1, code, str(km_driven))])


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_row_with_an_unusual_mileage_has_a_note(
    path: BulkPath, quote: str, language: str
) -> None:
    batch = path.run(
        table("115", "82000", f"{quote}90-110{quote}", "", "1 990 000"), language=language
    )
    notes = [row["row_notes"] for row in rows_of(path, batch)]
    assert [bool(note) for note in notes] == [True, False, True, False, True]
    low, high = (
        ("are these thousands", "very high") if language == "en" else ("des milliers", "très élevé")
    )
    assert "115" in notes[0]
    assert low in notes[0]
    assert "100" in notes[2]
    assert low in notes[2]
    assert high in notes[4]
    assert counted(batch)["km_driven", "km-low"] == (2, ("115", "100"))
    assert counted(batch)["km_driven", "km-high"] == (1, ("1990000",))


def test_rows_that_need_the_general_engine_have_the_note(path: BulkPath) -> None:
    plain = path.run(table("115", "82000"))
    general = path.run(table("115", "82000") + b'\nx";;;;;')
    notes = [[row["row_notes"] for row in rows_of(path, each)] for each in (plain, general)]
    assert notes[0] == notes[1][:2]
    assert counted(plain)["km_driven", "km-low"] == counted(general)["km_driven", "km-low"]


def test_rejected_rows_and_dry_runs_are_counted_rightly(path: BulkPath) -> None:
    data = table("115", "82000", "120") + b"\nSkoda;Octavia;;Diesel;Manual;130"
    for is_dry in (False, True):
        batch = path.run(data, dry_run=is_dry)
        assert [bool(row["row_notes"]) for row in rows_of(path, batch)] == [
            True, False, True, False,
        ]  # fmt: skip
        assert counted(batch)["km_driven", "km-low"] == (2, ("115", "120"))
