"""FastAPI with the service's fast runtime in its own process: no queue, no cache, no audit."""

from fastapi import FastAPI

from benchmarks.peers.car_models import Answer, Car, answer
from benchmarks.peers.fast_model import active_model

app = FastAPI()
model = active_model()


@app.get("/ready")
async def ready() -> dict[str, str]:
    """Green once the model is loaded."""
    return {"status": "ok"}


# In the event loop: a valuation is shorter than the way to a thread and back.
@app.post("/predict")
async def predict(car: Car) -> Answer:
    """Value one car."""
    return answer(model.estimate([car.features()])[0])
