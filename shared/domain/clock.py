"""The type of the clocks that services use, and the length of a day in seconds."""

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns the time of day: Unix time in seconds."""

DAY_S = 86_400
