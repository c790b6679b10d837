"""FastAPI and pydantic: the car is validated, and the answer is a constant."""

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
    """Return 200: there is nothing to load."""
    return {"status": "ok"}


@app.post("/predict")
async def predict(car: Car) -> Answer:  # noqa: ARG001 - validated, then ignored
    """Return the same answer for every car."""
    return CONSTANT


@app.post("/jobs", status_code=202)
async def submit(car: Car) -> Answer:  # noqa: ARG001 - validated, then ignored
    """As `predict`: what a submission costs at least."""
    return CONSTANT
