"""Versions that batches under way were accepted with: they must stay until those have ended."""

from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.settings import Settings


def versions_in_use(settings: Settings) -> set[str]:
    """The version of every batch that has been accepted and has not ended.

    Raises:
        StorageUnavailable: the batches' files cannot be read.
    """
    files = BatchFiles(open_blob_store(settings))
    found = set()
    for batch_id in files.blobs.batches():
        manifest = files.manifest(batch_id)
        if manifest is not None and files.final(batch_id) is None:
            found.add(manifest.model_version)
    return found
