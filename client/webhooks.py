"""Verification of webhooks, which are signed as Standard Webhooks define it."""

import base64
import binascii
import dataclasses
import hmac
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .errors import CarPriceError
from .work import Job

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of all secrets
TOLERANCE_S = 300.0
"""Largest difference between the clocks of sender and receiver, with the way in between."""
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")


class InvalidWebhookError(CarPriceError):
    """The request is not a webhook of the owner of the secret, or not a recent one."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebhookEvent:
    """A webhook whose signature was verified."""

    id: str
    """The same in every attempt: process each id once."""
    type: str
    """`job.` or `batch.`, then `succeeded`, `failed` or `cancelled`."""
    timestamp: datetime
    """When it happened."""
    data: Mapping[str, Any]
    """As in `GET /jobs`; of a small job with `result`, of a batch with `outcome` and `counts`."""

    @property
    def work_id(self) -> str:
        """Id of the job or batch."""
        return str(self.data["id"])

    @property
    def kind(self) -> str:
        """`job` or `batch`."""
        return self.type.partition(".")[0]

    @property
    def job(self) -> Job | None:
        """The job with its valuations, if the webhook has them; otherwise read it by `work_id`."""
        return Job.of(self.data) if self.kind == "job" and "result" in self.data else None


def verify(
    headers: Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]],
    body: bytes,
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
) -> WebhookEvent:
    """Verify the signature of a webhook and read it.

    Args:
        headers: of the request, in any case of letters; a mapping, or pairs of text or bytes.
        body: exactly as it came, before it is parsed.
        secret: `whsec_…`; several while a secret is being replaced.
        tolerance_s: largest age, and largest difference of the clocks.

    Raises:
        InvalidWebhookError: answer the request with 400 or 401 and do nothing.
        ValueError: a secret is none.
        TypeError: the body is not bytes.
    """
    if not isinstance(body, bytes | bytearray):
        raise TypeError("the body must be the bytes of the request, as they came")
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ValueError("a secret is needed")
    given = {
        _bytes(name).lower(): _bytes(value)
        for name, value in (headers.items() if isinstance(headers, Mapping) else headers)
    }
    webhook_id = _header(given, "webhook-id")
    timestamp = _header(given, "webhook-timestamp")
    signatures = _header(given, "webhook-signature")
    content = b".".join((webhook_id, timestamp, bytes(body)))
    if not _is_signed(content, signatures, keys):
        raise InvalidWebhookError("no signature of the webhook is of this secret")
    # Checked after the signature: the time of a forged webhook says nothing.
    if not _TIMESTAMP.fullmatch(timestamp):
        raise InvalidWebhookError("the header webhook-timestamp is no time")
    age_s = time.time() - int(timestamp)
    if abs(age_s) > tolerance_s:
        way = "old" if age_s > 0 else "ahead of this machine's clock"
        raise InvalidWebhookError(f"the webhook is {abs(age_s):.0f} s {way}")
    return _event(webhook_id.decode(errors="replace"), bytes(body))


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.strip().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        # The text is not in the message, which may be logged.
        raise ValueError(f"a secret is {SECRET_PREFIX} and base 64")
    return key


def _bytes(text: str | bytes) -> bytes:
    return text.encode(errors="replace") if isinstance(text, str) else text


def _header(headers: Mapping[bytes, bytes], name: str) -> bytes:
    value = headers.get(name.encode())
    if not value:
        raise InvalidWebhookError(f"the header {name} is missing")
    return value


def _is_signed(content: bytes, signatures: bytes, keys: Sequence[bytes]) -> bool:
    """Whether one of the signatures is of one of the keys; all are compared, in constant time."""
    expected = [base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys]
    given = [each[3:] for each in signatures.split(b" ") if each.startswith(b"v1,")]
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    return any(matches)


def _event(webhook_id: str, body: bytes) -> WebhookEvent:
    try:
        event = json.loads(body)
        return WebhookEvent(
            id=webhook_id,
            type=str(event["type"]),
            timestamp=datetime.fromisoformat(event["timestamp"]),
            data=dict(event["data"]),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidWebhookError("the body is no webhook of the car price service") from error
