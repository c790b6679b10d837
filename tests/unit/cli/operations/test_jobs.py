"""`carprice jobs`: the work of all callers, as text and as JSON."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from shared.domain.car import CarFeatures
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import CarRequest
from shared.redis import keys
from shared.redis.job_store.store import JobStore
from tests.conftest import Servers

CAR = CarRequest(car=CarFeatures(company="Dacia", model="Logan", year=2018))


@pytest.fixture
def job(servers: Servers) -> Job:
    """A job that waits."""
    made = Job(
        id=JobId(new_id()), caller=CallerId("local"), state=JobState.QUEUED,
        created_at=time.time(), requests=(CAR,), is_list=False,
    )  # fmt: skip
    JobStore(servers.broker, time.time, retention_s=3600, lease_s=30).create(made)
    return made


def run(servers: Servers, home: Path, *arguments: str, **env: str) -> Result:
    own = {"CARPRICE_HOME": str(home), "REDIS_URL": servers.settings.redis_url} | env
    return CliRunner().invoke(main, ["jobs", *arguments], env=own)


def test_work_is_listed_in_lines_and_in_json(servers: Servers, tmp_path: Path, job: Job) -> None:
    done = run(servers, tmp_path)
    assert done.exit_code == 0
    assert done.stdout.split("\t")[:5] == [job.id, "job", "QUEUED", "local", "0/1"]
    (row,) = json.loads(run(servers, tmp_path, "--json").stdout)
    assert (row["id"], row["total"], row["finished_at"]) == (job.id, 1, None)


@pytest.mark.parametrize(
    "filters",
    [("--state", "failed"), ("--kind", "batch"), ("--caller", "bob"), ("--hours", "0.0000001")],
)
def test_filters_may_leave_nothing(
    servers: Servers, tmp_path: Path, job: Job, filters: tuple[str, str]
) -> None:
    time.sleep(0.01)
    done = run(servers, tmp_path, *filters)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing matches\n"), job.id
    assert run(servers, tmp_path, "--json", *filters).stdout == "[]\n"


def test_work_that_cannot_be_read_is_named(servers: Servers, tmp_path: Path, job: Job) -> None:
    servers.broker.hset(keys.job(job.id), "state", "PONDERED")
    done = run(servers, tmp_path, "--json")
    assert (done.exit_code, done.stdout) == (0, "[]\n")
    assert done.stderr.endswith(f"a newer release wrote the record or it is damaged: {job.id}\n")


def test_a_broker_that_is_away_is_named(servers: Servers, tmp_path: Path) -> None:
    done = run(servers, tmp_path, "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "127.0.0.1:1" in done.stderr
