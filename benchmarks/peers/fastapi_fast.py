"""FastAPI with the service's fast runtime in-process: no queue, no cache, no audit log."""

from fastapi import FastAPI

from benchmarks.peers.car_models import Answer, Car, answer
from benchmarks.peers.fast_model import active_model

app = FastAPI()
model = active_model()


@app.get("/ready")
async def ready() -> dict[str, str]:
    """Return 200: the model is loaded at import."""
    return {"status": "ok"}


# On the event loop: a valuation takes less time than a switch to a thread and back.
@app.post("/predict")
async def predict(car: Car) -> Answer:
    """Value one car."""
    return answer(model.estimate([car.features()])[0])
