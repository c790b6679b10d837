"""The brands and models that the form suggests while somebody types."""

import dataclasses
import json
from functools import lru_cache
from pathlib import Path

from model_store.registry.manifest import ENCODER_FILE
from shared.domain.names import fold
from shared.logging import get_logger
from shared.vehicles.catalogue import catalogue
from shared.vehicles.names import display_names

NOT_A_MODEL = frozenset({"", "other", "autre", "autres"})

log = get_logger("suggestions")


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestions:
    """Brands and models in their usual spelling."""

    brands: tuple[str, ...] = ()
    models: tuple[tuple[str, str], ...] = ()
    """Pairs of brand and model."""


@lru_cache(maxsize=4)
def suggestions(version_folder: Path) -> Suggestions:
    """The names to suggest with a model version, cached as versions never change.

    They are the vehicles of its training data and the usual ones of the catalogue. If the training
    data's cannot be read, those of the catalogue remain.
    """
    names = {
        display_names(brand.name, model.name)
        for brand in catalogue().brands.values()
        for model in brand.models.values()
        if model.listings
    }
    names |= {display_names(brand, model) for brand, model in _trained_vehicles(version_folder)}
    ordered = sorted(names, key=lambda pair: (fold(pair[0]), fold(pair[1])))
    brands = tuple(dict.fromkeys(brand for brand, _ in ordered))
    return Suggestions(brands, tuple(pair for pair in ordered if _is_name(fold(pair[1]))))


def _trained_vehicles(version_folder: Path) -> list[tuple[str, str]]:
    """Folded brands and models in the training data of a version; none if they are unreadable."""
    try:
        encoder = json.loads((version_folder / ENCODER_FILE).read_bytes())
        pairs = [key.split("|") for key in encoder["hedonic"]["vehicle_years"]]
        return [(brand, model) for brand, model in pairs if _is_name(model)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("suggestions_unavailable", folder=str(version_folder), error=str(error))
        return []


def _is_name(model: str) -> bool:
    """Whether `model` is the name of a model, not a placeholder like `(rare)`."""
    return fold(model) == model and model not in NOT_A_MODEL
