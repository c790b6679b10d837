"""Rows that add up others are rejected as such, wherever their words stand, in both engines."""

from pathlib import Path

import pytest

from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers

CAR = "R1;Skoda;Fabia;2017;91000"


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


@pytest.mark.parametrize(
    "row",
    [
        ";Nombre de voitures : 3;;;", ";Nb. véhicules: 12;;;", ";Moy.;;2017;91000", ";Min;;2017;",
        ";Max;;;91000", ";Maximum;;;", ";;Médiane;2017;91000", "Moyenne;;;2017;91000",
        "Number of cars: 4;;;;", "Écart type;;;1;", ";Min;2;;", ";Total;;;",
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_plain", [True, False])
def test_the_reason_names_the_words(path: BulkPath, row: str, is_plain: bool) -> None:  # noqa: FBT001
    data = "\n".join(["Réf;Marque;Modèle;Année;Km", CAR, row, CAR, "" if is_plain else 'R2";;;;'])
    batch = path.run(data.encode())
    error = path.errors(batch)[0]
    assert (error["line"], error["code"]) == (3, "summary-row")
    words = max(row.split(";")[:3], key=len)
    assert error["value"] == words
    assert [each["row_status"] for each in rows_of(path, batch)][:3] == [
        "valued", "rejected", "valued",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        "R2;;;2017;91000", "Max Motors;;;2017;91000", ";Isuzu;D-Max;2017;91000",
        ";MINI;;2017;91000", ";;MINI 3 portes Cooper S;2017;91000", ";Mini;1000;2017;91000",
    ],
)  # fmt: skip
def test_other_rows_are_no_summaries(path: BulkPath, row: str) -> None:
    batch = path.run(f"Réf;Marque;Modèle;Année;Km\n{CAR}\n{row}".encode())
    assert not [error for error in path.errors(batch) if error["code"] == "summary-row"]
