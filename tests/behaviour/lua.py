"""Names of Lua scripts, so that recorded commands have neither their sources nor their digests."""

import functools
import hashlib
import importlib
import itertools
import pkgutil

import shared.redis
from shared.redis.connections import ALLOW_OOM

CALLS = {"EVAL", "EVALSHA"}
MODULES = (
    *(found.name for found in pkgutil.walk_packages(shared.redis.__path__, "shared.redis.")),
    "worker.valuations.claims",
    "api.jobs.idempotency",
)
"""Modules with scripts: each is a constant, behind `HEAD` of its module or `ALLOW_OOM` or both."""


def script_name(verb: str, argument: bytes) -> str:
    """The name of a script by the first argument of EVAL or EVALSHA.

    Whether its source was sent depends on the connection, and is not recorded.
    """
    digest = hashlib.sha1(argument, usedforsecurity=False).hexdigest()
    return _names().get(argument.decode() if verb == "EVALSHA" else digest, "<script>")


@functools.cache
def _names() -> dict[str, str]:
    """The names by digests, as `webhooks.scripts.CLAIM`."""
    names = {}
    for path in MODULES:
        module = importlib.import_module(path)
        heads = ("", getattr(module, "HEAD", ""))
        for (name, source), *parts in itertools.product(
            vars(module).items(), ("", ALLOW_OOM), heads
        ):
            if name.strip("_").isupper() and isinstance(source, str):
                text = "".join([*parts, source]).encode()
                digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
                names[digest] = f"{path.removeprefix('shared.redis.')}.{name}"
    return names
