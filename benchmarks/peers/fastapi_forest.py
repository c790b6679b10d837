"""FastAPI that calls scikit-learn's `forest.predict` (n_jobs=1) in-process.

The service's encoder computes the features; only the forest is scikit-learn's.
"""

import math

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.car_models import Car
from benchmarks.peers.fast_model import MODELS_PATH, active_model, active_version
from model_store.registry.bundle import load_estimator


class Price(BaseModel):
    """A price; the estimator alone gives no interval."""

    price_mad: float


app = FastAPI()
encoder = active_model().encoder
forest = load_estimator(MODELS_PATH, active_version())
forest.set_params(n_jobs=1)


@app.get("/ready")
def ready() -> dict[str, str]:
    """Return 200: the model is loaded at import."""
    return {"status": "ok"}


# In a thread: the call takes about ten milliseconds and would block the event loop.
@app.post("/predict")
def predict(car: Car) -> Price:
    """Value one car."""
    encoded = encoder.encode([car.features()])
    log_price = float(encoded.baseline_log[0] + forest.predict(encoded.matrix)[0])
    return Price(price_mad=round(math.exp(log_price), 2))
