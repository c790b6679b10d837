"""The limit of the framework: a Flask route that reads nothing and answers a constant."""

from typing import Any

from flask import Flask

app = Flask(__name__)


@app.get("/ready")
def ready() -> dict[str, Any]:
    """Green from the start."""
    return {"status": "ok"}


@app.post("/predict")
def predict() -> dict[str, Any]:
    """The same answer to whatever is asked."""
    return {"price_mad": 143413.12, "currency": "MAD"}
