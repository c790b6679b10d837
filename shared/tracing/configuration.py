"""The standard variables of OpenTelemetry that this service follows (docs/tracing.md)."""

import dataclasses
import os
import re
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
TRACES_PATH: Final = "v1/traces"
SAMPLERS: Final = ("always_on", "always_off", "traceidratio")
PARENT_BASED: Final = "parentbased_"
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


class TracingError(ValueError):
    """A variable of OpenTelemetry has a value that this service does not follow."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TracingConfiguration:
    """Where spans go, and which traces are kept."""

    endpoint: str
    """Address that takes `ExportTraceServiceRequest` by POST."""
    headers: Mapping[str, str]
    timeout_s: float
    """Of one export."""
    is_compressed: bool
    certificate: str
    """File of the authorities that may sign for the collector; empty: those of the system."""
    resource: Mapping[str, str]
    sampler: str
    """One of `SAMPLERS`, for traces that begin here."""
    ratio: float
    """Share of the traces that `traceidratio` keeps, 0 to 1."""
    follows_parent: bool
    """Whether the caller's decision holds for a trace that it began."""
    delay_s: float
    """Longest time that a span waits for its export."""
    max_queue: int
    """Spans that wait at most; later ones are dropped."""
    max_batch: int
    """Spans of one export."""


def read_configuration(
    process: str, env: Mapping[str, str] | None = None
) -> TracingConfiguration | None:
    """What the environment says; None if tracing is off.

    Args:
        process: kind of this process: api, worker or webhooks.
        env: the variables; those of the process by default.

    Raises:
        TracingError: a variable has a value that cannot be followed.
    """
    given = {
        name: text
        for name, raw in (os.environ if env is None else env).items()
        if name.startswith("OTEL_") and (text := raw.strip())
    }
    endpoint = _endpoint(given)
    is_disabled = given.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not endpoint or is_disabled or given.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    protocol = _of_traces(given, "PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        raise TracingError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r}: expected http/protobuf")
    sampler = given.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    if sampler.removeprefix(PARENT_BASED) not in SAMPLERS:
        known = ", ".join([*SAMPLERS, *(PARENT_BASED + each for each in SAMPLERS)])
        raise TracingError(f"OTEL_TRACES_SAMPLER={sampler!r}: expected one of {known}")
    max_queue = int(_number(given, "OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1, 1_000_000))
    return TracingConfiguration(
        endpoint=endpoint,
        headers=_headers(given),
        timeout_s=_milliseconds(given, _traces_name(given, "TIMEOUT"), 10_000),
        is_compressed=_of_traces(given, "COMPRESSION", "none") == "gzip",
        certificate=_of_traces(given, "CERTIFICATE", ""),
        resource=_resource(given, process),
        sampler=sampler.removeprefix(PARENT_BASED),
        ratio=_number(given, "OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0, 1.0),
        follows_parent=sampler.startswith(PARENT_BASED),
        delay_s=_milliseconds(given, "OTEL_BSP_SCHEDULE_DELAY", 5_000),
        max_queue=max_queue,
        max_batch=int(_number(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1, max_queue)),
    )


def _endpoint(given: Mapping[str, str]) -> str:
    """The address for traces: the one of the signal as it is, or the common one and a path."""
    address = given.get(TRACES_ENDPOINT, "")
    if not address:
        common = given.get(ENDPOINT, "")
        address = f"{common.rstrip('/')}/{TRACES_PATH}" if common else ""
    if address and not _is_usable(address):
        raise TracingError(f"{ENDPOINT}={address!r}: expected http://host:port or https://…")
    return address


def _is_usable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of an IPv6 address
        return False


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    headers = _pairs(_of_traces(given, "HEADERS", ""))
    if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(headers[name]) for name in headers):
        # They may hold a key, so they are not shown.
        raise TracingError(f"{_traces_name(given, 'HEADERS')}: expected name=value,…")
    return headers


def _traces_name(given: Mapping[str, str], name: str) -> str:
    own = f"OTEL_EXPORTER_OTLP_TRACES_{name}"
    return own if own in given else f"OTEL_EXPORTER_OTLP_{name}"


def _of_traces(given: Mapping[str, str], name: str, default: str) -> str:
    """A variable of the exporter: for traces, or else for all signals."""
    return given.get(_traces_name(given, name), default)


def _resource(given: Mapping[str, str], process: str) -> dict[str, str]:
    stated = _pairs(given.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    default = {"service.name": f"carprice-{process}", "host.name": socket.gethostname()}
    own = {"carprice.process": process, "telemetry.sdk.language": "python"}
    name = given.get("OTEL_SERVICE_NAME")
    return {**default, **stated, **({"service.name": name} if name else {}), **own}


def _pairs(text: str) -> dict[str, str]:
    """Names and values of a list `a=b,c=d`, whose values are percent-encoded."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _milliseconds(given: Mapping[str, str], name: str, default: float) -> float:
    return _number(given, name, default, 1, 600_000) / 1000


def _number(given: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    raw = given.get(name)
    if raw is None:
        return min(default, high)
    try:
        number = float(raw)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise TracingError(f"{name}={raw!r}: expected a number from {low:g} to {high:g}")
    return number
