"""Prepares the inputs of a run: a model, the reference pipeline, a CSV file and its matrix."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.processes import Command, run_to_completion
from benchmarks.reference_pipeline import save_reference_pipeline
from benchmarks.subject import OWN_PYTHON, Workspace
from data.listings.table import car_columns
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.registry.bundle import load_model, save_bundle
from model_store.registry.registry import ModelRegistry
from model_store.training.train import train_bundle
from shared.domain.car import FIELD_NAMES

SMALL_ROWS, SMALL_TREES = 3_000, 20
TRAINING_TIMEOUT_S = 300.0
SEED = 7
BLOCK_ROWS = 200_000
"""Rows generated at once."""


def train_model(models_path: Path, *, small: bool) -> None:
    """Train and activate the default model as `make up` does; a small model for a smoke run."""
    if not small:
        arguments = [OWN_PYTHON, "-m", "cli.main", "train", "--activate"]
        env = {"MODELS_PATH": str(models_path)}
        command = Command(name="training", arguments=arguments, env=env)
        run_to_completion(command, TRAINING_TIMEOUT_S)
        return
    listings = generate(ReferenceMarket.load(), SMALL_ROWS, seed=SEED)
    version = save_bundle(train_bundle(listings, seed=SEED, name="smoke run"), models_path)
    ModelRegistry(models_path).activate(version.id, by="benchmarks")


def train_pipeline(workspace: Workspace, *, small: bool) -> None:
    """Train the reference project's pipeline."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if small:
            save_reference_pipeline(workspace.pipeline, rows=500, trees=SMALL_TREES)
        else:
            save_reference_pipeline(workspace.pipeline)


def write_cars(workspace: Workspace, rows: int) -> tuple[Path, Path]:
    """Generate cars from the reference market, with all required fields.

    Returns:
        A CSV file of the cars, and a file with the active model's feature matrix of the same rows.
    """
    csv_path, matrix_path = (
        workspace.folder / f"cars{rows}.csv",
        workspace.folder / f"matrix{rows}.npy",
    )
    if matrix_path.exists():
        return csv_path, matrix_path
    market = ReferenceMarket.load()
    model = load_model(workspace.models_path, _active_version(workspace.models_path))
    shape = (rows, len(model.encoder.feature_names))
    matrix = np.lib.format.open_memmap(matrix_path, "w+", np.float32, shape)
    with csv_path.open("w", encoding="utf-8", newline="") as file:
        for start in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - start)
            listings = generate(market, count, seed=SEED + start, gaps=False)
            _csv_table(listings).to_csv(file, index=False, header=start == 0)
            encoded = model.encoder.encode_columns(car_columns(listings), count)
            matrix[start : start + count] = encoded.matrix
    return csv_path, matrix_path


def _csv_table(listings: pd.DataFrame) -> pd.DataFrame:
    table = listings[list(FIELD_NAMES)].copy()
    for name in ("year", "km_driven", "fiscal_power_cv", "doors"):
        table[name] = table[name].astype("Int64")
    return table


def _active_version(models_path: Path) -> str:
    version = ModelRegistry(models_path).active_version()
    if version is None:
        raise RuntimeError(f"no active model in {models_path}")
    return version
