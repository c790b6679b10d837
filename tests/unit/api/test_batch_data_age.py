"""A batch states the age of its model's data, as of its acceptance."""

import dataclasses
from types import SimpleNamespace

import pytest

from api.batches import detection_schemas
from api.batches.detection_schemas import data_age, dump_input
from shared.domain.batch import Batch, BatchManifest, BatchOptions, BatchProgress
from shared.domain.ids import BatchId, CallerId
from shared.domain.job import JobState
from shared.domain.table import Dialect

NOVEMBER_2026 = 1_794_000_000.0


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Batch:
    """A batch of November 2026 whose model has data of June 2025."""
    identity = {"version": "v1", "data_as_of": "2025-06", "basis": "asking_prices"}
    active = SimpleNamespace(identity=lambda _: identity, width_lag_months=lambda _: 0)
    monkeypatch.setattr(detection_schemas, "services", lambda: SimpleNamespace(active_model=active))
    manifest = BatchManifest(
        id=BatchId("b"), caller=CallerId("c"), accepted_at=NOVEMBER_2026, model_version="v1",
        options=BatchOptions(), dialect=Dialect(), sha256="", size_bytes=1,
    )  # fmt: skip
    return Batch(manifest=manifest, progress=BatchProgress(state=JobState.QUEUED))


def test_data_beyond_the_horizon_are_a_notice(batch: Batch) -> None:
    assert data_age(batch.manifest) == 17
    (notice,) = dump_input(batch, "en")["notices"]
    assert notice["code"] == "data-old"
    assert "at least 17 months old" in notice["detail"]
    assert "au moins 17 mois" in dump_input(batch, "fr")["notices"][0]["detail"]


def test_the_age_that_the_intervals_widen_with_decides(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most listings were five months older than the newest: at 12 months the rule held already."""
    earlier = dataclasses.replace(batch.manifest, accepted_at=NOVEMBER_2026 - 140 * 86_400)
    identity = {"version": "v1", "data_as_of": "2025-06", "basis": "asking_prices"}
    active = SimpleNamespace(identity=lambda _: identity, width_lag_months=lambda _: 5)
    monkeypatch.setattr(detection_schemas, "services", lambda: SimpleNamespace(active_model=active))
    (notice,) = dump_input(dataclasses.replace(batch, manifest=earlier), "en")["notices"]
    assert "at least 17 months old" in notice["detail"]
    assert data_age(earlier) == 12


def test_newer_data_are_not(batch: Batch) -> None:
    earlier = dataclasses.replace(batch.manifest, accepted_at=NOVEMBER_2026 - 140 * 86_400)
    assert data_age(earlier) == 12
    assert dump_input(dataclasses.replace(batch, manifest=earlier), "en")["notices"] == []
