"""The version that a candidate is compared with: the active one without knowledge of the months.

A recalibrated version has seen the price level of its last months, and perhaps their listings. On
these months it cannot be compared with a candidate that has not; without them there may be no later
ones for months, because a recalibration takes its listings from the same folder. So the version
with the same forest from before its recalibrations is recalibrated on the listings that the
candidate is trained on.
"""

import dataclasses
from pathlib import Path
from typing import Self

from data.listings.files import ListingsError
from model_store.comparison.compare import Comparison
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import load_model
from model_store.registry.registry import ModelRegistry
from model_store.retraining.split import TimeSplit
from model_store.training.recalibration import level_bounds, recalibrate
from shared.domain.clock import month_number
from shared.domain.errors import ModelRefused, ModelVersionNotFound


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rival:
    """The active version, to be compared with a candidate.

    Args:
        active: as it serves.
        base: the version with the same forest before the recalibrations of `active` on listings;
            `active` itself if there was none, or if that version cannot be loaded.
        note: what to add to the reason of a decision; empty without a recalibration.
    """

    active: LoadedModel
    base: LoadedModel
    note: str

    @classmethod
    def of(cls, versions_path: Path, active: str) -> Self:
        """The active version.

        Raises:
            ModelVersionNotFound, ModelRefused: it cannot be loaded.
        """
        model = load_model(versions_path, active)
        facts = model.version.calibrated_on
        if facts is None:
            return cls(active=model, base=model, note="")
        as_of = model.version.data_as_of
        until = f". The active version was recalibrated on listings until {as_of}"
        try:
            base = load_model(versions_path, _trained_version(versions_path, active))
        except (ModelRefused, ModelVersionNotFound):
            note = (
                f"{until}, and the version that it was made from ({facts['version']}) cannot be"
                " loaded, so only later listings count as newer"
            )
            return cls(active=model, base=model, note=note)
        if base.version.data_as_of == as_of:  # recalibrated on sales
            return cls(active=model, base=model, note="")
        note = (
            f"{until}: the comparison is with the version before ({base.version.id}), recalibrated"
            " on the listings that the candidate is trained on, if these are enough"
        )
        return cls(active=model, base=base, note=note)

    def before(self, split: TimeSplit) -> LoadedModel:
        """The version as it would serve before the judged months."""
        if self.base is self.active:
            return self.active
        version = self.base.version
        try:
            changed = recalibrate(self.base, split.training)
        except ListingsError:  # too few later listings: it would not have been recalibrated
            return self._as_active(self.base)
        return self._as_active(
            dataclasses.replace(
                self.base,
                calibration=changed.calibration,
                version=dataclasses.replace(version, training=changed.training),
            )
        )

    def _as_active(self, model: LoadedModel) -> LoadedModel:
        """The model under the id of the active version."""
        version = dataclasses.replace(model.version, id=self.active.version.id)
        return dataclasses.replace(model, version=version)


def _trained_version(versions_path: Path, version: str) -> str:
    """The version that a recalibrated one has its forest of; raises as `ModelRegistry.get`."""
    registry = ModelRegistry(versions_path)
    while (facts := registry.get(version).calibrated_on) is not None:
        version = str(facts["version"])
    return version


def level_doubt(found: Comparison) -> str | None:
    """Why listings seem to be of another currency or market than version A; None if not.

    A candidate that is trained on such listings is always better on them.
    """
    if found.months is None:
        return None
    level = 1.0 / (1.0 + found.a.bias / 100.0)
    low, high = level_bounds(month_number(found.months[1]) - month_number(found.data_as_of_a))
    if low <= level <= high:
        return None
    return (
        f"the listings ask {level:.3g} times the estimates of the active version (median): is this"
        f" another currency or market? Between {low:.2f} and {high:.2f} times is accepted"
        " (`carprice retrain` without --if-better activates it nevertheless)"
    )
