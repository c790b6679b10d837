"""The list of all callers' jobs and batches."""

import dataclasses
import time
from pathlib import Path

import pytest

from shared.domain.car import CarFeatures
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobKind, JobState
from shared.domain.valuation import CarRequest
from shared.keys.entries import Scope, new_key
from shared.keys.store import FileKeyStore
from shared.operations import work_list
from shared.operations.work_list import WorkFilter, WorkList
from shared.redis import keys
from shared.redis.job_store.store import JobStore
from shared.settings import Settings
from tests.batch_parts import CALLER, BulkPath, cars_csv
from tests.conftest import Servers
from tests.job_archive import no_archive

CAR = CarRequest(car=CarFeatures(company="Dacia", model="Logan", year=2018))


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Settings:
    """Settings with the keys of two callers."""
    found = dataclasses.replace(servers.settings, home=tmp_path)
    for name in ("alice", "bob"):
        entry = new_key(name, frozenset({Scope.PREDICT}))[1]
        FileKeyStore.of(found).change(lambda entries, entry=entry: [*entries, entry])
    return found


@pytest.fixture
def jobs(servers: Servers) -> dict[str, JobId]:
    """A job of each caller, in this order, and one of a caller without a key."""
    store = JobStore(servers.broker, time.time, retention_s=3600, lease_s=30)
    found = {}
    for caller in ("alice", "bob", "local", "gone"):
        job = Job(
            id=JobId(new_id()), caller=CallerId(caller), state=JobState.QUEUED,
            created_at=time.time(), requests=(CAR,), is_list=False,
        )  # fmt: skip
        store.create(job)
        found[caller] = job.id
        time.sleep(0.002)  # ids have milliseconds
    store.finish(found["bob"], JobState.FAILED, error="x")
    return found


def ids(settings: Settings, servers: Servers, limit: int = 10, **wanted: object) -> list[str]:
    work = WorkList.of(settings, servers.broker, time.time)
    return [each.id for each in work.newest(WorkFilter(**wanted), limit).entries]


def test_the_newest_of_all_callers_come_first(
    settings: Settings, servers: Servers, jobs: dict[str, JobId]
) -> None:
    assert ids(settings, servers) == [jobs["local"], jobs["bob"], jobs["alice"]]
    assert ids(settings, servers, limit=1) == [jobs["local"]]


def test_filters_hold_by_state_caller_kind_and_age(
    settings: Settings, servers: Servers, jobs: dict[str, JobId]
) -> None:
    assert ids(settings, servers, states=[JobState.FAILED]) == [jobs["bob"]]
    assert ids(settings, servers, caller=CallerId("gone")) == [jobs["gone"]]
    assert ids(settings, servers, kinds=[JobKind.BATCH]) == []
    assert ids(settings, servers, accepted_after=time.time() + 60) == []
    assert ids(settings, servers, accepted_after=time.time() - 60, states=[JobState.QUEUED]) == [
        jobs["local"], jobs["alice"],
    ]  # fmt: skip


def test_a_list_that_looked_at_the_newest_alone_says_so(
    settings: Settings,
    servers: Servers,
    jobs: dict[str, JobId],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = WorkList.of(settings, servers.broker, time.time)
    failed = WorkFilter(states=[JobState.FAILED])  # bob's, the second of three
    assert not work.newest(failed, 10).is_cut
    monkeypatch.setattr(work_list, "MAX_READ", 1)
    found = work.newest(failed, 10)
    assert (found.entries, found.is_cut) == ([], True)
    assert not work.newest(WorkFilter(), 1).is_cut
    assert jobs["bob"] not in ids(settings, servers)


def test_callers_without_jobs_and_damaged_keys_do_not_matter(
    settings: Settings, servers: Servers, jobs: dict[str, JobId]
) -> None:
    settings.keys_file.write_text("no keys")
    assert ids(settings, servers) == [jobs["local"]]


def test_a_batch_that_cannot_be_read_is_named_and_hides_no_other(
    servers: Servers, tmp_path: Path
) -> None:
    path = BulkPath(tmp_path, servers.broker)
    unreadable, other = (path.accept(cars_csv(1)) for _ in range(2))
    servers.broker.hset(keys.batch(unreadable), "state", "PONDERED")
    archive = no_archive(servers.broker)
    work = WorkList(servers.broker, archive, path.files, path.store, lambda: [CALLER])
    found = work.newest(WorkFilter(), 10)
    assert [each.id for each in found.entries] == [other]
    assert found.unreadable == [unreadable]
