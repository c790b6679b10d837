"""Every setting of the service, read once from the environment at the entry of a process."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message says what to write instead."""


def setting(env: str, default: Any, meaning: str, unit: str = "") -> Any:
    """A dataclass field that knows its environment variable and its documentation."""
    return dataclasses.field(
        default=default, metadata={"env": env, "meaning": meaning, "unit": unit}
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The whole configuration; `docs/settings.md` is generated from these fields."""

    home: Path = setting("CARPRICE_HOME", Path("var"), "Folder of all runtime data.")
    host: str = setting("HOST", "127.0.0.1", "Address the API listens on.")
    port: int = setting("PORT", 8000, "Port of the API and the page.")
    flower_port: int = setting("FLOWER_PORT", 5555, "Port of Flower.")
    flower_address: str = setting(
        "FLOWER_ADDRESS", "127.0.0.1", "Address Flower listens on; others need a password."
    )
    flower_basic_auth: str = setting(
        "FLOWER_BASIC_AUTH", "", "`user:password` that Flower asks for; empty: open on loopback."
    )
    api_threads: int = setting(
        "API_THREADS", 64, "Requests that the API works on (or holds waiting) at once."
    )
    interactive_workers: int = setting(
        "INTERACTIVE_WORKERS", 2, "Worker processes for valuations that somebody waits for."
    )
    bulk_processes: int = setting("BULK_PROCESSES", 2, "Processes of the worker for batches.")
    redis_url: str = setting("REDIS_URL", "", "Broker and job store; empty: the embedded server.")
    cache_url: str = setting("CACHE_URL", "", "Result cache; empty: the embedded server.")
    models_path: Path | None = setting(
        "MODELS_PATH", None, "Model registry; empty: `model_store/versions` beside the code."
    )
    blobs_path: Path | None = setting(
        "BLOBS_PATH", None, "Uploads and results of batches; empty: `batches` in the home."
    )
    audit_path: Path | None = setting("AUDIT_PATH", None, "Audit log; empty: `audit` in the home.")
    api_keys_file: Path | None = setting(
        "API_KEYS_FILE", None, "Hashed API keys; empty: `api-keys.json` in the home."
    )
    cache_ttl_s: int = setting("CACHE_TTL_S", 3600, "How long a result stays cached.", "s")
    cache_max_memory: str = setting(
        "CACHE_MAX_MEMORY", "128mb", "Memory of the embedded cache before it evicts (LRU)."
    )
    predict_wait_s: float = setting(
        "PREDICT_WAIT_S", 5.0, "How long `/predict` waits before it answers 202.", "s"
    )
    max_wait_s: float = setting("MAX_WAIT_S", 30.0, "Longest wait a caller may ask for.", "s")
    job_retention_s: int = setting(
        "JOB_RETENTION_S", 86_400, "How long a finished job can be read.", "s"
    )
    job_max_cars: int = setting("JOB_MAX_CARS", 1000, "Most cars in one job.")
    job_max_attempts: int = setting("JOB_MAX_ATTEMPTS", 5, "Tries before a job or chunk fails.")
    job_lease_s: int = setting(
        "JOB_LEASE_S", 30, "After this time without news a job or chunk is sent again.", "s"
    )
    body_max_bytes: int = setting(
        "BODY_MAX_BYTES", 2_000_000, "Largest JSON or form body.", "bytes"
    )
    upload_max_bytes: int = setting(
        "UPLOAD_MAX_BYTES", 4_000_000_000, "Largest upload of a batch, decompressed.", "bytes"
    )
    batch_chunk_rows: int = setting("BATCH_CHUNK_ROWS", 2000, "Rows of one chunk of a batch.")
    batch_window: int = setting("BATCH_WINDOW", 4, "Chunks of one batch under way at once.")
    batch_retention_s: int = setting(
        "BATCH_RETENTION_S", 7 * 86_400, "How long a finished batch can be read.", "s"
    )
    group_max_cars: int = setting("GROUP_MAX_CARS", 64, "Most requests in one queue message.")
    group_slots: int = setting("GROUP_SLOTS", 4, "Queue messages of one API process under way.")
    queue_max_length: int = setting(
        "QUEUE_MAX_LENGTH", 10_000, "Waiting interactive messages beyond which new work is refused."
    )
    metrics_port: int = setting("METRICS_PORT", 0, "Port of a worker's own `/metrics`; 0: none.")
    pushgateway_url: str = setting(
        "PUSHGATEWAY_URL", "", "Pushgateway that workers push their metrics to; empty: none."
    )
    cors_origins: str = setting(
        "CORS_ORIGINS", "*", "Origins whose pages may ask for prices, comma-separated; or `*`."
    )
    log_level: str = setting("LOG_LEVEL", "info", "debug, info, warning or error.")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the settings from environment variables; an empty one counts as not set.

        Raises:
            SettingsError: a value is not of the setting's type.
        """
        env = os.environ if env is None else env
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            raw = env.get(field.metadata["env"], "").strip()
            if raw:
                given[field.name] = _parse(field.metadata["env"], raw, field.default)
        return cls(**given)

    @property
    def versions_path(self) -> Path:
        """Folder of the model versions and of the pointer to the active one."""
        return self.models_path or Path(__file__).parents[1] / "model_store" / "versions"

    @property
    def batches_path(self) -> Path:
        """Folder of uploads, chunks and results."""
        return self.blobs_path or self.home / "batches"

    @property
    def audit_folder(self) -> Path:
        """Folder of the audit log."""
        return self.audit_path or self.home / "audit"

    @property
    def keys_file(self) -> Path:
        """File of the hashed API keys."""
        return self.api_keys_file or self.home / "api-keys.json"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in {"127.0.0.1", "::1", "localhost"}


def _parse(env: str, raw: str, default: Any) -> Any:
    """Convert a raw text to the type of the setting's default."""
    if isinstance(default, int | float) and not isinstance(default, bool):
        kind = type(default)
        try:
            number = kind(raw)
        except ValueError:
            kind_name = "a whole number" if kind is int else "a number"
            raise SettingsError(f"{env}={raw!r}: expected {kind_name}, like {default}") from None
        if number < 0:
            raise SettingsError(f"{env}={raw!r}: expected a number that is not negative")
        return number
    if default is None or isinstance(default, Path):
        return Path(raw)
    return raw
