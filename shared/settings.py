"""Settings of the service, read from environment variables when a process starts."""

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Self


class SettingsError(ValueError):
    """A setting has an invalid value; the message says which values are valid."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextRule:
    """Allowed values of a text setting, with their description."""

    pattern: re.Pattern[str]
    expected: str
    is_secret: bool = False
    """Messages do not show the value, as it may contain a password."""
    check: Callable[[str], object] = str
    """Raises `ValueError` for a text of this pattern that is not valid; its message is shown."""


STOP_MARGIN_S = 5
"""Time for answers that are made when the longest wait ends."""

ORIGIN = r"\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@,*\s]+/?"

SERVER_URL = TextRule(
    pattern=re.compile(r"(rediss?://[^/?#\s]+|unix://\S|sentinels?://[^/?#\s]+/[^/?#\s]+)\S*"),
    expected="an address that starts with redis://, rediss:// or unix://, or sentinels like "
    "sentinel://host:26379,host:26379/service (sentinels:// with TLS)",
    is_secret=True,
)
KEY_PREFIX = TextRule(
    pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}"),
    expected="up to 40 letters, digits and the characters `_.:-`",
)
BUCKET_URL = TextRule(
    pattern=re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^?#\s]*)?"),
    expected="the address of a bucket, like s3://bucket/prefix",
)
BUCKET = r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^?#,\s]*)?"
BUCKET_URLS = TextRule(
    pattern=re.compile(rf"{BUCKET}(\s*,\s*{BUCKET})*"),
    expected="addresses of buckets or folders in them, like s3://bucket/prefix/, separated by "
    "commas",
)
HTTP_URL = TextRule(
    pattern=re.compile(r"https?://[^/?#\s@]+/?"),
    expected="an address that starts with http:// or https://, without a path",
)
MEMORY = TextRule(
    pattern=re.compile(r"[1-9]\d*([kmg]b?)?", re.IGNORECASE), expected="a size, like 128mb"
)
ORIGINS = TextRule(
    pattern=re.compile(rf"({ORIGIN})(\s*,\s*({ORIGIN}))*"),
    expected="`*` and origins like https://shop.example, separated by commas",
)


def parse_networks(text: str) -> list[IPv4Network | IPv6Network]:
    """The networks of a list that is separated by commas; raises `ValueError`."""
    return [ip_network(each.strip()) for each in text.split(",") if each.strip()]


NETWORK = r"[0-9A-Fa-f:.]+(/\d{1,3})?"
NETWORKS = TextRule(
    pattern=re.compile(rf"{NETWORK}(\s*,\s*{NETWORK})*"),
    expected="networks like 10.1.0.0/16, separated by commas",
    check=parse_networks,
)
SWITCH = TextRule(pattern=re.compile("on|off"), expected="on or off")
DEMO = TextRule(pattern=re.compile("on|off|1|0"), expected="on or off, or 1 or 0")
AUDIT_FSYNC = TextRule(pattern=re.compile("always|everysec|no"), expected="always, everysec or no")
LOG_LEVEL = TextRule(
    pattern=re.compile("debug|info|warning|error", re.IGNORECASE),
    expected="debug, info, warning or error",
)


def setting(
    env: str,
    default: Any,
    meaning: str,
    unit: str = "",
    *,
    minimum: float = 0,
    rule: TextRule | None = None,
) -> Any:
    """A dataclass field with environment variable, documentation and limits as metadata."""
    metadata = {"env": env, "meaning": meaning, "unit": unit, "minimum": minimum, "rule": rule}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The whole configuration; `docs/settings.md` is generated from these fields."""

    home: Path = setting(
        "CARPRICE_HOME", Path("var"), "Folder of all runtime data, except models (`MODELS_PATH`)."
    )
    host: str = setting("HOST", "127.0.0.1", "Address the API listens on.")
    port: int = setting("PORT", 8000, "Port of the API and the web page.", minimum=1)
    public_url: str = setting(
        "PUBLIC_URL",
        "",
        "Address by which readers reach the service, like `https://prices.example`: shared "
        "estimates state it; empty: the host that each request names.",
        rule=HTTP_URL,
    )
    flower_port: int = setting("FLOWER_PORT", 5555, "Port of Flower.", minimum=1)
    flower_address: str = setting(
        "FLOWER_ADDRESS", "127.0.0.1", "Address Flower listens on; others need a password."
    )
    flower_basic_auth: str = setting(
        "FLOWER_BASIC_AUTH", "", "`user:password` that Flower asks for; empty: open on loopback."
    )
    api_threads: int = setting(
        "API_THREADS",
        128,
        "Threads of Flask: requests processed or waiting at once; the fast path needs none.",
        minimum=1,
    )
    api_connections: int = setting(
        "API_CONNECTIONS",
        4096,
        "Connections of clients that the API keeps, idle ones included; long polls and event "
        "streams may hold three quarters of them.",
        minimum=64,
    )
    fast_path: str = setting(
        "FAST_PATH",
        "on",
        "`off`: Flask alone answers every request, more slowly; each that waits holds a thread.",
        rule=SWITCH,
    )
    restart_hung: str = setting(
        "RESTART_HUNG",
        "on",
        "`off`: `make up` and `carprice run` kill no process that hangs; for debuggers.",
        rule=SWITCH,
    )
    interactive_workers: int = setting(
        "INTERACTIVE_WORKERS", 2, "Worker processes for valuations whose callers wait.", minimum=1
    )
    bulk_processes: int = setting(
        "BULK_PROCESSES",
        3,
        "Processes of the bulk worker: three for two cores, because one waits for the disk.",
        minimum=1,
    )
    redis_url: str = setting(
        "REDIS_URL", "", "Broker and job store; empty: the embedded server.", rule=SERVER_URL
    )
    cache_url: str = setting(
        "CACHE_URL", "", "Result cache; empty: the embedded server.", rule=SERVER_URL
    )
    redis_ca_file: Path | None = setting(
        "REDIS_CA_FILE",
        None,
        "Authorities (PEM) that sign the certificates of `rediss://` and `sentinels://`; empty: "
        "those of the system.",
    )
    redis_prefix: str = setting(
        "REDIS_PREFIX",
        "",
        "First part of all keys, queues and channels; each installation on a server has its own.",
        rule=KEY_PREFIX,
    )
    redis_wait_replicas: int = setting(
        "REDIS_WAIT_REPLICAS",
        0,
        "Replicas that must have a job before it is accepted; 0: none is waited for.",
    )
    models_path: Path | None = setting(
        "MODELS_PATH", None, "Model registry; empty: `model_store/versions` beside the code."
    )
    blobs_path: Path | None = setting(
        "BLOBS_PATH", None, "Uploads and results of batches; empty: `batches` in the home."
    )
    blob_url: str = setting(
        "BLOB_URL",
        "",
        "S3-compatible store of uploads and results, `s3://bucket/prefix`; empty: `BLOBS_PATH`.",
        rule=BUCKET_URL,
    )
    blob_endpoint_url: str = setting(
        "BLOB_ENDPOINT_URL",
        "",
        "Endpoint of the S3-compatible stores, like `http://minio:9000`; empty: Amazon's.",
        rule=HTTP_URL,
    )
    blob_public_url: str = setting(
        "BLOB_PUBLIC_URL",
        "",
        "Endpoint of `BLOB_URL` as callers reach it, for downloads from the store; empty: "
        "`BLOB_ENDPOINT_URL`.",
        rule=HTTP_URL,
    )
    input_uris: str = setting(
        "INPUT_URIS",
        "",
        "Buckets and folders, `s3://bucket/prefix/`, separated by commas, whose objects callers "
        "may have valued by `input_uri`; every key with the scope `bulk` may read them. Empty: "
        "none.",
        rule=BUCKET_URLS,
    )
    result_url_s: int = setting(
        "RESULT_URL_S",
        300,
        "How long the address holds by which `redirect=true` has a result file of a bucket "
        "downloaded from the store; 0: the API sends all files.",
        "s",
    )
    state_url: str = setting(
        "STATE_URL",
        "",
        "S3-compatible store of what several hosts share (models, API keys, webhook secrets, "
        "audit logs), "
        "`s3://bucket/prefix`; empty: folders of this host.",
        rule=BUCKET_URL,
    )
    audit_path: Path | None = setting("AUDIT_PATH", None, "Audit log; empty: `audit` in the home.")
    audit_checkpoints: Path | None = setting(
        "AUDIT_CHECKPOINTS",
        None,
        "Checkpoints of the audit log; empty: `audit-checkpoints` in the home.",
    )
    audit_key_file: Path | None = setting(
        "AUDIT_KEY_FILE",
        None,
        "Key of the checkpoints; empty: `audit-checkpoints.key` in the home.",
    )
    audit_fsync: str = setting(
        "AUDIT_FSYNC",
        "everysec",
        "When audit records are synced to disk: `always` (before the answer), `everysec` or `no`.",
        rule=AUDIT_FSYNC,
    )
    audit_retention_days: int = setting(
        "AUDIT_RETENTION_DAYS", 0, "Days that the audit log is kept; 0: for ever.", "days"
    )
    audit_archive: Path | None = setting(
        "AUDIT_ARCHIVE",
        None,
        "Folder to which days older than `AUDIT_RETENTION_DAYS` are moved, as compressed bundles; "
        "empty: they are deleted.",
    )
    auto_rollback: str = setting(
        "AUTO_ROLLBACK",
        "on",
        "`off`: a version whose errors on reported sales are larger is reported, not rolled back.",
        rule=SWITCH,
    )
    retrain_data: Path | None = setting(
        "RETRAIN_DATA",
        None,
        "Folder of listing files on which workers retrain; empty: they do not.",
    )
    retrain_every_h: int = setting(
        "RETRAIN_EVERY_H", 168, "Time between two retrainings by workers.", "h", minimum=1
    )
    api_keys_file: Path | None = setting(
        "API_KEYS_FILE", None, "Hashed API keys; empty: `api-keys.json` in the home."
    )
    cache_ttl_s: int = setting(
        "CACHE_TTL_S", 3600, "How long a result stays cached.", "s", minimum=1
    )
    cache_near_entries: int = setting(
        "CACHE_NEAR_ENTRIES",
        4096,
        "Entries of the API process's local cache; 0: no local cache.",
        minimum=0,
    )
    cache_max_memory: str = setting(
        "CACHE_MAX_MEMORY",
        "128mb",
        "Memory limit of the embedded cache, which then evicts (LRU).",
        rule=MEMORY,
    )
    broker_max_memory: str = setting(
        "BROKER_MAX_MEMORY",
        "1gb",
        "Memory limit of the embedded broker, which never evicts: new work is refused before it.",
        rule=MEMORY,
    )
    predict_wait_s: float = setting(
        "PREDICT_WAIT_S", 5.0, "How long `/predict` waits before it answers 202.", "s"
    )
    max_wait_s: float = setting("MAX_WAIT_S", 30.0, "Longest wait that a caller may request.", "s")
    drain_delay_s: float = setting(
        "DRAIN_DELAY_S",
        0.0,
        "How long an API that is told to stop still serves while `/readyz` is 503, so that a proxy "
        "takes it out first; a second signal ends it.",
        "s",
    )
    job_retention_s: int = setting(
        "JOB_RETENTION_S", 86_400, "How long a finished job can be read.", "s", minimum=1
    )
    job_max_cars: int = setting("JOB_MAX_CARS", 1000, "Maximum cars in one job.", minimum=1)
    job_max_attempts: int = setting(
        "JOB_MAX_ATTEMPTS", 5, "Attempts before a job or chunk fails.", minimum=1
    )
    job_lease_s: int = setting(
        "JOB_LEASE_S",
        30,
        "Lease: a job or chunk without progress for this time is sent again.",
        "s",
        minimum=1,
    )
    outcome_window_s: int = setting(
        "OUTCOME_WINDOW_S",
        365 * 86_400,
        "Time after a valuation within which a sale can be reported.",
        "s",
        minimum=1,
    )
    body_max_bytes: int = setting(
        "BODY_MAX_BYTES", 2_000_000, "Largest JSON or form body.", "bytes", minimum=1
    )
    upload_max_bytes: int = setting(
        "UPLOAD_MAX_BYTES",
        4_000_000_000,
        "Largest upload of a batch, decompressed.",
        "bytes",
        minimum=1,
    )
    batch_chunk_rows: int = setting(
        "BATCH_CHUNK_ROWS", 20_000, "Maximum rows of one chunk of a batch.", minimum=1
    )
    batch_window: int = setting(
        "BATCH_WINDOW",
        4,
        "Chunks of one batch in progress at once, at least: with more processes of bulk workers, "
        "one more than these.",
        minimum=1,
    )
    estimate_days: int = setting(
        "ESTIMATE_DAYS",
        365,
        "How long an estimate can be read again under its address; 0: none is kept.",
        "days",
    )
    batch_retention_s: int = setting(
        "BATCH_RETENTION_S", 7 * 86_400, "How long a finished batch can be read.", "s", minimum=1
    )
    group_max_cars: int = setting(
        "GROUP_MAX_CARS", 64, "Maximum requests in one micro-batch (queue message).", minimum=1
    )
    group_slots: int = setting(
        "GROUP_SLOTS", 2, "Micro-batches of one API process in progress at once.", minimum=1
    )
    queue_max_length: int = setting(
        "QUEUE_MAX_LENGTH",
        10_000,
        "Length of a queue from which work is refused; one caller gets eight ninths of it.",
        minimum=1,
    )
    queue_max_delay_ms: int = setting(
        "QUEUE_MAX_DELAY_MS",
        25,
        "Single cars that would wait longer than this for others are refused: 503 `queue-full`.",
        "ms",
        minimum=1,
    )
    webhook_allowed_networks: str = setting(
        "WEBHOOK_ALLOWED_NETWORKS",
        "",
        "Networks whose addresses callbacks may have although they are not public, "
        "like `10.1.0.0/16,127.0.0.1/32`; empty: public addresses only.",
        rule=NETWORKS,
    )
    webhook_retry_s: int = setting(
        "WEBHOOK_RETRY_S",
        86_400,
        "How long a webhook is tried again before it is given up.",
        "s",
        minimum=1,
    )
    webhook_timeout_s: float = setting(
        "WEBHOOK_TIMEOUT_S", 15.0, "Longest time that one webhook may take.", "s", minimum=0.1
    )
    webhook_secrets_file: Path | None = setting(
        "WEBHOOK_SECRETS_FILE",
        None,
        "Secrets that sign webhooks; empty: `webhook-secrets.json` in the home.",
    )
    metrics_public: str = setting(
        "METRICS_PUBLIC",
        "on",
        "`off`: `/metrics` and `/cache/stats` need a key with the scope `admin`.",
        rule=SWITCH,
    )
    demo: str = setting(
        "DEMO",
        "off",
        "`on` (or 1): a public demonstration. Callers without a key may value single cars, by the "
        "page and `/predict`, within limits of their address; everything else needs a key.",
        rule=DEMO,
    )
    trusted_proxies: int = setting(
        "TRUSTED_PROXIES",
        0,
        "Reverse proxies in front of the API that append to `X-Forwarded-For`: the limits of "
        "`DEMO` apply to the address that the outermost of them saw; 0: that of the connection.",
    )
    metrics_port: int = setting(
        "METRICS_PORT", 0, "Port of the `/metrics` of a worker or of beat; 0: none."
    )
    prometheus_port: int = setting(
        "PROMETHEUS_PORT", 9090, "Port of Prometheus, on loopback (`make observe`).", minimum=1
    )
    alertmanager_port: int = setting(
        "ALERTMANAGER_PORT", 9093, "Port of Alertmanager, on loopback (`make observe`).", minimum=1
    )
    redis_exporter_port: int = setting(
        "REDIS_EXPORTER_PORT",
        9121,
        "Port of the Redis exporter of the broker, on loopback (`make observe`); the next one is "
        "that of the cache.",
        minimum=1,
    )
    scrape_interval_s: int = setting(
        "SCRAPE_INTERVAL_S",
        15,
        "How often the Prometheus of `make observe` asks and evaluates its rules; with more than "
        "30, rules that look at a minute see nothing.",
        unit="s",
        minimum=1,
    )
    metrics_key_file: Path | None = setting(
        "METRICS_KEY_FILE",
        None,
        "File with an API key that the Prometheus of `make observe` sends; needed with "
        "`METRICS_PUBLIC=off` or `DEMO`.",
    )
    pushgateway_url: str = setting(
        "PUSHGATEWAY_URL", "", "Pushgateway to which workers push their metrics; empty: none."
    )
    alerts_url: str = setting(
        "ALERTS_URL",
        "",
        "Prometheus or Alertmanager, like `http://127.0.0.1:9090`, whose firing alerts `/ops` and "
        "`carprice status` show; empty: none is asked.",
        rule=HTTP_URL,
    )
    cors_origins: str = setting(
        "CORS_ORIGINS",
        "*",
        "Origins whose pages may read all responses, comma-separated; `*`: all may read prices.",
        rule=ORIGINS,
    )
    log_level: str = setting("LOG_LEVEL", "info", "debug, info, warning or error.", rule=LOG_LEVEL)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the settings from environment variables; empty variables count as not set.

        Raises:
            SettingsError: a value has the wrong type or is out of range.
        """
        env = os.environ if env is None else env
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            raw = env.get(field.metadata["env"], "").strip()
            if raw:
                given[field.name] = _parse(field, raw)
        return cls(**given)

    @property
    def versions_path(self) -> Path:
        """Folder of the model versions and of the file `ACTIVE`."""
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
    def checkpoints_folder(self) -> Path:
        """Folder of the checkpoints of the audit log."""
        return self.audit_checkpoints or self.home / "audit-checkpoints"

    @property
    def checkpoint_key_file(self) -> Path:
        """File of the key of the checkpoints."""
        return self.audit_key_file or self.home / "audit-checkpoints.key"

    @property
    def keys_file(self) -> Path:
        """File of the hashed API keys."""
        return self.api_keys_file or self.home / "api-keys.json"

    @property
    def webhook_secrets_path(self) -> Path:
        """File of the secrets that sign webhooks."""
        return self.webhook_secrets_file or self.home / "webhook-secrets.json"

    @property
    def api_stop_s(self) -> int:
        """Longest time from the signal to stop until the API has answered its requests, seconds."""
        return math.ceil(self.drain_delay_s + self.max_wait_s) + STOP_MARGIN_S

    @property
    def is_demo(self) -> bool:
        """Whether callers without a key may value single cars wherever the API listens."""
        return self.demo in {"on", "1"}

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return self.host in {"127.0.0.1", "::1", "localhost"}


def _parse(field: "dataclasses.Field[Any]", raw: str) -> Any:
    """Convert a text to the type of the default of its setting."""
    default = field.default
    if isinstance(default, int | float) and not isinstance(default, bool):
        return _parse_number(field, raw, type(default))
    if default is None or isinstance(default, Path):
        return Path(raw)
    return _checked_text(field, raw)


def _checked_text(field: "dataclasses.Field[Any]", raw: str) -> str:
    rule: TextRule | None = field.metadata["rule"]
    if rule is not None and not rule.pattern.fullmatch(raw):
        given = "" if rule.is_secret else f"={raw!r}"
        raise SettingsError(f"{field.metadata['env']}{given}: expected {rule.expected}")
    try:
        _ = rule and rule.check(raw)
    except ValueError as error:
        raise SettingsError(f"{field.metadata['env']}: {error}") from None
    return raw


def _parse_number(field: "dataclasses.Field[Any]", raw: str, kind: type[int] | type[float]) -> Any:
    env, minimum = field.metadata["env"], field.metadata["minimum"]
    kind_name = "a whole number" if kind is int else "a number"
    try:
        number = kind(raw)
    except ValueError:
        raise SettingsError(f"{env}={raw!r}: expected {kind_name}, like {field.default}") from None
    if not math.isfinite(number) or number < minimum:
        raise SettingsError(f"{env}={raw!r}: expected {kind_name}, {minimum} or more")
    return number
