"""What Flower and the events of a task show of its arguments: ids and counts, never cars."""

from collections.abc import Mapping
from typing import Any

SHOWN = ("job_id", "job_ids", "batch_id", "draft_id", "chunk", "table", "group_id")
"""Arguments that are shown as they are. All others may hold cars or texts of callers."""

CARS = "items"
"""The argument of a micro-batch whose length is shown."""


def shown_arguments(kwargs: Mapping[str, Any]) -> str:
    """The text of a dictionary, in which Flower finds each id.

    Args:
        kwargs: the arguments of a task.
    """
    shown = {name: kwargs[name] for name in SHOWN if name in kwargs}
    if CARS in kwargs:
        shown["cars"] = len(kwargs[CARS])
    return repr(shown) if shown else ""
