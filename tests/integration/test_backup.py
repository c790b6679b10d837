"""`carprice backup` under load and `carprice restore` on another home: nothing accepted is lost."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.backups.layout import INFO
from scripts.ports import reserve_port
from tests.batch_parts import cars_csv
from tests.conftest import ROOT, Service, running_service, short_folder, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROWS, LIST_CARS = 2000, 60


def carprice(
    *arguments: str | Path, home: Path, models: Path
) -> "subprocess.CompletedProcess[str]":
    """Run the command line on a home."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(home), "MODELS_PATH": str(models)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@dataclasses.dataclass
class Load:
    """Callers that submit jobs, lists and batches until they are stopped."""

    service: Service
    key: str
    jobs: list[str] = dataclasses.field(default_factory=list)
    lists: list[str] = dataclasses.field(default_factory=list)
    batches: list[str] = dataclasses.field(default_factory=list)
    predicted: list[str] = dataclasses.field(default_factory=list)
    is_stopped: bool = False

    def client(self) -> httpx.Client:
        return self.service.client(headers={"Authorization": f"Bearer {self.key}"})

    def accepted(self) -> "Load":
        """What is accepted by now."""
        lists = self.jobs[:], self.lists[:], self.batches[:], self.predicted[:]
        return Load(self.service, self.key, *lists)

    @contextlib.contextmanager
    def running(self, car: dict[str, Any]) -> Iterator[None]:
        kinds = (self._submit_job, self._submit_list, self._submit_batch, self._predict)
        threads = [threading.Thread(target=self._repeat, args=(kind, car)) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_stopped = True
            for thread in threads:
                thread.join()

    def _repeat(self, kind: Any, car: dict[str, Any]) -> None:
        with self.client() as http:
            number = 0
            while not self.is_stopped:
                number += 1
                kind(http, car | {"km_driven": 1000 + number})

    def _submit_job(self, http: httpx.Client, car: dict[str, Any]) -> None:
        answer = http.post("/jobs", json=car)
        if answer.status_code == 202:
            self.jobs.append(answer.json()["id"])
        time.sleep(0.02)

    def _submit_list(self, http: httpx.Client, car: dict[str, Any]) -> None:
        cars = [car | {"engine_cc": 900 + number} for number in range(LIST_CARS)]
        options = {"include": "depreciation"}
        answer = http.post("/jobs", json=cars, params=options)
        if answer.status_code == 202:
            self.lists.append(answer.json()["id"])
        time.sleep(0.5)

    def _submit_batch(self, http: httpx.Client, _: dict[str, Any]) -> None:
        answer = http.post("/batches", files={"file": ("stock.csv", cars_csv(ROWS))})
        if answer.status_code == 202:
            self.batches.append(answer.json()["id"])
        time.sleep(0.5)

    def _predict(self, http: httpx.Client, car: dict[str, Any]) -> None:
        answer = http.post("/predict", json=car)
        if answer.status_code == 200:
            self.predicted.append(answer.json()["id"])


def ended(http: httpx.Client, path: str) -> dict[str, Any]:
    """Wait until a job or batch has ended and return it."""

    def read() -> dict[str, Any] | None:
        answer = http.get(path, params={"wait": 20})
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state if state["finished_at"] is not None else None

    found: dict[str, Any] = wait_until(read, 120.0, path)
    return found


def audit_ids(home: Path) -> Counter[str]:
    return Counter(
        json.loads(line)["id"]
        for path in (home / "audit").glob("predictions_*.jsonl")
        for line in path.read_text().splitlines()
    )


@dataclasses.dataclass
class Rehearsal:
    """A backup that was made under load, and what had been accepted before it."""

    archive: Path
    folder: Path
    key: str
    accepted: Load
    first: tuple[str, str]
    """A job and a batch that had ended."""


@pytest.fixture(scope="module")
def rehearsal(models_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    target = tmp_path_factory.mktemp("backups")
    car = {"company": "Dacia", "model": "Logan", "year": 2018, "fuel": "Diesel"}
    with short_folder() as home:
        key = carprice("key", "shop", home=home, models=models_path).stdout.strip()
        with running_service(home, models_path, BATCH_CHUNK_ROWS="250") as service:
            load = Load(service, key)
            with load.client() as http:
                job = http.post("/jobs", json=car).json()["id"]
                batch = http.post("/batches", files={"file": ("a.csv", cars_csv(20))}).json()["id"]
                ended(http, f"/jobs/{job}")
                ended(http, f"/batches/{batch}")
            with load.running(car):
                wait_until(lambda: len(load.batches) > 2 and len(load.lists) > 2, 60.0, "load")
                accepted = load.accepted()
                for path in (target / "backup.tar.gz", target / "folder"):
                    done = carprice("backup", path, home=home, models=models_path)
                    assert done.returncode == 0, done.stderr
                again = carprice("backup", target / "folder", home=home, models=models_path)
                assert (again.returncode, "exists" in again.stderr) == (2, True)
    yield Rehearsal(target / "backup.tar.gz", target / "folder", key, accepted, (job, batch))
    shutil.rmtree(target)


def test_a_restored_service_ends_all_that_was_accepted_and_records_it_once(
    rehearsal: Rehearsal,
) -> None:
    source = rehearsal.archive
    with short_folder() as home, short_folder() as models:
        restored = carprice("restore", source, home=home, models=models)
        assert restored.returncode == 0, restored.stdout + restored.stderr
        assert " 0 files are not" in restored.stdout
        again = carprice("restore", source, home=home, models=models)
        assert (again.returncode, "--force" in again.stderr) == (2, True)
        with running_service(home, models, BATCH_CHUNK_ROWS="250") as service:
            running = carprice("restore", source, "--force", home=home, models=models)
            assert (running.returncode, "in use by" in running.stderr) == (2, True)
            check_answers(service, rehearsal)
        verified = carprice("audit", "verify", home=home, models=models)
        assert verified.returncode == 0, verified.stderr
        counts = audit_ids(home)
    assert max(counts.values()) == 1
    accepted = rehearsal.accepted
    expected = [*accepted.predicted, *accepted.jobs]
    expected += [f"{job}-{number + 1}" for job in accepted.lists for number in range(LIST_CARS)]
    expected += [f"{batch}-{number + 1}" for batch in accepted.batches for number in range(ROWS)]
    assert [name for name in expected if not counts[name]] == []


def check_answers(service: Service, rehearsal: Rehearsal) -> None:
    """Read everything that was accepted before the backup."""
    job, batch = rehearsal.first
    accepted = rehearsal.accepted
    assert httpx.get(f"{service.url}/jobs/{job}").status_code == 401
    with service.client(headers={"Authorization": f"Bearer {rehearsal.key}"}) as http:
        assert http.get(f"/jobs/{job}").json()["state"] == "SUCCEEDED"
        assert len(http.get(f"/batches/{batch}/results").text.splitlines()) == 21
        for name in (*accepted.jobs, *accepted.lists):
            assert ended(http, f"/jobs/{name}")["state"] == "SUCCEEDED"
        for name in accepted.batches:
            assert ended(http, f"/batches/{name}")["counts"]["valid"] == ROWS
            lines = http.get(f"/batches/{name}/results").text.splitlines()
            assert len(lines) == ROWS + 1


def test_a_damaged_or_incomplete_backup_is_refused_and_changes_nothing(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(rehearsal.folder, damaged)
    record = next((damaged / "audit").glob("*.jsonl"))
    content = record.read_bytes()
    record.write_bytes(content.replace(b'"price_mad":', b'"price_mad":1', 1))
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(rehearsal.archive.read_bytes()[:-2000])
    incomplete = tmp_path / "incomplete"
    shutil.copytree(rehearsal.folder, incomplete)
    (incomplete / INFO).unlink()
    for source in (damaged, cut, incomplete):
        home = tmp_path / f"home-{source.name}"
        refused = carprice("restore", source, home=home, models=tmp_path / "models")
        assert refused.returncode == 2, refused.stdout
        assert len(refused.stderr.splitlines()) == 1
        assert not (home / "audit").exists()
        assert not (tmp_path / "models").exists()


def test_force_moves_existing_data_aside(rehearsal: Rehearsal) -> None:
    with short_folder() as home:
        (home / "audit").mkdir()
        (home / "audit" / "mine").write_text("kept")
        models = home / "models"
        refused = carprice("restore", rehearsal.folder, home=home, models=models)
        assert (refused.returncode, "audit exists" in refused.stderr) == (2, True)
        done = carprice("restore", rehearsal.folder, "--force", home=home, models=models)
        assert done.returncode == 0, done.stderr
        (aside,) = home.glob("audit.replaced-*")
        assert (aside / "mine").read_text() == "kept"
        assert home.stat().st_mode & 0o077 == 0
        assert (home / "api-keys.json").stat().st_mode & 0o077 == 0


def test_a_backup_can_be_read_by_its_owner_only(rehearsal: Rehearsal) -> None:
    for path in (rehearsal.archive, rehearsal.folder):
        assert path.stat().st_mode & 0o077 == 0
    with tarfile.open(rehearsal.archive) as tar:
        names = tar.getnames()
    assert names[-1] == INFO
    assert not [name for name in names if name.startswith(("cache", "logs", "metrics", "/"))]


def test_a_broker_elsewhere_must_be_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "backup", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": f"redis://127.0.0.1:{reserve_port()}/0"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "--broker-folder" in done.stderr) == (2, True)
