"""BentoML with the service's fast runtime in its own process, one worker."""

import bentoml

from benchmarks.peers.car_models import Answer, Car, answer
from benchmarks.peers.fast_model import active_model


@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class CarPrice:
    """The service, as a BentoML user would write it."""

    def __init__(self) -> None:
        self._model = active_model()

    @bentoml.api(route="/predict")
    async def predict(self, car: Car, /) -> Answer:
        """Value one car on the event loop, as the other peers do; the body is the car itself."""
        return answer(self._model.estimate([car.features()])[0])
