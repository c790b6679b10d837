"""Retraining with tiny real models, and listings that suit them."""

import dataclasses

import numpy as np

from data.listings.table import LISTING_DATE, PRICE, latest_month, listing_table
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from model_store.retraining.retrain import Retraining
from shared.domain.car import FIELD_NAMES
from tests.unit.model_store import small_models

MONTHS = ("2026-03", "2026-05", "2026-08", "2026-09", "2026-10")
"""The small models' data are of 2026-06."""


def small_listings(rows=1_500, seed=50, months=MONTHS):
    """Listings priced as the small models are trained."""
    cars = small_models.random_cars(rows, seed)
    encoded = small_models.encoder().encode(cars)
    noise = np.random.default_rng(seed).normal(scale=0.1, size=rows)
    logs = encoded.baseline_log + noise + [small_models._residual(car) for car in cars]
    columns = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    dates = np.array(months)[np.arange(rows) * len(months) // rows].tolist()
    return listing_table(columns | {PRICE: np.exp(logs), LISTING_DATE: dates})


class SmallRetraining(Retraining):
    """Trains a small model of the right price level."""

    def _train(self, table):
        trained = small_models.train(seed=len(table))
        training = {**trained.training, "data_as_of": latest_month(table), "name": self.name}
        return dataclasses.replace(trained, training=training)


def retraining(path, **changes):
    """A retraining that activates only what is better."""
    options = {"name": "test", "seed": 1, "by": "test", "if_better": True}
    return SmallRetraining(versions_path=path, **options | changes)


def make_registry(path, level=0.25, **training):
    """A registry whose active version asks exp(`level`) times too much.

    Args:
        training: changes of the manifest's facts.
    """
    trained = small_models.train(level=level)
    trained = dataclasses.replace(trained, training={**trained.training, **training})
    version = save_bundle(trained, path)
    registry = ModelRegistry(path)
    registry.activate(version.id, by="test")
    return registry
