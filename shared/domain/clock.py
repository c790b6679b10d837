"""The type of the clocks that services use."""

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns the time of day: Unix time in seconds."""
