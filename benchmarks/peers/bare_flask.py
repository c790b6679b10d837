"""A Flask route that ignores the request and returns a constant: the limit of the framework."""

from typing import Any

from flask import Flask

app = Flask(__name__)


@app.get("/ready")
def ready() -> dict[str, Any]:
    """Return 200: there is nothing to load."""
    return {"status": "ok"}


@app.post("/predict")
def predict() -> dict[str, Any]:
    """Return a constant."""
    return {"price_mad": 143413.12, "currency": "MAD"}
