"""Why a callback address is refused, by code."""

from shared.i18n.catalogue import mark

CALLBACK_MESSAGES: dict[str, str] = {
    "callback-not-a-url": mark(
        "Refused address; expected an absolute http:// or https:// URL of at most {maximum} "
        "ASCII characters, without user name, password or fragment (#)."
    ),
    "callback-port": mark("Refused port; allowed are 80, 443 and those from 1024 on."),
    "callback-not-public": mark(
        "Refused address: it is not public (this machine or a private network). The operator "
        "can allow a network (WEBHOOK_ALLOWED_NETWORKS)."
    ),
    "callback-without-secret": mark(
        "No secret can sign the webhook; the operator creates one with "
        "`carprice webhooks secret create {owner}`."
    ),
}
