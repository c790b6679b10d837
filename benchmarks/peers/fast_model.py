"""Loads the service's compiled runtime, for peers that call it in-process."""

import os
from pathlib import Path

from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import load_model
from model_store.registry.registry import ModelRegistry

MODELS_PATH = Path(os.environ["MODELS_PATH"])


def active_version() -> str:
    """Return the active version, which the service also serves.

    Raises:
        RuntimeError: no version is active.
    """
    version = ModelRegistry(MODELS_PATH).active_version()
    if version is None:
        raise RuntimeError(f"no active model in {MODELS_PATH}")
    return version


def active_model() -> LoadedModel:
    """Load the active version and compile its kernels."""
    model = load_model(MODELS_PATH, active_version())
    model.self_test()
    return model
