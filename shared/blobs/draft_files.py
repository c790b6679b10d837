"""The blobs of a draft, in the folder of its id among those of the batches.

source            the uploaded file, decompressed
draft.json        the draft and the choices made for it
preview.json      what its first rows are read as, for one set of choices

A folder without a manifest is no batch; the sweep deletes it a day after its id was made.
"""

import hashlib
from typing import Any

import orjson

from shared.blobs.batch_files import SOURCE
from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchOptions
from shared.domain.errors import record_errors
from shared.domain.files.draft import Draft
from shared.domain.ids import BatchId

DRAFT = "draft.json"
PREVIEW = "preview.json"


class DraftFiles:
    """Reads and writes the records of drafts."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs

    def draft(self, draft_id: BatchId) -> Draft | None:
        """The draft; None if there is none (any more)."""
        members = self._read(draft_id, DRAFT)
        with record_errors():
            return None if members is None else Draft.from_json(members)

    def write_draft(self, draft: Draft) -> None:
        """Record a draft, or further choices."""
        self._write(draft.id, DRAFT, draft.to_json())

    def preview(self, draft_id: BatchId) -> dict[str, Any] | None:
        """The last preview that a worker has made; None before the first one."""
        return self._read(draft_id, PREVIEW)

    def write_preview(self, draft_id: BatchId, preview: dict[str, Any]) -> None:
        """Record a preview in place of the last one."""
        self._write(draft_id, PREVIEW, preview)

    def delete_file(self, draft_id: BatchId) -> None:
        """Delete the file of a draft that was started; its record tells which batch it is."""
        self.blobs.remove(draft_id, [SOURCE, PREVIEW])

    def discard(self, draft_id: BatchId) -> None:
        """Delete a draft, its record first."""
        self.blobs.remove(draft_id, [DRAFT])
        self.blobs.discard(draft_id)

    def _write(self, draft_id: BatchId, name: str, members: dict[str, Any]) -> None:
        with self.blobs.write(draft_id, name) as blob:
            blob.write(orjson.dumps(members))

    def _read(self, draft_id: BatchId, name: str) -> dict[str, Any] | None:
        try:
            with record_errors(), self.blobs.read(draft_id, name) as blob:
                members: dict[str, Any] = orjson.loads(blob.read())
        except FileNotFoundError:
            return None
        return members


def choices_digest(options: BatchOptions) -> str:
    """Identifies the choices that a preview was made for; it holds codes, in no language."""
    members = {**options.to_json(), "language": "", "dry_run": False}
    digest = hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()[:32]
