"""The manifest of a model version, `manifest.json`: files, training data, metrics, self-test."""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.ids import ModelVersionId

SCHEMA_VERSION = 7
"""Version of the bundle's file formats and features."""
READABLE_SCHEMAS = (4, 5, 6, 7)
"""Other versions are refused. Version 4 lacks `usual.json`: what is usual for a car is then derived
from the counts of its baseline (`model_store.pricing.usual_cars`). Versions before 6 do not state
how their errors grow with the age of the data: their intervals widen beyond the horizon only.
Versions before 7 do not state the kinds that a vehicle has (`UsualStatistics.known_kinds`)."""
USUAL_FILE_SCHEMA = 5
"""First schema whose versions have `usual.json`."""

MANIFEST_FILE = "manifest.json"
ENCODER_FILE = "encoder.json"
CALIBRATION_FILE = "calibration.json"
USUAL_FILE = "usual.json"
CARD_DATA_FILE, CARD_MARKDOWN_FILE = "card.json", "card.md"
"""Files of a model card in English: data of the page, and text."""

PROFILE_FILE = "profile.json"
"""Shares of the training data's values (`model_store.drift.profile`); serving does not read it."""

REFERENCE_MARKET = "reference market"
"""Name of generated training data; the model card mentions it."""
ASKING_PRICES = "asking_prices"
MEASURED, REFERENCE = "measured", "reference"
"""Source of the growth of the intervals: the training listings, or the reference growth."""


def card_data_file(language: str) -> str:
    """Data of the page of a model card in a language."""
    return CARD_DATA_FILE if language == "en" else f"card-{language}.json"


def card_markdown_file(language: str) -> str:
    """Text of a model card in a language."""
    return CARD_MARKDOWN_FILE if language == "en" else f"card-{language}.md"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SelfTestCase:
    """A car and the price that the loaded model must reproduce before it serves."""

    car: CarFeatures
    price_mad: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """One immutable version of the model."""

    id: ModelVersionId
    """Sorts by time: `2026-11-22T101530-ab12cd`."""
    created_at: dt.datetime
    """UTC."""
    files: Mapping[str, str]
    """SHA-256 of each file of the version, by name, in hexadecimal."""
    libraries: Mapping[str, str]
    """Versions of `python`, `numpy` and `scikit-learn` that trained it."""
    estimator: str
    """Class name of the scikit-learn estimator."""
    tree_count: int
    node_count: int
    feature_names: tuple[str, ...]
    """Columns of the forest's feature matrix."""
    training: Mapping[str, Any]
    """Of the listings: `name`, `rows`, `digest`, `data_as_of` (YYYY-MM), `seed`, `months` (the
    first and the last), `price_index` (level by month, 1 at `data_as_of`), `interval_growth`
    (whether the growth of the errors with the age of the data was measured, or why not)."""
    metrics: Mapping[str, Any]
    """Quality figures and the split that they were measured on."""
    self_test: tuple[SelfTestCase, ...]
    calibrated_on: Mapping[str, Any] | None = None
    """Of a version made by `carprice recalibrate`: `version` (whose forest it has), `name`, `rows`,
    `months`, `sales`, `left_out` (suspicious prices), `price_level` (factor from that version's),
    `levels_by_brand` (of brands far from it) and `median_ape`. None: calibrated in training."""
    basis: str = ASKING_PRICES
    """Kind of the prices: asked, not paid."""
    schema_version: int = SCHEMA_VERSION

    @property
    def data_as_of(self) -> str:
        """Month (YYYY-MM) whose price level the model quotes."""
        return str(self.training["data_as_of"])

    @property
    def price_index(self) -> dict[str, float]:
        """Price level by month (YYYY-MM), 1 at `data_as_of`; empty without dated listings."""
        return dict(self.training.get("price_index") or {})

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return given | {
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "files": dict(self.files),
            "feature_names": list(self.feature_names),
            "self_test": [
                {"car": case.car.to_dict(), "price_mad": case.price_mad} for case in self.self_test
            ],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild a version from `to_json`; unknown fields are ignored.

        Raises:
            KeyError, TypeError, ValueError: it is not a manifest.
        """
        given = {"calibrated_on": None, **given}  # versions before schema 6 lack it
        known = {field.name: given[field.name] for field in dataclasses.fields(cls)}
        parts = (known["files"], known["libraries"], known["training"], known["metrics"])
        if not all(isinstance(part, Mapping) for part in (*parts, known["calibrated_on"] or {})):
            raise TypeError("a part of the manifest is no object")
        if not isinstance(known["training"]["data_as_of"], str):
            raise TypeError("data_as_of is no month")
        return cls(
            **known
            | {
                "created_at": dt.datetime.fromisoformat(given["created_at"]),
                "feature_names": tuple(given["feature_names"]),
                "self_test": tuple(
                    SelfTestCase(
                        car=CarFeatures.from_wire([case["car"].get(name) for name in FIELD_NAMES]),
                        price_mad=float(case["price_mad"]),
                    )
                    for case in given["self_test"]
                ),
            }
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a version's folder.

        Raises:
            OSError: there is none.
            KeyError, TypeError, ValueError: it is not a manifest.
        """
        return cls.from_json(json.loads((folder / MANIFEST_FILE).read_bytes()))
