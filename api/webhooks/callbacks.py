"""Reads `callback_url` of a request: where the end of a job or batch is to be reported."""

import dataclasses
from collections.abc import Callable

from flask import g
from marshmallow import fields

from api.http.context import language, services
from shared.domain.errors import (
    FieldProblem,
    InvalidInput,
    WebhooksUnavailable,
)
from shared.domain.job import Callback
from shared.domain.valuation import DEFAULT_COVERAGE
from shared.i18n.languages import Language
from shared.logging import get_logger
from shared.redis.webhooks.records import CALLBACK_PROTOCOL
from shared.tracing.current import current_traceparent
from shared.webhooks.addresses import URL_MAX_CHARS, AddressPolicy, CallbackRefusedError
from shared.webhooks.secret_store import SERVICE, SecretStoreError, WebhookSecrets

PARAMETER = "?callback_url"
NO_SECRET = "callback-without-secret"  # noqa: S105 - code of a message

log = get_logger("webhooks")


class WebhookSecretsUnreadable(WebhooksUnavailable, code="webhook-secrets-unreadable"):
    """The secrets that sign webhooks cannot be read."""


def callback_field(what: str) -> fields.String:
    """The parameter `callback_url` of a submission."""
    return fields.String(
        load_default=None,
        metadata={
            "description": f"Address to which the end of the {what} is reported by a signed "
            "webhook (Standard Webhooks), as `https://shop.example/hooks`; percent-encoded. It is "
            "refused while the caller's key has no secret that signs.",
            "maxLength": URL_MAX_CHARS,
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
        },
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Callbacks:
    """Accepts or refuses callback addresses."""

    addresses: AddressPolicy
    secrets: WebhookSecrets
    protocol: Callable[[], int]
    """`WorkerRegistry.protocol`: workers of earlier releases end work without recording it."""

    def accept(self, url: str, key_id: str, lang: Language, coverage: float) -> Callback:
        """The callback of a submission.

        Args:
            url: as the caller wrote it.
            key_id: of the caller's API key; empty without keys.
            lang: of the texts in the webhook.
            coverage: of the price intervals in it.

        Raises:
            InvalidInput: the address is refused, or no secret could sign the webhook.
            WebhooksUnavailable: a worker that would not record the end may end the work, or the
                secrets cannot be read.
            BrokerUnavailable: it is unknown whether there is such a worker.
        """
        try:
            self.addresses.check_url(url)
        except CallbackRefusedError as error:
            raise InvalidInput(
                [FieldProblem(PARAMETER, str(error.reason), maximum=URL_MAX_CHARS)]
            ) from None
        try:
            secrets = self.secrets.signing(key_id)
        except SecretStoreError as error:
            log.error("webhook_secrets_unreadable", error=str(error))  # noqa: TRY400 - says it all
            raise WebhookSecretsUnreadable from None
        if not secrets:
            raise InvalidInput([FieldProblem(PARAMETER, NO_SECRET, owner=key_id or SERVICE)])
        if self.protocol() < CALLBACK_PROTOCOL:
            raise WebhooksUnavailable
        trace = current_traceparent()
        return Callback(url=url, key_id=key_id, language=lang, coverage=coverage, trace=trace)


def requested_callback(url: str | None, coverage: float = DEFAULT_COVERAGE) -> Callback | None:
    """The callback of the current request; None if it asks for none.

    Args:
        url: the parameter `callback_url`.
        coverage: of the price intervals in the webhook.

    Raises:
        InvalidInput, WebhooksUnavailable, BrokerUnavailable: see `Callbacks.accept`.
    """
    if url is None:
        return None
    return services().callbacks.accept(url, g.caller.key_id, language(), coverage)
