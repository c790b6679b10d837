"""Brands and models that the page suggests: those that the active model has seen."""

import dataclasses
import json
from functools import lru_cache
from pathlib import Path

from api.web.french import format_name
from shared.domain.text import fold
from shared.logging import get_logger

ENCODER_FILE = "encoder.json"
NOT_A_MODEL = frozenset({"", "other", "autre", "autres"})

log = get_logger("suggestions")


@dataclasses.dataclass(frozen=True, slots=True)
class Suggestions:
    """Names as people spell them; empty when the model does not say what it has seen."""

    brands: tuple[str, ...] = ()
    models: tuple[tuple[str, str], ...] = ()
    """Brand and model."""


@lru_cache(maxsize=4)
def suggestions(version_folder: Path) -> Suggestions:
    """The vehicles that a model version has seen. A version never changes: read once.

    They are a courtesy: whatever is wrong with the file, the page does without them.
    """
    try:
        encoder = json.loads((version_folder / ENCODER_FILE).read_bytes())
        pairs = [key.split("|") for key in encoder["hedonic"]["vehicle_years"]]
        brands = sorted({format_name(brand) for brand, _ in pairs}, key=fold)
        models = sorted(
            (format_name(brand), format_name(model)) for brand, model in pairs if _is_name(model)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("suggestions_unavailable", folder=str(version_folder), error=str(error))
        return Suggestions()
    return Suggestions(tuple(brands), tuple(models))


def _is_name(model: str) -> bool:
    """Whether `model` is what people call a car, not a place for several, like `(rare)`."""
    return fold(model) == model and model not in NOT_A_MODEL
