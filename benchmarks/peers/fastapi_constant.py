"""FastAPI and pydantic alone: the car is validated, the answer is a constant."""

from fastapi import FastAPI

from benchmarks.peers.car_models import Answer, Car, Interval

app = FastAPI()
CONSTANT = Answer(
    price_mad=143413.12,
    interval=Interval(low=108970.62, high=187491.25, coverage=0.9),
    model_version="constant",
    model_known=True,
)


@app.get("/ready")
async def ready() -> dict[str, str]:
    """Green from the start."""
    return {"status": "ok"}


@app.post("/predict")
async def predict(car: Car) -> Answer:  # noqa: ARG001 - validated, then ignored
    """The same answer to every car."""
    return CONSTANT
