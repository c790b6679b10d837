"""The store of uploads and results, seen from those who wait for an answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.domain.errors import StorageUnavailable
from shared.logging import get_logger

log = get_logger("storage")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a disk or an object store refuses into `StorageUnavailable`."""
    try:
        yield
    except OSError as error:
        log.warning("storage_unavailable", error=str(error))
        raise StorageUnavailable(reason=error.strerror or str(error)) from error
