"""Work that was given up: listed with its reason, replayed with its rows, or dropped."""

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from cli.dead import dead
from shared.domain.batch import BatchOutcome, RowCounts
from shared.domain.errors import DeadLetterNotFound, DeadLetterNotReplayable
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.fields.requests import load_car_request
from shared.queue.replay import DeadLetterService
from shared.redis import keys
from shared.redis.dead_letters import DEAD_LETTER_TTL_S, DeadLetter
from shared.redis.job_store.store import JobStore
from tests.batch_parts import CALLER, BulkPath, cars_csv
from tests.conftest import REFERENCE_CAR, Servers
from worker.batches import steps
from worker.valuations.sweep import JobSweeper


class Sender:
    """Keeps what is sent."""

    def __init__(self, path: BulkPath) -> None:
        self._path = path
        self.jobs: list[str] = []

    def request_sweep(self) -> None:
        """A sweep is all that is requested for a batch."""
        self._path.sweep.sweep()

    def send_job(self, job: Job) -> None:
        assert not job.is_long
        self.jobs.append(job.id)


@pytest.fixture
def path(tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> BulkPath:
    # To print the traces of the failures takes longer than the rest of the tests.
    monkeypatch.setattr(steps, "log", Mock())
    return BulkPath(tmp_path, servers.broker)


@pytest.fixture
def jobs(path: BulkPath) -> JobStore:
    return JobStore(path.client, path.clock, retention_s=100, lease_s=30)


@pytest.fixture
def sender(path: BulkPath) -> Sender:
    return Sender(path)


@pytest.fixture
def service(path: BulkPath, jobs: JobStore, sender: Sender) -> DeadLetterService:
    return DeadLetterService(path.dead_letters, jobs, path.files, path.store, cast("Any", sender))


def poisoned(path: BulkPath, *rows: str) -> None:
    """Let the model fail for the chunks that begin with these rows."""

    def fault() -> None:
        if path.reading in rows:
            raise ValueError("a secret cell")

    path.model.fault = fault


def statuses(path: BulkPath, batch: Any) -> list[str]:
    rows = csv.DictReader(io.StringIO(path.text(batch)))
    return [row["row_status"] for row in rows]


def recorded(path: BulkPath) -> list[str]:
    return sorted(json.loads(line)["id"] for line in path.audit_lines())


def test_a_chunk_that_was_given_up_is_replayed_and_its_batch_gets_the_rows(
    path: BulkPath, service: DeadLetterService
) -> None:
    poisoned(path, "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    assert batch.progress.counts == RowCounts(valid=35, failed=10)
    (letter,) = service.list()
    assert (letter.id, letter.step, letter.caller) == (f"{batch.manifest.id}-2", "2", CALLER)
    assert (letter.reason, letter.attempts) == ("ValueError", 3)
    path.model.fault = None
    service.replay(letter.id)
    assert service.list() == []
    again = path.sweep_until_ended(batch.manifest.id)
    assert again.progress.outcome is BatchOutcome.COMPLETE
    assert again.progress.counts == RowCounts(valid=45)
    assert statuses(path, again) == ["valued"] * 45
    assert len(recorded(path)) == len(set(recorded(path))) == 45
    assert not path.files.has_intermediates(batch.manifest.id), "nothing is left to replay"


def test_a_chunk_that_fails_again_is_listed_again(
    path: BulkPath, service: DeadLetterService
) -> None:
    poisoned(path, "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    service.replay(service.list()[0].id)
    again = path.sweep_until_ended(batch.manifest.id)
    assert again.progress.counts == RowCounts(valid=35, failed=10)
    assert [each.step for each in service.list()] == ["2"]


def test_each_chunk_of_a_batch_is_replayed_by_itself(
    path: BulkPath, service: DeadLetterService
) -> None:
    poisoned(path, "R1", "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    path.model.fault = None
    service.replay(f"{batch.manifest.id}-0")
    assert path.sweep_until_ended(batch.manifest.id).progress.counts == RowCounts(35, 0, 10)
    service.replay(f"{batch.manifest.id}-2")
    assert path.sweep_until_ended(batch.manifest.id).progress.counts == RowCounts(valid=45)


def test_all_chunks_of_a_batch_are_replayed_at_once(
    path: BulkPath, service: DeadLetterService
) -> None:
    poisoned(path, "R1", "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    path.model.fault = None
    replayed = service.replay_of_batch(f"{batch.manifest.id}-2")
    assert sorted(letter.step for letter in replayed) == ["0", "2"]
    assert service.list() == []
    assert path.sweep_until_ended(batch.manifest.id).progress.counts == RowCounts(valid=45)
    assert len(recorded(path)) == len(set(recorded(path))) == 45


def test_the_command_replays_everything_that_is_listed(
    path: BulkPath, service: DeadLetterService, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(path, "R1", "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    path.model.fault = None
    monkeypatch.setattr("cli.dead._service", lambda: contextlib.nullcontext(service))
    done = CliRunner().invoke(dead, ["replay", "--all"])
    replayed = [line for line in done.output.splitlines() if line.endswith("\treplay")]
    assert (done.exit_code, len(replayed)) == (0, 2)
    assert service.list() == []
    assert path.sweep_until_ended(batch.manifest.id).progress.counts == RowCounts(valid=45)


def test_a_file_that_could_not_be_cut_is_replayed(
    path: BulkPath, service: DeadLetterService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("for ever")

    with monkeypatch.context() as defect:
        defect.setattr(path.files, "split_state", broken)
        batch = path.sweep_until_ended(path.accept(cars_csv(15)))
    assert batch.progress.error == "attempts-exhausted"
    (letter,) = service.list()
    assert (letter.step, letter.reason) == ("split", "RuntimeError")
    path.files.write_split_state(batch.manifest.id, path.files.split_state(batch.manifest.id))
    service.replay(letter.id)
    assert path.sweep_until_ended(batch.manifest.id).progress.counts == RowCounts(valid=15)


def test_a_dropped_letter_leaves_the_batch_as_it_ended(
    path: BulkPath, service: DeadLetterService
) -> None:
    poisoned(path, "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    service.drop(service.list()[0].id)
    assert service.list() == []
    assert statuses(path, path.get(batch.manifest.id)).count("failed") == 10
    assert not path.files.has_intermediates(batch.manifest.id)


def test_what_is_gone_or_runs_cannot_be_replayed(
    path: BulkPath, service: DeadLetterService
) -> None:
    with pytest.raises(DeadLetterNotFound):
        service.replay("01m8jy0000000000000000000a")
    poisoned(path, "R21")
    batch = path.sweep_until_ended(path.accept(cars_csv(45)))
    letter_id = service.list()[0].id
    path.files.delete_intermediates(batch.manifest.id)
    with pytest.raises(DeadLetterNotReplayable):
        service.replay(letter_id)
    assert path.get(batch.manifest.id).progress.state is JobState.SUCCEEDED, "unchanged"
    assert [each.id for each in service.list()] == [letter_id]


def stored_job(jobs: JobStore, path: BulkPath) -> Job:
    request = load_car_request(REFERENCE_CAR)
    job = Job(
        id=JobId(new_id()),
        caller=CallerId("me"),
        state=JobState.QUEUED,
        created_at=path.clock.now,
        requests=(request,),
        is_list=False,
    )
    jobs.create(job)
    return job


def given_up(jobs: JobStore, path: BulkPath) -> Job:
    """A job whose worker was killed at each attempt."""
    job = stored_job(jobs, path)
    for _ in range(3):
        jobs.start(job.id)
    path.clock.now += 60
    sweeper = JobSweeper(jobs, lambda *_, **__: None, path.dead_letters, max_attempts=3)
    sweeper.sweep()
    assert jobs.get(job.id, job.caller).error == "attempts-exhausted"
    return job


def test_a_job_that_was_given_up_is_replayed_with_all_its_attempts(
    path: BulkPath, service: DeadLetterService, jobs: JobStore, sender: Sender
) -> None:
    job = given_up(jobs, path)
    (letter,) = service.list()
    assert (letter.id, letter.reason, letter.attempts) == (job.id, "worker-lost", 3)
    assert path.client.ttl(keys.job(job.id)) > DEAD_LETTER_TTL_S - 60, "as long as it is listed"
    service.replay(job.id)
    again = jobs.get(job.id, job.caller)
    assert (again.state, again.attempts, again.error) == (JobState.QUEUED, 0, None)
    assert sender.jobs == [job.id]
    path.clock.now += 31
    assert jobs.overdue(10) == [job.id], "it is not lost if its message is"
    with pytest.raises(DeadLetterNotFound):
        service.replay(job.id)


def test_a_dropped_job_stays_failed(
    path: BulkPath, service: DeadLetterService, jobs: JobStore
) -> None:
    job = given_up(jobs, path)
    service.drop(job.id)
    assert service.list() == []
    assert jobs.get(job.id, job.caller).state is JobState.FAILED


def test_old_letters_leave_the_list(path: BulkPath, service: DeadLetterService) -> None:
    def add(work_id: str) -> None:
        path.dead_letters.add_step(cast("Any", work_id), CALLER, "1", "", 3)

    add("old")
    path.clock.now += DEAD_LETTER_TTL_S + 1
    assert path.dead_letters.count() == 0
    add("new")
    assert [each.work_id for each in service.list()] == ["new"]
    assert isinstance(service.list()[0], DeadLetter)
