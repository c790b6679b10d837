"""The names that can be suggested with a model version: brands, models, trims, by frequency."""

import dataclasses
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from model_store.registry.manifest import ENCODER_FILE
from shared.domain.names import ARABIC_BRANDS, ARABIC_MODELS, fold, fold_name
from shared.logging import get_logger
from shared.messages.names import format_name
from shared.vehicles.catalogue import Brand, catalogue, compact
from shared.vehicles.names import display_names
from shared.vehicles.versions import VERSION_WORDS

NOT_A_MODEL = frozenset({"", "other", "autre", "autres"})
MAX_TRIMS = 20
"""Trims of all models that are suggested for one, after its own."""
_OWN_TRIMS, _TRIMS = "vehicle_x_word", "word"
"""Terms of a version's baseline whose cells are named by trims."""

log = get_logger("suggestions")


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A brand, model or trim that can be suggested."""

    company: str
    """Usual spelling of the brand."""
    value: str
    """Usual spelling of the suggestion."""
    spellings: tuple[str, ...]
    """Folded, without spaces, in Latin and Arabic letters."""
    listings: int = 0
    """In the Moroccan market; 0 if fewer than ten."""
    is_generation: bool = False
    """Whether it is one generation of a model that is suggested as well."""


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """All names, the most frequent first."""

    brands: tuple[Name, ...] = ()
    models: Mapping[str, tuple[Name, ...]] = dataclasses.field(default_factory=dict)
    """By the folded name of the brand."""
    trims: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Of each vehicle (`company|model`), and of all under the empty name."""

    def brand_models(self, brand: str) -> tuple[Name, ...]:
        """The models of a folded brand that have listings; all if none has."""
        models = tuple(one for one in self.models.get(brand, ()) if not one.is_generation)
        return tuple(one for one in models if one.listings) or models

    def listed_models(self) -> list[Name]:
        """The models of all brands that have listings, the most frequent first."""
        found = [one for models in self.models.values() for one in models if one.listings]
        return sorted(found, key=lambda one: -one.listings)


@lru_cache(maxsize=4)
def vocabulary(version_folder: Path | None) -> Vocabulary:
    """The names to suggest with a model version, cached as versions never change.

    They are those of the catalogue and those of the version's training data. If the training data's
    cannot be read, the catalogue's remain.

    Args:
        version_folder: of the active version; None without one.
    """
    baseline = _baseline(version_folder) if version_folder else {}
    models: dict[str, dict[str, Name]] = {}
    for key, brand in catalogue().brands.items():
        spellings = _model_spellings(brand)
        models[key] = {
            name: Name(
                brand.display,
                display_names(key, name)[1],
                tuple(spellings.get(name, (compact(name),))),
                model.listings,
                name in brand.generations,
            )
            for name, model in brand.models.items()
        }
    for company, model in _trained(baseline):
        known = models.setdefault(company, {})
        if model not in known:
            shown = display_names(company, model)
            known[model] = Name(*shown, (compact(model),))
    ordered = {
        company: tuple(sorted(found.values(), key=_by_frequency))
        for company, found in models.items()
        if found
    }
    return Vocabulary(_brands(ordered), ordered, _trims(baseline))


def _model_spellings(brand: Brand) -> dict[str, list[str]]:
    """All spellings of the models of a brand, by their names."""
    found: dict[str, list[str]] = {}
    for spelling, model in brand.spellings.items():
        found.setdefault(model, []).append(spelling)
    for arabic, name in ARABIC_MODELS.items():
        if (known := brand.spellings.get(compact(name))) is not None:
            found[known].append(compact(arabic))
    return found


def _brands(models: Mapping[str, tuple[Name, ...]]) -> tuple[Name, ...]:
    known = catalogue()
    aliases: dict[str, list[str]] = {}
    for spelling, name in known.brand_spellings.items():
        aliases.setdefault(name, []).append(spelling)
    for spelling, name in ARABIC_BRANDS.items():
        if (company := known.brand_spellings.get(compact(name))) is not None:
            aliases[company].append(compact(spelling))
    found = []
    for company, of_brand in models.items():
        shown = of_brand[0].company
        listings = sum(one.listings for one in of_brand if not one.is_generation)
        spellings = tuple(aliases.get(company, ())) or (compact(company),)
        found.append(Name(shown, shown, spellings, listings))
    return tuple(sorted(found, key=_by_frequency))


def _by_frequency(name: Name) -> tuple[int, str]:
    return (-name.listings, fold(name.value))


def _baseline(version_folder: Path) -> Mapping[str, Any]:
    """The baseline of a version; empty if it is unreadable."""
    try:
        baseline = json.loads((version_folder / ENCODER_FILE).read_bytes())["hedonic"]
        return dict(baseline) | {"vehicle_years": dict(baseline["vehicle_years"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("suggestions_unavailable", folder=str(version_folder), error=str(error))
        return {}


def _trained(baseline: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Folded brands and models of the training data."""
    pairs = [key.partition("|") for key in baseline.get("vehicle_years", ())]
    return [(brand, model) for brand, _, model in pairs if _is_name(model)]


def _trims(baseline: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The trims that a version prices, the most frequent first."""
    terms = {term.get("name"): term.get("cells", {}) for term in baseline.get("terms", ())}
    counted: dict[str, list[tuple[float, str]]] = {}
    for key, cell in terms.get(_OWN_TRIMS, {}).items():
        vehicle, _, word = key.rpartition("|")
        if len(word) > 1:
            counted.setdefault(vehicle, []).append((-cell[0], word))
    for word, cell in terms.get(_TRIMS, {}).items():
        if word in VERSION_WORDS:
            counted.setdefault("", []).append((-cell[0], word))
    return {
        vehicle: tuple(format_name(word) for _, word in sorted(found)[:MAX_TRIMS])
        for vehicle, found in counted.items()
    }


def _is_name(model: str) -> bool:
    """Whether `model` is the name of a model, not a placeholder like `(rare)`."""
    return fold_name(model) == model and model not in NOT_A_MODEL
