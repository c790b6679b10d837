"""Signatures of webhooks, as Standard Webhooks defines them (version `v1`, HMAC-SHA256).

The library `standardwebhooks` would add four dependencies for what are ten lines here
(docs/adr/0114).
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of all secrets
SECRET_BYTES = 32
MIN_BYTES, MAX_BYTES = 24, 64
"""Lengths of secrets that Standard Webhooks permits."""


def new_secret() -> str:
    """Make a random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    """The bytes of a secret.

    Raises:
        ValueError: it has not the form `whsec_` and 24 to 64 bytes in base 64.
    """
    try:
        decoded = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        decoded = b""
    if not secret.startswith(SECRET_PREFIX) or not MIN_BYTES <= len(decoded) <= MAX_BYTES:
        raise ValueError(
            f"a secret is {SECRET_PREFIX} and {MIN_BYTES} to {MAX_BYTES} bytes in base 64"
        )
    return decoded


def signature_headers(
    webhook_id: str, timestamp: int, body: bytes, keys: Sequence[str]
) -> list[tuple[str, str]]:
    """The three headers of a webhook.

    Args:
        webhook_id: the same in every attempt.
        timestamp: of the attempt, Unix time in seconds.
        body: exactly as it is sent.
        keys: secrets; each of them signs, so that a receiver may know the old or the new one.
    """
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(secret_bytes(key), content, "sha256")).decode() for key in keys
    ]
    return [
        ("webhook-id", webhook_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", " ".join(f"v1,{each}" for each in signatures)),
    ]
