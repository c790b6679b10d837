"""Values of one column that are ignored for several reasons have one notice."""

from pathlib import Path

import pytest

from api.batches.detection_schemas import dump_input
from tests.batch_parts import BulkPath
from tests.conftest import Servers

HEADER = "Marque;Modèle;Année;Km;Cylindrée"


def test_several_reasons_for_one_column_are_one_notice(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.batches.detection_schemas.data_age", lambda _: None)  # no application
    path = BulkPath(tmp_path, servers.broker)
    rows = ["1461", "enormous", "99999", "12 kW", "-4"]
    data = "\n".join([HEADER, *(f"Skoda;Fabia;2017;91000;{cell}" for cell in rows)])
    batch = path.run(data.encode())
    counted = [each for each in batch.progress.notes if each.field == "engine_cc"]
    assert len(counted) > 1, "the reasons are kept apart"
    notices = [each for each in dump_input(batch, "en")["notices"] if each["column"] == "Cylindrée"]
    (notice,) = notices
    assert notice["code"] == "unreadable-cells"
    assert notice["count"] == 4
    assert len(notice["examples"]) == 3
