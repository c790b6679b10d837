"""The state of a file of the audit log, as a checkpoint keeps it."""

import dataclasses

from shared.audit.chain import GENESIS_HASH
from shared.audit.sums import FileSums


class CheckpointError(Exception):
    """A checkpoint cannot be written or is not authentic; the message says why."""


@dataclasses.dataclass(slots=True)
class FileState:
    """How far a file was written."""

    name: str
    size: int = 0
    """Bytes."""
    records: int = 0
    head: str = GENESIS_HASH
    """Hash of its last line."""
    sums: FileSums = dataclasses.field(default_factory=FileSums)
    is_closed: bool = False
    """Whether its process adds no more lines."""

    def extend(self, size: int, records: int, head: str) -> None:
        """Count lines that were written."""
        self.size += size
        self.records += records
        self.head = head

    def copy(self) -> "FileState":
        """An independent copy."""
        return dataclasses.replace(self, sums=self.sums.copy())
