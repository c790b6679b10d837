"""The blob store that the settings name."""

from shared.adapters.blobs import LocalBlobStore
from shared.batch_ports import BlobStore
from shared.settings import Settings


def open_blob_store(settings: Settings) -> BlobStore:
    """The store of uploads and results: a folder, or a bucket if `BLOB_URL` names one."""
    if not settings.blob_url:
        return LocalBlobStore(settings.batches_path)
    # Only here: the libraries of an object store would make every process slower to start.
    from shared.adapters.s3_blobs import S3BlobStore  # noqa: PLC0415

    return S3BlobStore(settings.blob_url, settings.blob_endpoint_url)
