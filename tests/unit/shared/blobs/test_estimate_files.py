"""Kept estimates as files."""

import time

import orjson
import pytest

from shared.blobs.estimate_files import (
    MAX_BYTES,
    EstimateFiles,
    KeptEstimate,
    id_in,
    is_expired,
    require_current,
)
from shared.blobs.local import LocalBlobStore
from shared.domain.car import CarFeatures
from shared.domain.errors import (
    EstimateExpired,
    NewerRecord,
    StorageUnavailable,
    UnreadableRecord,
    ValuationNotFound,
)
from shared.domain.ids import CallerId, ValuationId, new_id
from shared.domain.valuation import CarRequest, Estimate

NOW = 1_790_000_000.0
DAY_S = 86_400


def kept(**changes) -> KeptEstimate:
    """A kept estimate."""
    members = {
        "id": ValuationId(new_id(NOW)),
        "at": NOW,
        "caller": CallerId("local"),
        "request": CarRequest(car=CarFeatures(company="dacia", model="logan", year=2018)),
        "model": {"version": "v", "data_as_of": "2026-06", "basis": "asking_prices"},
        "estimate": Estimate(
            price_mad=1.0, quantiles_mad=(1.0,) * 9, model_version="v", model_known=True
        ),
    }
    return KeptEstimate(**members | changes)


@pytest.fixture
def files(tmp_path):
    return EstimateFiles(LocalBlobStore(tmp_path))


def test_what_is_written_is_read(files):
    for one in (kept(), kept(estimate=None, model={})):
        files.write(one)
        assert files.read(one.id) == one


def test_unknown_and_malformed_ids_have_no_record(files, tmp_path):
    (tmp_path / "estimate.json").write_text("{}")
    for one in (new_id(), "", "..", ".", "a/b", "../" * 9, "\0" * 26):
        assert files.read(one) is None
        assert not files.is_shared(one)


def test_a_damaged_record_and_a_newer_one_are_told(files, tmp_path):
    one = kept()
    files.write(one)
    path = tmp_path / one.id / "estimate.json"
    path.write_bytes(orjson.dumps(one.to_json() | {"schema": 2}))
    with pytest.raises(NewerRecord):
        files.read(one.id)
    for damage in (b"", b"{", b"[]", b'{"schema": 1}'):
        path.write_bytes(damage)
        with pytest.raises(UnreadableRecord):
            files.read(one.id)


def test_a_record_has_a_largest_size(files):
    with pytest.raises(StorageUnavailable):
        files.write(kept(model={"version": "v" * MAX_BYTES}))


def test_sharing_is_a_mark_that_can_be_taken_back(files):
    one = kept()
    files.write(one)
    assert not files.is_shared(one.id)
    files.set_shared(one.id, is_shared=True)
    assert files.is_shared(one.id)
    files.set_shared(one.id, is_shared=False)
    assert not files.is_shared(one.id)
    assert files.read(one.id) == one


def test_removal_takes_the_drawings_too(files, tmp_path):
    one = kept()
    files.write(one)
    files.write_drawing(one.id, "v1-fr.png", b"image")
    assert files.read_drawing(one.id, "v1-fr.png") == b"image"
    files.remove(one.id)
    assert files.read(one.id) is None
    assert list(tmp_path.iterdir()) == []


def test_ids_tell_expired_from_unknown():
    require_current(new_id(NOW - 364 * DAY_S), NOW, 365)
    with pytest.raises(EstimateExpired):
        require_current(new_id(NOW - 366 * DAY_S), NOW, 365)
    for one in (new_id(0), new_id(NOW + 2 * DAY_S), "x", "z" * 26):
        with pytest.raises(ValuationNotFound):
            require_current(one, NOW, 365)
    with pytest.raises(ValuationNotFound):
        require_current(new_id(NOW), NOW, 0)
    assert is_expired(new_id(NOW - 2 * DAY_S), NOW, 1)


def test_an_id_is_found_in_what_people_paste():
    one = new_id(time.time())
    for text in (one, f" {one.upper()} ", f"https://a.example/estimations/{one}.pdf?lang=ar#x"):
        assert id_in(text) == one
    for text in ("", "MQZV-C4R", f"x{one}", "i" * 26):
        assert id_in(text) is None
