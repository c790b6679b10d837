"""Logging: JSON lines with static event names and context bound per task or request.

The text of an exception may contain values of callers, like a cell that is no number. It is logged
only if it is that of a system call or of a server; of other exceptions, class and stack are.
"""

import logging
import sys
import traceback
from typing import Any

import structlog

from shared.tracing.current import current_members

REFUSALS = ("READONLY ", "read only replica", "NOREPLICAS ", "MASTERDOWN ", "CLUSTERDOWN ")
"""Parts of the answers of a Redis server that may not be written."""


def configure_logging(level: str, process: str) -> None:
    """Write the logs of this process to standard error as JSON lines.

    Args:
        level: debug, info, warning or error.
        process: kind of process: api, worker or beat.
    """
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared_processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    structlog.configure(
        processors=[*shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_processors,
            processors=[
                format_exception,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("carprice").setLevel(number)
    structlog.contextvars.bind_contextvars(process=process)


def add_trace(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Name the trace of the work at hand, if it has one."""
    event.update(current_members())
    return event


def log_errors_only() -> None:
    """Write errors alone, to standard error: a command prints its own results."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def format_exception(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace `exc_info` by classes and stacks, without the text of most exceptions.

    The answer of a server that may not be written is logged without its stack.
    """
    exc_info = event.pop("exc_info", None)
    if not exc_info:
        return event
    if isinstance(exc_info, BaseException):
        error: BaseException | None = exc_info
    else:
        error = exc_info[1] if isinstance(exc_info, tuple) else sys.exc_info()[1]
    if error is None:
        return event
    if "error" in event:
        event["error"] = describe(error)
    record = event.get("_record")
    if record is not None and not event.get("_from_structlog"):
        # A message of Celery, whose arguments contain the text of the exception.
        event["event"] = str(record.msg)
    if _is_refusal(error):  # the server gives it again and again
        event.setdefault("error", describe(error))
        return event
    event["exception"] = "\n".join(_stacks(error))
    return event


def describe(error: BaseException) -> str:
    """Class of an exception, and its text if that cannot contain values of callers."""
    kind = type(error)
    is_safe = (
        isinstance(error, OSError | ImportError)
        or _is_refusal(error)
        or kind.__module__.startswith("redis.")
    )
    return f"{kind.__name__}: {error}" if is_safe else kind.__name__


def _is_refusal(error: BaseException) -> bool:
    """Whether an exception is, or tells of, the answer of a server that may not be written."""
    return getattr(error, "is_refusal", False) or (
        type(error).__module__.startswith("redis.") and any(word in str(error) for word in REFUSALS)
    )


def _stacks(error: BaseException) -> list[str]:
    """An exception and its causes, the first cause first, as Python prints them."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    stack = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    lines = [*_stacks(cause), ""] if cause is not None else []
    return [*lines, "Traceback (most recent call last):", stack, describe(error)]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger below the name `carprice`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(f"carprice.{name}")
    return logger
