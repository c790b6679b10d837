"""Why a callback address is refused, in French and English, by code."""

from typing import Literal

CALLBACK_MESSAGES: dict[str, dict[Literal["fr", "en"], str]] = {
    "callback-not-a-url": {
        "fr": "Adresse refusée ; attendu : une URL absolue en http:// ou https://, d'au plus "
        "{maximum} caractères ASCII, sans nom d'utilisateur, mot de passe ni fragment (#).",
        "en": "Refused address; expected an absolute http:// or https:// URL of at most {maximum} "
        "ASCII characters, without user name, password or fragment (#).",
    },
    "callback-port": {
        "fr": "Port refusé ; permis : 80, 443 et à partir de 1024.",
        "en": "Refused port; allowed are 80, 443 and those from 1024 on.",
    },
    "callback-not-public": {
        "fr": "Adresse refusée : elle n'est pas publique (machine locale ou réseau privé). "
        "L'exploitant peut permettre un réseau (WEBHOOK_ALLOWED_NETWORKS).",
        "en": "Refused address: it is not public (this machine or a private network). The operator "
        "can allow a network (WEBHOOK_ALLOWED_NETWORKS).",
    },
    "callback-without-secret": {
        "fr": "Aucun secret ne peut signer la notification ; l'exploitant en crée un par "
        "« carprice webhooks secret create {owner} ».",
        "en": "No secret can sign the webhook; the operator creates one with "
        "`carprice webhooks secret create {owner}`.",
    },
}
