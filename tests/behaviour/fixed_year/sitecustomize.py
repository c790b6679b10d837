"""Fixes the current year of the recorded processes, so that the snapshot holds in later years.

Python imports this module at start in every process that has this folder on PYTHONPATH. The year
decides the latest year of registration and the warnings about odd mileages; the month decides the
age of a model's data. Only the modules that
decide these get a fixed year; ids, leases and audit records need the real time.
"""

import datetime as dt
import importlib

YEAR = 2026
"""The year in which the snapshot was recorded."""
MODULES = ("shared.fields.kinds.number", "shared.fields.requests", "shared.domain.clock")
"""Modules that read the current year or month from `datetime.now(UTC)`, or the month of a time by
`datetime.fromtimestamp`, and use `datetime` for nothing else."""


class FixedYear(dt.datetime):
    """A `datetime` whose every time lies in the middle of `YEAR`."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "FixedYear":
        """Return noon of 1 July."""
        return cls(YEAR, 7, 1, 12, tzinfo=tz)

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: dt.tzinfo | None = None) -> "FixedYear":  # noqa: ARG003
        """Return the same, whatever the time."""
        return cls.now(tz)


for name in MODULES:
    module = importlib.import_module(name)
    if getattr(module, "datetime", None) is not dt.datetime:
        # Python ignores other exceptions of this module.
        raise SystemExit(f"{name} does not read the year from `datetime`: see {__file__}")
    vars(module)["datetime"] = FixedYear
