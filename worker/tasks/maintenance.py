"""Tasks of the control queue that keep the promises: nothing accepted is forgotten."""

from collections.abc import Callable, Sequence
from typing import Protocol

from celery import Celery

from shared.names import TaskName


class Sweeper(Protocol):
    """Looks for work that was lost and sends it again."""

    def sweep(self) -> int:
        """How many pieces of work were sent again."""
        ...


def register(app: Celery, sweeps: Callable[[], Sequence[Sweeper]]) -> None:
    """Define the tasks on `app`; `sweeps` gives those of the running process."""

    @app.task(name=str(TaskName.SWEEP))
    def sweep() -> None:
        """Send lost jobs and chunks again."""
        failures = []
        for each in sweeps():
            try:
                each.sweep()
            except Exception as error:  # noqa: BLE001 - the other sweeps come first
                failures.append(error)
        if failures:
            raise failures[0]
