"""The sweep of expired estimates."""

from shared.blobs.estimate_files import EstimateFiles
from shared.blobs.local import LocalBlobStore
from shared.domain.ids import new_id
from shared.redis import keys
from tests.unit.shared.blobs.test_estimate_files import NOW, kept
from worker.valuations.estimate_sweep import EstimateSweeper

DAY_S = 86_400


def test_expired_estimates_are_deleted_and_the_others_stay(servers, tmp_path):
    files = EstimateFiles(LocalBlobStore(tmp_path))
    ages = (400, 366, 364, 0)
    ids = [new_id(NOW - age * DAY_S) for age in ages]
    for one in ids:
        files.write(kept(id=one))
    sweeper = EstimateSweeper(files, servers.broker, lambda: NOW, days=365)
    assert sweeper.sweep() == 2
    assert list(files.ids()) == sorted(ids[2:])
    files.write(kept(id=ids[0]))
    assert sweeper.sweep() == 0, "the next scan comes later"
    servers.broker.delete(keys.ESTIMATE_SCAN_MARKER)
    assert sweeper.sweep() == 1


def test_a_store_that_does_not_answer_fails_no_sweep(servers, tmp_path):
    (tmp_path / "file").write_text("in the way")
    files = EstimateFiles(LocalBlobStore(tmp_path / "file" / "below"))
    assert EstimateSweeper(files, servers.broker, lambda: NOW, days=365).sweep() == 0
