"""Normal forms of recorded values: placeholders replace ids, times and speeds."""

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

ID = r"(?<![0-9a-zA-Z])0[0-9a-hjkmnp-tv-z]{25}(?![0-9a-zA-Z])"
"""An id of the service: 26 characters of base 32; the first one is a zero in this century."""
PATTERNS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "<moment>"),
    (re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "<date>"),
    (re.compile(r"\d\d/\d\d/\d{4} à \d\d:\d\d"), "<minute>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"(?<![\d.])1[7-9]\d{8}(\.\d+)?(?![\d.])"), "<time>"),
    (re.compile(r"(?<=:completions:)\d+"), "<window>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<host>"),
    (re.compile(r"gen\d+@[\w.-]+"), "<origin>"),
    (re.compile(r"[\w.]+@[\w.-]+:[0-9a-f-]*\d+-[0-9a-z]{8}"), "<owner>"),
    (re.compile(r"\b1\.[67]\d+e\+9"), "<time>"),
)
VARYING = {
    "rows_per_second", "eta_s", "latency_ms", "response_time_ms", "prev", "hash",
    "average_response_time_ms", "memory_used_mb", "connected_clients",
    "total_commands_processed", "p50_ms", "p95_ms", "p99_ms",
}  # fmt: skip
"""Members that depend on the speed or load of the machine, and the hash chain of the audit log."""
SIGNIFICANT = 7


def today() -> str:
    """Return today's date in UTC, ISO format."""
    return dt.datetime.now(dt.UTC).date().isoformat()


class Placeholders:
    """Replaces varying values; equal ids get equal placeholders within one document.

    Args:
        numbered: whether different ids get different placeholders.
    """

    def __init__(self, *, numbered: bool = True) -> None:
        self._today = today()
        self._numbered = numbered
        self._ids: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Replace the varying parts of a text."""
        text = re.sub(ID, self._id, text)
        for pattern, name in PATTERNS:
            text = pattern.sub(name, text)
        # Only a date on its own: model versions and timestamps also begin with a date.
        return re.sub(rf"{self._today}(?!T\d| \d\d:)", "<today>", text)

    def value(self, value: Any) -> Any:
        """Replace the varying parts of a JSON value and round its numbers."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, float):
            return rounded(value) if not _is_time(value) else "<time>"
        if isinstance(value, Mapping):
            return {self.text(_text(name)): self._member(name, one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def _member(self, name: Any, value: Any) -> Any:
        if name in VARYING and value is not None:
            return f"<{type(value).__name__}>"
        return self.value(value)

    def _bytes(self, value: bytes) -> Any:
        try:
            return self.text(value.decode())
        except UnicodeDecodeError:
            return f"<{len(value)} bytes>"

    def _id(self, found: "re.Match[str]") -> str:
        if not self._numbered:
            return "<id>"
        return self._ids.setdefault(found[0], f"<id {len(self._ids) + 1}>")


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _is_time(value: float) -> bool:
    """Return whether a number is a Unix time of 2023 to 2033."""
    return 1.7e9 < value < 2.0e9


def rounded(value: float) -> float:
    """Round to seven significant digits; the others may depend on the processor."""
    if not math.isfinite(value) or value == 0:
        return value
    return round(value, SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))


def digest(data: bytes | str) -> str:
    """Return the first sixteen hexadecimal digits of the SHA-256."""
    data = data.encode() if isinstance(data, str) else data
    return hashlib.sha256(data).hexdigest()[:16]


def digest_of(value: Any) -> str:
    """Return the digest of a JSON value in normal form."""
    return digest(json.dumps(value, ensure_ascii=False, sort_keys=True))


HOP_BY_HOP = {"connection"}
"""Headers that depend on timing: whether a connection stays open depends on how much of the body
has arrived before the response."""


class Headers:
    """Describes the headers of a response by their difference from those of a plain response.

    Args:
        plain: the headers of the plain response.
    """

    def __init__(self, plain: Iterable[tuple[str, str]]) -> None:
        lines = _header_lines(plain, Placeholders(), length=False)
        self.plain = sorted(line for line in lines if not line.startswith("content-"))
        self.plain += [line for line in lines if line.startswith("content-security-policy")]

    def of(
        self, pairs: Iterable[tuple[str, str]], names: Placeholders, *, length: bool = False
    ) -> list[str]:
        """Return the additional headers of a response, and `no <name>` for each missing one.

        Args:
            pairs: its headers.
            names: the placeholders of the document.
            length: whether the value of `Content-Length` is the same in every run.
        """
        lines = _header_lines(pairs, names, length=length)
        given = {line.partition(":")[0] for line in lines}
        missing = [
            f"no {name}" for line in self.plain if (name := line.partition(":")[0]) not in given
        ]
        return [line for line in lines if line not in self.plain] + missing


class ValueTable:
    """Values that occur often, recorded once under a name derived from their content."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def name(self, value: Any) -> str:
        """Return the name of a value; add the value if it is new."""
        name = digest_of(value)[:6]
        self.values[name] = value
        return name


def _header_lines(
    pairs: Iterable[tuple[str, str]], names: Placeholders, *, length: bool
) -> list[str]:
    return sorted(
        f"{name.lower()}: {_header(name.lower(), value, names, length=length)}"
        for name, value in pairs
        if name.lower() not in HOP_BY_HOP
    )


def _header(name: str, value: str, names: Placeholders, *, length: bool) -> str:
    if name == "content-length" and not length:
        return "<length>"
    if name == "allow":  # a set, in any order
        return ", ".join(sorted(value.split(", ")))
    if name == "etag":
        value = re.sub(r'^(W/)?"[0-9a-f]{24}"$', r"\1<digest>", value)
        # The time at which a batch ended, between its id and the name of the file.
        value = re.sub(r"-[0-9a-f]{11}-(?=[a-z])", "-<time>-", value)
    return re.sub(r"ttl=\d+", "ttl=<seconds>", names.text(value))


def formatted(value: Any, depth: int = 2) -> str:
    """Format a recorded part as JSON for its file.

    Args:
        value: the part.
        depth: number of levels whose members are on separate lines.
    """
    return _indented(value, 0, depth) + "\n"


def _indented(value: Any, level: int, depth: int) -> str:
    flat = _flat(value)
    if level > depth or not isinstance(value, dict | list) or len(flat) < SHORT:
        return flat
    pad = "\n" + " " * (level + 1)
    if isinstance(value, dict):
        lines = [
            f"{_flat(name)}: {_indented(one, level + 1, depth)}" for name, one in value.items()
        ]
        return "{" + pad + f",{pad}".join(lines) + "\n" + " " * level + "}"
    lines = [_indented(one, level + 1, depth) for one in value]
    return "[" + pad + f",{pad}".join(lines) + "\n" + " " * level + "]"


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


SHORT = 90
"""Number of characters below which a value is on one line."""
