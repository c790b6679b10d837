"""What several hosts share about their models: the pointers, their history, the versions."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Self

from model_store.registry.history import Action, ActivationRecord
from model_store.registry.pointer_files import Shadow
from shared.domain.ids import ModelVersionId


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SharedPointers:
    """The document of the models in the state store."""

    active: str | None = None
    shadow: Shadow | None = None
    history: tuple[ActivationRecord, ...] = ()
    """Every change of the active version, the oldest first."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 of the manifest of each version in the store, by its id."""
    removed: tuple[str, ...] = ()
    """The versions that were removed last: hosts delete their copies."""

    def to_bytes(self) -> bytes:
        """The document; the inverse of `from_bytes`."""
        members = {
            "active": self.active,
            "shadow": self.shadow and dataclasses.asdict(self.shadow),
            "history": [change.to_json() for change in self.history],
            "versions": dict(self.versions),
            "removed": list(self.removed),
        }
        return (json.dumps(members, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the document.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is none.
        """
        members: dict[str, Any] = json.loads(content)
        shadow = members["shadow"]
        return cls(
            active=members["active"],
            shadow=shadow and Shadow(ModelVersionId(shadow["version"]), float(shadow["share"])),
            history=tuple(
                ActivationRecord(**change | {"action": Action(change["action"])})
                for change in members["history"]
            ),
            removed=tuple(map(str, members["removed"])),
            versions={str(name): str(digest) for name, digest in members["versions"].items()},
        )

    @property
    def named(self) -> set[str]:
        """The versions that a pointer names."""
        return {name for name in (self.active, self.shadow and self.shadow.version) if name}
