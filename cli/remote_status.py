"""The state of a service at another address, as its API tells it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cli.valuations.predict import problem_lines, unreachable_text
from client.errors import CarPriceError, ProblemError
from client.proxies import without_password
from client.service import Check
from client.sync import CarPriceClient
from shared.i18n.languages import Language

TIMEOUT_S = 5.0
SHOWN = ("name", "ok", "required", "detail")
"""Members of a check."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteStatus:
    """What an API tells about its service."""

    address: str
    error: str | None
    """Why it does not answer, and what to do."""
    checks: Sequence[Mapping[str, Any]] = ()
    model: Mapping[str, str] | None = None
    """None as well if the key may not read it."""


def ask_service(url: str, api_key: str | None, language: Language) -> RemoteStatus:
    """Ask an API for its checks and its active model.

    Args:
        url: of the service.
        api_key: for the model; the checks need none.
        language: of the error.
    """
    address = without_password(url)
    try:
        with CarPriceClient(
            url, api_key=api_key, language=language, retries=0, timeout=TIMEOUT_S
        ) as client:
            checks = [_members(check) for check in client.readiness().checks]
            model = _model(client)
    except ProblemError as error:
        return RemoteStatus(address=address, error="\n".join(problem_lines(error)))
    except CarPriceError as error:
        return RemoteStatus(address=address, error=unreachable_text(error, address, language))
    return RemoteStatus(address=address, error=None, checks=checks, model=model)


def _members(check: Check) -> Mapping[str, Any]:
    return {name: getattr(check, name) for name in SHOWN}


def _model(client: CarPriceClient) -> Mapping[str, str] | None:
    try:
        active = client.active_model()
    except ProblemError:  # none is active, which is one of the checks, or it may not be read
        return None
    made = active.created_at.isoformat(timespec="seconds")
    return {
        "version": active.version, "data_as_of": active.data_as_of or "", "created_at": made
    }  # fmt: skip
