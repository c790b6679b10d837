"""What is known about a model version without opening its files: `manifest.json`."""

import dataclasses
import datetime as dt
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from shared.domain.car import CarFeatures
from shared.domain.ids import ModelVersionId

SCHEMA_VERSION = 4
"""Of the bundle's files and of what they say about cars; another one is refused."""

MANIFEST_FILE = "manifest.json"
REFERENCE_MARKET = "reference market"
"""Name of the training data of a version that is drawn, not collected; its card says so."""
ASKING_PRICES = "asking_prices"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SelfTestCase:
    """A car whose price the loaded model must find again before it may serve."""

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
    """Class of the forest."""
    tree_count: int
    node_count: int
    feature_names: tuple[str, ...]
    """Columns of the matrix that the forest eats."""
    training: Mapping[str, Any]
    """Of the listings: `name`, `rows`, `digest`, `data_as_of` (YYYY-MM), `seed`, `months` (the
    first and the last), `price_index` (level by month, 1 at `data_as_of`)."""
    metrics: Mapping[str, Any]
    """Figures of quality, coverage of the intervals among them, with the split they come from."""
    self_test: tuple[SelfTestCase, ...]
    basis: str = ASKING_PRICES
    """What the prices are: asked, not paid."""
    schema_version: int = SCHEMA_VERSION

    @property
    def data_as_of(self) -> str:
        """Month (YYYY-MM) whose price level the model quotes."""
        return str(self.training["data_as_of"])

    @property
    def price_index(self) -> dict[str, float]:
        """Price level by month (YYYY-MM), 1 at `data_as_of`; empty where no listing was dated."""
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
        """Rebuild a version from `to_json`; fields of later schemas are left out.

        Raises:
            KeyError, TypeError, ValueError: it is not a manifest.
        """
        known = {field.name: given[field.name] for field in dataclasses.fields(cls)}
        return cls(
            **known
            | {
                "created_at": dt.datetime.fromisoformat(given["created_at"]),
                "feature_names": tuple(given["feature_names"]),
                "self_test": tuple(
                    SelfTestCase(car=_car(case["car"]), price_mad=float(case["price_mad"]))
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


def new_version_id(created_at: dt.datetime) -> ModelVersionId:
    """A name that sorts by time and that two trainings in one second do not share."""
    return ModelVersionId(f"{created_at:%Y-%m-%dT%H%M%S}-{secrets.token_hex(3)}")


def _car(fields: Mapping[str, Any]) -> CarFeatures:
    return CarFeatures.from_wire(
        [fields.get(field.name) for field in dataclasses.fields(CarFeatures)]
    )
