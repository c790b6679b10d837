"""When a failed call is repeated, and after which pause."""

import math
import random
import time

from ..errors import CarPriceError, ProblemError, TooManyRequestsError, UnavailableError
from .steps import Deadline, Pause, Steps

RETRY_DELAY_S = 0.5
MAX_RETRY_DELAY_S = 10.0
"""Longest delay before a repetition if the service asks for none."""
MAX_DOUBLINGS = 8
MAX_RETRY_AFTER_S = 60.0
"""A service that asks for a longer pause is not called again: the caller gets its answer."""
TRANSIENT_S = 120.0
"""How long a wait or an upload goes on while the service is away or refuses."""


def is_refusal(error: CarPriceError) -> bool:
    """Whether nothing has been done: a limit was reached, or the service itself says so.

    A 503 of a proxy may come after the service has carried out the call.
    """
    if isinstance(error, TooManyRequestsError):
        return True
    return isinstance(error, UnavailableError) and error.is_own


def retry_delay_s(error: CarPriceError, attempt: int) -> float:
    """Delay before an attempt is repeated: what the service asks for, else growing and random.

    Without the random part, clients that were refused together would come back together.
    """
    asked_s = error.retry_after_s if isinstance(error, ProblemError) else None
    grown_s: float = min(RETRY_DELAY_S * 2 ** min(attempt, MAX_DOUBLINGS), MAX_RETRY_DELAY_S)
    return asked_s or grown_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def pause(error: CarPriceError, attempt: int, deadline: Deadline) -> Steps[None]:
    """Wait before a call is repeated.

    Args:
        error: why it is repeated.
        attempt: how often it was repeated before.
        deadline: of the call.

    Raises:
        CarPriceError: `error`, if the call may not be repeated so soon.
    """
    delay_s = retry_delay_s(error, attempt)
    if delay_s > MAX_RETRY_AFTER_S or delay_s >= deadline.remaining_s:
        raise error
    yield Pause(delay_s)


class Patience:
    """Allows failures that may be short, as long as none lasts for `TRANSIENT_S`."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._attempt = 0
        self._until = math.inf

    def succeeded(self) -> None:
        """Forget the failures before."""
        self._attempt, self._until = 0, math.inf

    def failed(self, error: CarPriceError) -> Steps[None]:
        """Wait before the repetition.

        Raises:
            CarPriceError: `error`, if it has lasted too long or the deadline comes before.
        """
        if self._until == math.inf:
            self._until = time.monotonic() + TRANSIENT_S
        end = Deadline(min(self._deadline.at, self._until))
        yield from pause(error, self._attempt, end)
        self._attempt += 1
