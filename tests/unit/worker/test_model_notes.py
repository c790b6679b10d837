"""Batches say of their rows what the model says of single cars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.batches.detection_schemas import dump_input
from data.vehicles.columns import values_at
from shared.domain.batch import Batch
from shared.domain.files.notes import MODEL_NOTES, ModelNote
from shared.domain.valuation import EXTRAPOLATED, NO_EFFECT, UNSEEN_IN_MODEL
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
from tests.unit.worker.test_row_units import counted

HEADER = "Marque;Modèle;Année;Carburant;Boîte;Km;Finition;Cylindrée"
ROWS = [
    "Skoda;Fabia;2024;Diesel;Manuelle;90000;Ambition;1400",
    "Skoda;Fabia;2017;GPL;Manuelle;90000;Ambition;1400",
    "Skoda;Fabia;2025;Diesel;Manuelle;2000000;;1400",
    "Kia;Rio;1890;GPL;Manuelle;90000;Zzz;",
    "Kia;Rio;2017;Diesel;Manuelle;90000;Zzz;",
]
QUOTED = 'Kia;"Rio\n";2017;Diesel;Manuelle;90000;"a ""b""\nc";'
"""A row that only the general engine reads."""


def notes_of(columns: Mapping[str, Any], n: int) -> np.ndarray:
    """Years from 2024 on and high mileages are extrapolated, LPG is unseen, "zzz" is unknown."""
    found = np.zeros(n, dtype=np.int64)
    for field, code, is_noted in (
        ("year", EXTRAPOLATED, lambda year: year >= 2024),
        ("km_driven", EXTRAPOLATED, lambda km: km > 500_000),
        ("engine_cc", EXTRAPOLATED, lambda engine: (engine or 0) > 9_000),
        ("fuel", UNSEEN_IN_MODEL, lambda fuel: fuel == "LPG"),
        ("edition", NO_EFFECT, lambda edition: edition == "zzz"),
    ):
        bit = 1 << MODEL_NOTES.index(ModelNote(field, code))
        found += [bit * is_noted(value) for value in values_at(columns[field], range(n))]
    return found


@pytest.fixture
def path(tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> BulkPath:
    monkeypatch.setattr("api.batches.detection_schemas.data_age", lambda _: None)  # no application
    path = BulkPath(tmp_path, servers.broker)
    path.model.notes_of = notes_of
    path.model.without_effect = ("engine_cc", "doors")
    return path


def run(path: BulkPath, rows: list[str], **options: Any) -> Batch:
    return path.run("\n".join([HEADER, *rows]).encode(), **options)


@pytest.mark.parametrize("more", [[], [QUOTED]], ids=["fast", "general"])
def test_rows_have_the_notes_and_the_batch_counts_them(path: BulkPath, more: list[str]) -> None:
    batch = run(path, ROWS + more, language="en")
    notes = [row["row_notes"] for row in rows_of(path, batch)][: len(ROWS)]
    assert notes[0].startswith("Year of first registration: Hardly any listing of this model")
    assert notes[1].startswith("Fuel: Hardly any listing of this model has this value")
    assert "very high" in notes[2]
    assert "Odometer: Hardly" not in notes[2], "the note on the cell says more"
    assert notes[3] == ""
    assert notes[4].endswith(
        "No effect on this price: the model's data say nothing about this value."
    )
    found = counted(batch)
    assert found["year", EXTRAPOLATED] == (2, ("skoda fabia 2024", "skoda fabia 2025"))
    assert found["fuel", UNSEEN_IN_MODEL] == (1, ("skoda fabia LPG",))
    assert found["edition", NO_EFFECT] == (1, ("zzz",))
    assert ("km_driven", EXTRAPOLATED) not in found


@pytest.mark.parametrize("more", [[], [QUOTED]], ids=["fast", "general"])
def test_columns_without_any_effect_are_one_notice(path: BulkPath, more: list[str]) -> None:
    batch = run(path, ROWS + more)
    assert counted(batch)["engine_cc", "columns-without-effect"][0] == 3
    assert not any("Cylindrée" in row["row_notes"] for row in rows_of(path, batch))
    notices = {each["code"]: each for each in dump_input(batch, "fr")["notices"]}
    assert notices["columns-without-effect"]["detail"] == (
        "Sans effet sur les prix de ce modèle, quelle que soit la valeur : Cylindrée."
    )
    assert notices["extrapolated"]["count"] == 2
    assert "skoda fabia 2024" in notices["extrapolated"]["detail"]


def test_numbers_outside_the_range_of_all_listings_have_another_notice(path: BulkPath) -> None:
    path.model.without_effect = ("doors",)
    batch = run(path, ["Skoda;Fabia;2017;Diesel;Manuelle;90000;Ambition;9500"])
    (notice,) = (
        each for each in dump_input(batch, "en")["notices"] if each["code"] == "extrapolated"
    )
    assert (notice["field"], notice["count"]) == ("engine_cc", 1)
    assert "outside the range of all listings" in notice["detail"]
    (row,) = rows_of(path, batch)
    assert "Hors de l'étendue de toutes les annonces" in row["row_notes"]


def test_a_dry_run_has_no_notes_of_the_model(path: BulkPath) -> None:
    batch = run(path, ROWS, dry_run=True)
    assert {code for _, code in counted(batch)}.isdisjoint(
        {EXTRAPOLATED, NO_EFFECT, UNSEEN_IN_MODEL, "columns-without-effect"}
    )
