"""The model registry, as callers of the API see and change it."""

from model_store.manifest import ModelVersion
from model_store.registry import ActiveModel, ModelRegistry
from shared.domain.ids import CallerId, ModelVersionId


class Models:
    """Lists, activates and rolls back.

    Args:
        registry: the versions on disk.
        active_model: the version that answers now.
    """

    def __init__(self, registry: ModelRegistry, active_model: ActiveModel) -> None:
        self._registry = registry
        self._active_model = active_model
        self._cards: dict[str, ModelVersion] = {}

    def versions(self) -> list[ModelVersion]:
        """All versions, the newest first."""
        return list(self._registry.list())

    def active_id(self) -> ModelVersionId | None:
        """The id of the active version."""
        return self._active_model.version_id()

    def active(self) -> ModelVersion | None:
        """The active version."""
        return self._active_model.version()

    def card(self, version_id: str) -> ModelVersion | None:
        """The manifest of a version, remembered: manifests never change."""
        card = self._cards.get(version_id)
        if card is None and (card := self._registry.find(ModelVersionId(version_id))) is not None:
            self._cards[version_id] = card
        return card

    def activate(self, version_id: str, caller: CallerId) -> ModelVersion:
        """Make a version the active one.

        Raises:
            ModelVersionNotFound, ModelRefused: the active one stays.
        """
        return self._registry.activate(ModelVersionId(version_id), by=caller)

    def rollback(self, caller: CallerId) -> ModelVersion:
        """Activate the version that was active before the present one."""
        return self._registry.rollback(by=caller)
