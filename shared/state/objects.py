"""Objects of the state store, in a bucket of an S3-compatible store.

A write names what it replaces: of several hosts that change an object at the same time, one
succeeds and the others are told (conditional requests of S3, `If-Match` and `If-None-Match`).
"""

import dataclasses
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.settings import Settings

CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S = 1.0, 5.0
ATTEMPTS = 2
PROBE = "conditional-writes"
MAX_KEYS_PER_DELETE = 1000
_CONFLICTS = (409, 412)
_NOT_MODIFIED, _NOT_FOUND = 304, 404


class StateConflict(Exception):
    """Another process has written the object since it was read."""


class ObjectMissing(Exception):
    """There is no such object."""


@dataclasses.dataclass(frozen=True, slots=True)
class StoredObject:
    """Content of an object, and the ETag that names this content."""

    content: bytes
    etag: str


class StateObjects:
    """The objects below a prefix of a bucket.

    A client is made at the first use in a process, and again after a fork: until then nothing is
    imported or connected. Every method raises `OSError` while the store is unreachable.

    Args:
        url: `s3://bucket/prefix`; the bucket must exist.
        endpoint_url: of a store other than Amazon S3; empty: Amazon S3.
    """

    def __init__(self, url: str, endpoint_url: str = "") -> None:
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint_url = endpoint_url
        self._connection: tuple[int, Any] | None = None
        self._is_proven = False

    @classmethod
    def of(cls, settings: Settings) -> "StateObjects | None":
        """The store that `STATE_URL` names; None: the state lies in folders of this host."""
        if not settings.state_url:
            return None
        return cls(settings.state_url, settings.blob_endpoint_url)

    def read(self, name: str) -> StoredObject | None:
        """An object; None if there is none."""
        with _store_errors():
            found = self._get(name)
        return None if found is None else StoredObject(found["Body"].read(), found["ETag"])

    def read_unless(self, name: str, etag: str) -> StoredObject | None:
        """An object if its ETag differs from `etag`, else None.

        Raises:
            ObjectMissing: there is no such object.
        """
        with _store_errors():
            try:
                found = self._get(name, IfNoneMatch=etag)
            except _NotModified:
                return None
            if found is None:
                raise ObjectMissing(name)
            return StoredObject(found["Body"].read(), found["ETag"])

    def replace(self, name: str, content: bytes, etag: str | None) -> str:
        """Write an object if its ETag still is `etag`, None: if there is none; return the new one.

        Raises:
            StateConflict: another content was written meanwhile.
            OSError: the store is unreachable, or does not honour conditional writes.
        """
        self._require_conditional_writes()
        try:
            return self._put_if(name, content, etag)
        except StateConflict:
            # The reply to a first attempt may have been lost, and a second one found its content.
            found = self.read(name)
            if found is None or found.content != content:
                raise
            return found.etag

    def write(self, name: str, content: bytes) -> None:
        """Write an object, whatever it replaces."""
        with _store_errors():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def upload(self, name: str, path: Path) -> None:
        """Write a file as an object, whatever it replaces."""
        with _store_errors(), path.open("rb") as file:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=file)

    def download(self, name: str, path: Path) -> None:
        """Write an object to a file.

        Raises:
            ObjectMissing: there is no such object.
        """
        with _store_errors():
            found = self._get(name)
            if found is None:
                raise ObjectMissing(name)
            with path.open("wb") as file:
                for piece in found["Body"].iter_chunks(1 << 20):
                    file.write(piece)

    def exists(self, name: str) -> bool:
        """Whether there is an object."""
        with _store_errors():
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except self._client.exceptions.ClientError as error:
                if _status(error) == _NOT_FOUND:
                    return False
                raise
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; a missing one is no error."""
        with _store_errors():
            for start in range(0, len(names), MAX_KEYS_PER_DELETE):
                keys = names[start : start + MAX_KEYS_PER_DELETE]
                objects = [{"Key": self._prefix + name} for name in keys]
                self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
                )

    def _get(self, name: str, **condition: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + name, **condition
            )
        except self._client.exceptions.ClientError as error:
            if _status(error) == _NOT_MODIFIED:
                raise _NotModified from error
            # A bucket that is missing is a mistake in the settings, not a missing object.
            if _code(error) in {"NoSuchKey", "404"}:
                return None
            raise
        return found

    def _put_if(self, name: str, content: bytes, etag: str | None) -> str:
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        with _store_errors():
            try:
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + name, Body=content, **condition
                )
            except self._client.exceptions.ClientError as error:
                # An object that was deleted meanwhile is 404 for `If-Match`.
                is_gone = etag is not None and _code(error) == "NoSuchKey"
                if _status(error) in _CONFLICTS or is_gone:
                    raise StateConflict(name) from error
                raise
        return str(answer["ETag"])

    def _require_conditional_writes(self) -> None:
        """Refuse a store that ignores conditions: of two changes, it would lose one."""
        if self._is_proven:
            return
        for attempt in range(2):
            try:
                self._put_if(PROBE, b"", None)
            except StateConflict:
                self._is_proven = True
                return
            if attempt:
                break
        raise OSError(
            errno.EOPNOTSUPP, "the state store ignores If-None-Match: choose one that honours it"
        )

    @property
    def _client(self) -> Any:
        if self._connection is None or self._connection[0] != os.getpid():
            self._connection = (os.getpid(), _make_client(self._endpoint_url))
        return self._connection[1]


class _NotModified(Exception):
    """The object still has the ETag that was named."""


def _make_client(endpoint_url: str) -> Any:
    # Imported here: processes without a state store need not pay for it.
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=REPLY_TIMEOUT_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path" if endpoint_url else "auto"},
        # Not every compatible store knows the checksums that botocore adds.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = botocore.session.get_session()
    return session.create_client("s3", endpoint_url=endpoint_url or None, config=config)


@contextmanager
def _store_errors() -> Iterator[None]:
    """Raise errors of the store and the connection as `OSError`."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(errno.EIO, f"state store: {error}") from error


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
