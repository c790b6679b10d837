"""A draft: an uploaded file that is looked at before it is valued."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from shared.domain.batch import BatchOptions
from shared.domain.ids import BatchId, CallerId
from shared.domain.table import Dialect, known_members

DRAFT_TTL_S = 86_400
"""Age at which a draft expires: that of an upload that nobody has finished."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A stored file, and the choices made for it so far. Its id is in the form of a batch's."""

    id: BatchId
    caller: CallerId
    created_at: float
    """Unix time, seconds."""
    file_name: str
    size_bytes: int
    """Size of the stored, decompressed file."""
    dialect: Dialect
    """Its kind, and the encoding of a text; the columns are found anew for each preview."""
    charset: str | None = None
    """Of the file's Content-Type."""
    options: BatchOptions = dataclasses.field(default_factory=BatchOptions)
    """The choices that the preview was last asked for."""
    batch_id: BatchId | None = None
    """The batch that was started from it; its file is deleted then."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members; the inverse of `from_json`."""
        return dataclasses.asdict(self) | {
            "dialect": self.dialect.to_json(),
            "options": self.options.to_json(),
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild the draft from `to_json`'s members; those of a newer version are ignored."""
        parsed = {
            "dialect": Dialect.from_json(members["dialect"]),
            "options": BatchOptions.from_json(members["options"]),
        }
        return cls(**known_members(cls, members) | parsed)
