"""The reference project's approach: each request is a pandas row for a scikit-learn pipeline.

The pipeline contains a large forest with n_jobs=-1 (`benchmarks.reference_pipeline` trains it).
"""

import os

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.car_models import Car


class Price(BaseModel):
    """A price."""

    price_mad: float


app = FastAPI()
pipeline = joblib.load(os.environ["BENCH_PIPELINE"])


@app.get("/ready")
def ready() -> dict[str, str]:
    """Return 200: the pipeline is loaded at import."""
    return {"status": "ok"}


@app.post("/predict")
def predict(car: Car) -> Price:
    """Value one car."""
    row = pd.DataFrame([car.model_dump(mode="json")])
    return Price(price_mad=round(float(pipeline.predict(row)[0]), 2))
