"""Files that callers name instead of sending them: objects of allowed buckets or prefixes.

A caller chooses bucket and key only, never a host: the endpoint is that of the service's own store.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Self

from shared.domain.errors import FieldProblem, InvalidInput, StorageUnavailable
from shared.logging import get_logger
from shared.settings import Settings

PARAMETER = "?input_uri"
BLOCK_BYTES = 1 << 20
READ_AHEAD_BYTES = 8 << 20
"""Bytes of a request to the store."""

MAX_URI_LENGTH = 1100
_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9]/(?P<key>[^\x00-\x1f\x7f?#]+)")

log = get_logger("storage")


class InputObject:
    """An object of a bucket as an uploaded file.

    Args:
        file: the opened object.
        name: its name without folders.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.file_name = name
        self.charset: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        """The bytes of the object; `OSError` if it is replaced meanwhile."""
        with self._file as file:
            while block := file.read(BLOCK_BYTES):
                yield block


class InputObjects:
    """Opens the objects that callers may name.

    Args:
        prefixes: `s3://bucket/prefix`; an object below one of them may be named.
        own: addresses of the service's own files, below which none may be named.
        endpoint_url: of a store other than Amazon S3; empty: Amazon S3.
    """

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that the settings allow."""
        prefixes = [each.strip() for each in settings.input_uris.split(",") if each.strip()]
        own = [url for url in (settings.blob_url, settings.state_url) if url]
        return cls(prefixes, own, settings.blob_endpoint_url)

    def __init__(self, prefixes: list[str], own: list[str], endpoint_url: str) -> None:
        self._prefixes = [each.rstrip("/") + "/" for each in prefixes]
        self._own = [each.rstrip("/") + "/" for each in own]
        self._endpoint_url = endpoint_url
        self._files: Any = None

    def open(self, uri: str) -> InputObject:
        """Open an object.

        Raises:
            InvalidInput: it may not be named, does not exist, or the service may not read it.
            StorageUnavailable: the store does not answer.
        """
        if not self._is_allowed(uri):
            names = ", ".join(self._prefixes)
            raise _refused(
                uri, f"an address below {names}" if names else "none, as INPUT_URIS says"
            )
        # Imported here: its libraries would slow the start of every process.
        from shared.blobs.s3 import open_files, open_object  # noqa: PLC0415

        try:
            if self._files is None:
                self._files = open_files(self._endpoint_url)
            file = open_object(self._files, uri.removeprefix("s3://"), READ_AHEAD_BYTES)
        except (FileNotFoundError, PermissionError):
            raise _refused(uri, "an object that the service can read") from None
        except OSError as error:
            log.warning("storage_unavailable", error=str(error))
            raise StorageUnavailable(reason=error.strerror or str(error)) from error
        return InputObject(file, uri.rpartition("/")[2])

    def _is_allowed(self, uri: str) -> bool:
        """Whether an address is below an allowed prefix, whoever normalises it on the way."""
        found = _URI.fullmatch(uri)
        if found is None or len(uri) > MAX_URI_LENGTH:
            return False
        if not {"", ".", ".."}.isdisjoint(found["key"].split("/")):
            return False
        is_own = uri.startswith(tuple(self._own))
        return uri.startswith(tuple(self._prefixes)) and not is_own


def _refused(uri: str, expected: str) -> InvalidInput:
    shown = uri[:MAX_URI_LENGTH]
    return InvalidInput(
        [FieldProblem(PARAMETER, "invalid-parameter", expected=expected, value=shown)]
    )
