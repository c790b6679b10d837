"""The key of the checkpoints, and JSON lines signed with it."""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any

import orjson

from shared.audit.file_state import CheckpointError
from shared.blobs.local import fsync, temporary_file
from shared.i18n.command import gettext as _

KEY_BYTES = 32
_MAC_MEMBER = b',"mac":"'
_STARTED = "started"


def mac_of(key: bytes, body: bytes) -> str:
    """The MAC of a JSON object, hexadecimal."""
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def signed(body: bytes, mac: str) -> bytes:
    """The JSON object with the member `mac` at its end."""
    return body[:-1] + _MAC_MEMBER + mac.encode() + b'"}'


def authentic(key: bytes, line: bytes) -> dict[str, Any] | None:
    """The object of a signed line; None if it was not signed with this key."""
    body, mark, _ = line.rpartition(_MAC_MEMBER)
    body += b"}"
    if not mark or not hmac.compare_digest(signed(body, mac_of(key, body)), line):
        return None
    found: dict[str, Any] = orjson.loads(line)
    return found


def read_key(path: Path) -> bytes | None:
    """The key; None if there is no file.

    Raises:
        CheckpointError: the file cannot be read or holds no key.
    """
    try:
        key = bytes.fromhex(_lines(path)[0])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError):
        key = b""
    if len(key) < KEY_BYTES:
        raise CheckpointError(
            _("{path}: expected a line of {key_bytes} hexadecimal digits").format(
                path=path, key_bytes=2 * KEY_BYTES
            )
        )
    return key


def create_key(path: Path) -> bytes:
    """Write a new key, readable by its owner only; the caller holds the lock of the inventory."""
    key = secrets.token_bytes(KEY_BYTES)
    with temporary_file(path) as (temporary, file):
        temporary.chmod(0o600)
        file.write(key.hex().encode() + b"\n")
        fsync(file)
        temporary.replace(path)
    return key


def has_inventory(path: Path) -> bool:
    """Whether an inventory was begun with this key, as far as its file says."""
    return _STARTED in _lines(path)


def note_inventory(path: Path) -> None:
    """Note beside the key that an inventory was begun, so that its removal is noticed.

    Raises:
        OSError: the file is read-only, as the secret of a container is.
    """
    with path.open("a", encoding="ascii") as file:
        file.write(f"{_STARTED}\n")


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("ascii").splitlines()]
