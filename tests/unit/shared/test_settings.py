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


@pytest.mark.parametrize(
    ("env", "raw", "message"),
    [
        ("REDIS_URL", "http://:secret@queue:6379", "REDIS_URL: expected an address that starts"),
        ("CACHE_URL", "localhost:6379", "CACHE_URL: expected an address that starts"),
        ("REDIS_URL", "redis://", "REDIS_URL: expected an address"),
        ("CACHE_MAX_MEMORY", "lots", "CACHE_MAX_MEMORY='lots': expected a size, like 128mb"),
        ("CACHE_MAX_MEMORY", "0", "CACHE_MAX_MEMORY='0': expected a size, like 128mb"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL='loud': expected debug, info, warning or error"),
    ],
)
def test_texts_that_no_server_would_understand_are_refused_without_a_password(env, raw, message):
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({env: raw})
    assert str(caught.value).startswith(message)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "raw"),
    [
        ("REDIS_URL", "redis://:p@queue:6379/0"), ("REDIS_URL", "rediss://queue"),
        ("CACHE_URL", "unix:///run/cache.sock"), ("CACHE_MAX_MEMORY", "1gb"),
        ("CACHE_MAX_MEMORY", "1048576"), ("LOG_LEVEL", "WARNING"),
    ],
)  # fmt: skip
def test_texts_that_are_understood_are_taken_as_they_are(env, raw):
    assert raw in dataclasses.astuple(Settings.from_env({env: raw}))
