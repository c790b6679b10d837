"""Workers measure drift and sale errors, roll back, and retrain in a child process when due."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from model_store.training.profile import training_profile
from shared.redis.model_figures import ModelFigures, ModelFiguresStore
from shared.settings import Settings
from tests.conftest import ROOT, wait_until
from tests.unit.model_store import small_models
from tests.unit.model_store.drift.audit_logs import drawn_listings, records, write_log
from tests.unit.model_store.sale_logs import errors_of, report_sales, write_sales
from worker.model_watch.schedule import STAMP_FILE, RetrainingSchedule
from worker.model_watch.watch import ModelWatch

NOW = 1_795_000_000.0
"""2026-11-18."""


def counted(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def retraining_events(events):
    """Without what threads of applications of other tests log."""
    return [each for each in events if each["event"] == "retrained"]


@pytest.fixture(scope="module")
def market():
    return drawn_listings(1_500, seed=4)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, models_path=tmp_path / "versions")


@pytest.fixture(scope="module")
def stored(market, tmp_path_factory):
    """A registry of two versions with a profile; the second is active."""
    path = tmp_path_factory.mktemp("watched")
    profile = training_profile(market, market["price_mad"].to_numpy())
    trained = dataclasses.replace(small_models.train(), profile=profile)
    registry = ModelRegistry(path)
    made = []
    for _ in range(2):
        made.append(save_bundle(trained, path).id)
        registry.activate(made[-1], by="test")
    return path, made


@pytest.fixture
def versions(settings, stored):
    """The two versions, in a registry of the test's own."""
    shutil.copytree(stored[0], settings.versions_path)
    return stored[1]


def watch(settings, servers):
    store = ModelFiguresStore(servers.broker)
    ModelWatch(settings, store, lambda: NOW).run()
    return store.get()


def test_drift_and_sale_errors_of_the_last_week_are_stored(settings, servers, versions, market):
    newer = market[market["year"] >= 2018]
    write_log(settings.audit_folder, records(newer, "2026-11-17", version=versions[1]))
    write_log(settings.audit_folder, records(market, "2026-11-01", version=versions[1]), "api-old")
    report_sales(settings.audit_folder, versions[1], [0.1, 0.2, -0.3], "api-1")
    found = watch(settings, servers)
    assert found.version == versions[1]
    assert found.cars == pytest.approx(len(newer), rel=0.05), "the older day is not of this week"
    assert found.psi["year"] > 1
    assert found.sale_errors == {versions[1]: pytest.approx(0.2)}
    assert found.sale_reports == {versions[1]: 3}


def test_a_worse_version_is_rolled_back_counted_and_logged(settings, servers, versions):
    write_sales(settings.audit_folder, versions[0], errors_of(0.08, 80, 1), "api-1")
    write_sales(settings.audit_folder, versions[1], errors_of(0.2, 80, 2), "api-2")
    registry = ModelRegistry(settings.versions_path)
    before = counted("model_automatic_rollbacks_total")
    worse = counted("model_worse_on_sales_total")
    with capture_logs() as logs:
        watch(dataclasses.replace(settings, auto_rollback="off"), servers)
    assert registry.active_version() == versions[1]
    assert "model_not_rolled_back" in [each["event"] for each in logs]
    assert counted("model_worse_on_sales_total") == worse + 1
    with capture_logs() as logs:
        found = watch(settings, servers)
    assert registry.active_version() == versions[0] == found.version
    assert counted("model_automatic_rollbacks_total") == before + 1
    assert "model_rolled_back" in [each["event"] for each in logs]
    watch(settings, servers)
    assert registry.active_version() == versions[0]
    assert counted("model_automatic_rollbacks_total") == before + 1


def test_without_log_and_profile_the_figures_are_empty(settings, servers, versions):
    assert watch(settings, servers) == ModelFigures(
        version=versions[1], cars=0, psi={}, psi_given={}, sale_errors={}, sale_reports={}
    )


def test_a_part_that_fails_is_counted_and_does_not_stop_the_others(
    settings, servers, versions, market
):
    write_log(settings.audit_folder, records(market, "2026-11-17", version=versions[1]))
    (settings.versions_path / versions[1] / "profile.json").write_bytes(b"{}")
    before = counted("model_watch_failures_total", part="drift")
    assert watch(settings, servers).psi == {}
    assert counted("model_watch_failures_total", part="drift") == before + 1


class TestSchedule:
    @pytest.fixture
    def data(self, tmp_path):
        folder = tmp_path / "listings"
        folder.mkdir()
        return folder

    def schedule(self, settings, data, now=NOW):
        settings = dataclasses.replace(settings, retrain_data=data, retrain_every_h=24)
        return RetrainingSchedule(settings, lambda: now)

    def test_without_a_folder_nothing_is_ever_due(self, settings):
        RetrainingSchedule(settings, lambda: NOW).run()
        assert not settings.versions_path.exists()

    def test_the_decision_of_the_child_is_counted_and_it_is_not_due_again_before_its_time(
        self, settings, versions, data, market
    ):
        # No listing is newer than the active version's data: that needs no training.
        market[:250].to_csv(data / "a.csv", index=False)
        before = counted("retrainings_total", decision="kept")
        with capture_logs() as events:
            self.schedule(settings, data).run()
        logs = retraining_events(events)
        assert counted("retrainings_total", decision="kept") == before + 1, logs
        assert "are newer than the data of the active version" in logs[0]["reason"]
        assert ModelRegistry(settings.versions_path).active_version() == versions[1]
        with capture_logs() as events:
            self.schedule(settings, data, NOW + 23 * 3600).run()
        assert retraining_events(events) == []

    def test_a_failure_is_logged_with_its_reason_and_tried_again_a_day_later(self, settings, data):
        with capture_logs() as events:
            self.schedule(settings, data).run()
        logs = retraining_events(events)
        assert [each["decision"] for each in logs] == ["failed"]
        assert "has no files of listings" in logs[0]["reason"]
        assert not self.schedule(settings, data, NOW + 23 * 3600)._is_due()
        assert self.schedule(settings, data, NOW + 25 * 3600)._is_due()

    def test_a_retraining_whose_worker_was_killed_is_due_after_an_hour(self, settings, data):
        settings.versions_path.mkdir()
        (settings.versions_path / STAMP_FILE).write_text(json.dumps({"started_at": NOW}))
        assert not self.schedule(settings, data, NOW + 3_000)._is_due()
        assert self.schedule(settings, data, NOW + 4_000)._is_due()

    def test_the_child_ends_when_its_worker_is_killed(self, settings, data, market):
        many = pd.concat([market] * 20, ignore_index=True)  # to load and train takes a minute
        many.assign(km_driven=range(len(many))).to_csv(data / "a.csv", index=False)
        script = f"""
from pathlib import Path
from shared.settings import Settings
from worker.model_watch.schedule import RetrainingSchedule
settings = Settings(
    home=Path({str(settings.home)!r}),
    models_path=Path({str(settings.models_path)!r}),
    retrain_data=Path({str(data)!r}),
)
RetrainingSchedule(settings, lambda: 0.0).run()
"""
        worker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
        child = wait_until(lambda: _child_of(worker.pid), what="the child")
        time.sleep(1)
        assert _is_running(child)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        wait_until(lambda: not _is_running(child), what="the end of the child")


def _child_of(pid):
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(found[0]) if found else None


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
