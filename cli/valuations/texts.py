"""Messages of the commands, in English and French."""

import errno
from collections.abc import Mapping

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "not-running": "{error}: is the service running? (make up)",
        "proxy-fails": "{error}: is the proxy right? (NO_PROXY names hosts that need none)",
        "same-file": "{option} {path} and {name} are the same file: choose another for {option}",
        "no-folder": "{option} {path}: there is no folder {folder}",
        "closed-folder": "{option} {path}: the folder {folder} cannot be written",
        "no-form": "-o {path}: choose a form by the suffix (.csv, .ndjson, .jsonl, .parquet, "
        ".xlsx) or by --format",
        "no-excel": "--excel-fr: only CSV has it, not {form}",
        "not-json": "{file}: not JSON: {error}",
        "no-object": '{file}: expected a JSON object, like {{"company": "Toyota", …}}',
        "interrupted": "Interrupted. The same command goes on from here.",
        "goes-on": "The same command goes on from here.",
        "not-ended": "batch {id} has not ended: it can be deleted then",
        "deleted": "batch {id} is deleted",
        "sending": "sending",
        "row": "row",
        "summary": "{outcome}: {done} of {total} {rows}: {valid} {verb}, {invalid} {rejected}, "
        "{failed} failed -> {output}",
        "rows": "row|rows",
        "valued": "valued|valued",
        "valid": "valid|valid",
        "rejected": "rejected|rejected",
        "line": "line {line}",
        "cell": "line {line}, {column}",
        "entry": "  {place}: {message}",
        "more": "  … (--rejected FILE gives every rejected row)",
    },
    "fr": {
        "not-running": "{error} : le service est-il lancé ? (make up)",
        "proxy-fails": "{error} : le proxy est-il le bon ? (NO_PROXY : hôtes sans proxy)",
        "same-file": "{option} {path} et {name} sont le même fichier : choisissez-en un autre "
        "pour {option}",
        "no-folder": "{option} {path} : le dossier {folder} n'existe pas",
        "closed-folder": "{option} {path} : impossible d'écrire dans le dossier {folder}",
        "no-form": "-o {path} : choisissez un format par le suffixe (.csv, .ndjson, .jsonl, "
        ".parquet, .xlsx) ou par --format",
        "no-excel": "--excel-fr : seulement pour un CSV, pas pour {form}",
        "not-json": "{file} : ce n'est pas du JSON : {error}",
        "no-object": '{file} : un objet JSON est attendu, comme {{"company": "Toyota", …}}',
        "interrupted": "Interrompu. La même commande reprendra où elle en est.",
        "goes-on": "La même commande reprendra où elle en est.",
        "not-ended": "le lot {id} n'est pas terminé : il pourra être supprimé ensuite",
        "deleted": "le lot {id} est supprimé",
        "sending": "envoi",
        "row": "ligne",
        "summary": "{outcome} : {done} {rows} sur {total} : {valid} {verb}, {invalid} {rejected}, "
        "{failed} en échec -> {output}",
        "rows": "ligne|lignes",
        "valued": "estimée|estimées",
        "valid": "valable|valables",
        "rejected": "refusée|refusées",
        "line": "ligne {line}",
        "cell": "ligne {line}, {column}",
        "entry": "  {place} : {message}",
        "more": "  … (--rejected FICHIER donne toutes les lignes refusées)",
    },
}

FRENCH_OUTCOMES = {
    "complete": "terminé",
    "with_errors": "terminé, avec des lignes refusées",
    "partial": "terminé en partie",
    "aborted": "arrêté avant la fin",
    "cancelled": "annulé",
    "dry_run": "vérifié, sans estimation",
}
FRENCH_STATES = {
    "QUEUED": "en attente",
    "RUNNING": "estimation",
    "SUCCEEDED": "terminé",
    "FAILED": "échec",
    "CANCELLED": "annulé",
}
FRENCH_REASONS = {
    errno.ENOENT: "ce fichier n'existe pas",
    errno.EACCES: "accès refusé",
    errno.EISDIR: "c'est un dossier",
    errno.ENOSPC: "le disque est plein",
    errno.EROFS: "le disque est protégé en écriture",
}


def translate(code: str, language: str, **params: object) -> str:
    """A message with its parameters; integers get the thousands separator of the language."""
    shown = {
        name: number(value, language) if isinstance(value, int) else value
        for name, value in params.items()
    }
    return TEXTS[language][code].format(**shown)


def form_of(code: str, language: str, count: int) -> str:
    """The singular or plural of a word for a count; in French none is singular, too.

    >>> form_of("rejected", "fr", 1), form_of("rows", "en", 0)
    ('refusée', 'rows')
    """
    singular, plural = TEXTS[language][code].split("|")
    is_single = count in {0, 1} if language == "fr" else count == 1
    return singular if is_single else plural


def number(value: float, language: str, sign: str = "-") -> str:
    """A number rounded to an integer, with the thousands separator of the language.

    Args:
        value: the number.
        language: `en` or `fr`.
        sign: `+` to show the sign of positive numbers too.

    >>> number(12345, "en"), number(12345, "fr").replace(NARROW_SPACE, " ")
    ('12,345', '12 345')
    """
    text = f"{value:{sign},.0f}"
    return text.replace(",", NARROW_SPACE) if language == "fr" else text


def outcome(code: str | None, language: str) -> str:
    """The outcome of a batch as text."""
    return FRENCH_OUTCOMES.get(code or "", str(code)) if language == "fr" else str(code)


def state(code: str, language: str) -> str:
    """The state of a batch as text."""
    return FRENCH_STATES.get(code, code.lower()) if language == "fr" else code.lower()


def reason(error: OSError, language: str) -> str:
    """The cause of a file error as text."""
    plain = error.strerror or str(error)
    return FRENCH_REASONS.get(error.errno or 0, plain) if language == "fr" else plain
