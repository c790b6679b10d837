"""Prepares restored data for their first start: loads them into a broker of their own.

The parts of a backup belong to moments that are seconds apart. What would matter is settled here:
the ledgers of open batches are removed, since the sweep restores them from the files; jobs whose
records are in the audit log already are marked, so that these are not written twice; jobs whose
payload was deleted during the backup are removed as expired. Segments of ended jobs in a bucket may
be younger than the backup: the first sweep enters them, instead of deleting what it does not know.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import redis

from cli.backups.layout import AUDIT, BATCHES, BackupError
from launcher.environment import CODE_ROOT
from shared.audit.chain import recorded_ids
from shared.blobs.stores import JOBS_FOLDER
from shared.domain.ids import JobId
from shared.i18n.command import gettext as _
from shared.redis import keys
from shared.redis.connections import RedisClient, connect
from shared.redis.servers import embedded_url
from shared.settings import Settings

START_TIMEOUT_S = 600.0
"""Longest wait until the broker has loaded its file."""

STOP_TIMEOUT_S = 60.0
CLAIM_TTL_S = 30 * 86_400
BLOCK = 1000


class OpenWork(NamedTuple):
    """What goes on when the service is started."""

    jobs: int
    batches: int


def prepare(home: Path, *, has_payloads: bool) -> OpenWork:
    """Load the data of the broker and make the restored parts fit.

    Args:
        home: folder with the layout of a home, used by nobody.
        has_payloads: whether the payloads of jobs are in it; otherwise they are in a bucket.

    Raises:
        BackupError: the broker cannot load its data.
    """
    with _running_broker(home) as client:
        batches = _remove_ledgers(client)
        if has_payloads:
            _remove_jobs_without_payload(client, home / BATCHES / JOBS_FOLDER)
        else:
            client.delete(keys.SEGMENTS_KNOWN, keys.SEGMENT_SCAN_MARKER)
        jobs = [JobId(each.decode()) for each in client.zrange(keys.OPEN_JOBS, 0, -1)]
        _mark_recorded(client, jobs, home / AUDIT)
        return OpenWork(len(jobs), batches)


@contextlib.contextmanager
def _running_broker(home: Path) -> Iterator[RedisClient]:
    settings = Settings(home=home)
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher.embedded", "broker"],
        cwd=CODE_ROOT,
        env={**os.environ, "CARPRICE_HOME": str(home.resolve()), "REDIS_URL": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    client = connect(embedded_url(settings, "broker"))
    try:
        _await_loaded(client, process, home)
        # The base file keeps the form of the server that wrote it; no limit stops the changes.
        client.config_set("auto-aof-rewrite-percentage", 0)
        client.config_set("maxmemory", 0)
        yield client
    except redis.RedisError as error:
        text = _("the broker does not take its restored data: {error}").format(error=error)
        raise BackupError(text) from error
    finally:
        client.close()
        process.terminate()
        try:
            process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _await_loaded(client: RedisClient, process: "subprocess.Popen[bytes]", home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client.ping()
        except redis.RedisError as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            log = home / "logs" / "broker-server.log"
            lines = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
            reason = "\n".join([str(error), *lines])
            text = _("the broker cannot load its restored data: {reason}").format(reason=reason)
            raise BackupError(text) from error
        else:
            return


def _remove_ledgers(client: RedisClient) -> int:
    batches = [each.decode() for each in client.zrange(keys.OPEN_BATCHES, 0, -1)]
    own = (keys.batch, keys.batch_chunks, keys.batch_leases, keys.batch_attempts)
    for batch_id in batches:
        client.delete(*(key(batch_id) for key in own))
    client.delete(keys.OPEN_BATCHES, keys.BATCH_SCAN_MARKER, keys.PAYLOAD_SCAN_MARKER)
    return len(batches)


def _remove_jobs_without_payload(client: RedisClient, folder: Path) -> None:
    start = len(keys.job(""))
    for key in client.scan_iter(match=keys.job("*"), count=BLOCK):
        job_id = key.decode()[start:]
        blobs = client.hmget(key, "requests_blob", "estimates_blob")
        if any(name and not (folder / job_id / name.decode()).exists() for name in blobs):
            client.delete(key)
            client.zrem(keys.OPEN_JOBS, job_id)
            client.zrem(keys.JOB_ORDER, job_id)


def _mark_recorded(client: RedisClient, jobs: Sequence[JobId], audit_folder: Path) -> None:
    """Mark the open jobs as recorded that have records; a job has all of its records or none."""
    days = {path.name.partition("_")[2][:10] for path in audit_folder.glob("predictions_*.jsonl")}
    ids = [name for job_id in jobs for name in (job_id, f"{job_id}-1")]
    recorded = recorded_ids(audit_folder, ids, days) if jobs else set()
    for job_id in {JobId(name.removesuffix("-1")) for name in recorded}:
        claim = keys.audit_claim(job_id)
        client.hset(claim, mapping={"first": time.time(), "latest": time.time(), "done": 1})
        client.expire(claim, CLAIM_TTL_S)
        # It was the claim of a micro-batch that said so.
        client.hdel(keys.job(job_id), "origin")
