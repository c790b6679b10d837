"""FastAPI calling scikit-learn's `forest.predict` (n_jobs=1) in its own process.

The features come from the service's encoder; only the forest is scikit-learn's.
"""

import math

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.car_models import Car
from benchmarks.peers.fast_model import MODELS_PATH, active_model, active_version
from model_store.registry.bundle import load_estimator


class Price(BaseModel):
    """A price; the estimator alone knows no interval."""

    price_mad: float


app = FastAPI()
encoder = active_model().encoder
forest = load_estimator(MODELS_PATH, active_version())
forest.set_params(n_jobs=1)


@app.get("/ready")
def ready() -> dict[str, str]:
    """Green once the model is loaded."""
    return {"status": "ok"}


# In FastAPI's threads, as work of ten milliseconds should be.
@app.post("/predict")
def predict(car: Car) -> Price:
    """Value one car."""
    encoded = encoder.encode([car.features()])
    log_price = float(encoded.baseline_log[0] + forest.predict(encoded.matrix)[0])
    return Price(price_mad=round(math.exp(log_price), 2))
