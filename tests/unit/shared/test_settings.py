"""Settings: what an environment variable may say."""

import dataclasses

import pytest

from shared.settings import Settings, SettingsError

NEVER_ZERO = (
    "API_THREADS", "BATCH_CHUNK_ROWS", "BATCH_WINDOW", "BODY_MAX_BYTES", "BULK_PROCESSES",
    "CACHE_TTL_S", "GROUP_MAX_CARS", "GROUP_SLOTS", "INTERACTIVE_WORKERS", "JOB_LEASE_S",
    "JOB_MAX_ATTEMPTS", "JOB_MAX_CARS", "JOB_RETENTION_S", "PORT", "QUEUE_MAX_LENGTH",
)  # fmt: skip


@pytest.mark.parametrize("env", NEVER_ZERO)
def test_what_would_stop_the_service_silently_is_refused_with_its_minimum(env):
    with pytest.raises(SettingsError, match=f"{env}='0': expected a whole number, 1 or more"):
        Settings.from_env({env: "0"})
    Settings.from_env({env: "1"})


@pytest.mark.parametrize("raw", ["nan", "inf", "-inf", "-1", "1e999"])
def test_seconds_are_finite_and_not_negative(raw):
    with pytest.raises(SettingsError, match=f"PREDICT_WAIT_S='{raw}': expected a number, 0 or"):
        Settings.from_env({"PREDICT_WAIT_S": raw})


def test_zero_stays_what_it_means_where_it_means_something():
    settings = Settings.from_env({"PREDICT_WAIT_S": "0", "METRICS_PORT": "0"})
    assert (settings.predict_wait_s, settings.metrics_port) == (0.0, 0)


def test_a_word_is_no_number():
    with pytest.raises(SettingsError, match="PORT='http': expected a whole number, like 8000"):
        Settings.from_env({"PORT": "http"})


def test_every_default_would_be_accepted():
    names = {field.name: field.metadata["env"] for field in dataclasses.fields(Settings)}
    defaults = Settings()
    given = {env: str(getattr(defaults, name) or "") for name, env in names.items()}
    assert Settings.from_env(given) == defaults
