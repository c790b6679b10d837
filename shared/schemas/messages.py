"""The texts of every problem, in French and English, by code."""

from collections.abc import Mapping
from typing import Any, Literal

from shared.domain.errors import FieldProblem
from shared.schemas.car import CAR_FIELDS
from shared.schemas.fields import CarField, Category, FoldedText, Number
from shared.schemas.upload_messages import ROW_MESSAGES, UPLOAD_MESSAGES, UPLOAD_PROBLEM_MESSAGES

Language = Literal["fr", "en"]
LANGUAGES: tuple[Language, ...] = ("fr", "en")
DEFAULT_LANGUAGE: Language = "fr"
"""The reference API's callers read French."""

VALUE_MAX_SIGNS = 60
"""A wrong value is quoted up to this length."""

FIELD_MESSAGES: dict[str, dict[Language, str]] = {
    "required": {
        "fr": "{label} est obligatoire ; attendu : {expected}.",
        "en": "{label} is required; expected {expected}.",
    },
    "not-text": {
        "fr": "{label} doit être {expected} (reçu : {value}).",
        "en": "{label} must be {expected} (got {value}).",
    },
    "too-long": {
        "fr": "{label} est trop long ; attendu : {expected}.",
        "en": "{label} is too long; expected {expected}.",
    },
    "not-a-number": {
        "fr": "{label} doit être {expected} (reçu : {value}).",
        "en": "{label} must be {expected} (got {value}).",
    },
    "not-whole": {
        "fr": "{label} doit être {expected}, sans décimales (reçu : {value}).",
        "en": "{label} must be {expected}, without decimals (got {value}).",
    },
    "out-of-range": {
        "fr": "{label} doit être {expected} (reçu : {value}).",
        "en": "{label} must be {expected} (got {value}).",
    },
    "unknown-category": {
        "fr": "{label} doit être {expected} (reçu : {value}).",
        "en": "{label} must be {expected} (got {value}).",
    },
    "invalid": {
        "fr": "{label} n'est pas valable (reçu : {value}).",
        "en": "{label} is not valid (got {value}).",
    },
}

WARNING_MESSAGES: dict[str, dict[Language, str]] = {
    "unknown-field": {
        "fr": "Champ inconnu, ignoré.",
        "en": "Unknown field, ignored.",
    },
    "unknown-category": {
        "fr": "Valeur inconnue, ignorée ; attendu : {expected}.",
        "en": "Unknown value, ignored; expected {expected}.",
    },
    "model-unknown": {
        "fr": "Modèle absent des données : l'intervalle est plus large.",
        "en": "Model not in the data: the interval is wider.",
    },
}

INPUT_MESSAGES: dict[str, dict[Language, str]] = UPLOAD_MESSAGES | {
    "not-an-object": {
        "fr": "Un objet JSON décrivant une voiture est attendu.",
        "en": "A JSON object that describes a car is expected.",
    },
    "not-a-car-or-list": {
        "fr": "Un objet JSON décrivant une voiture, ou une liste de voitures, est attendu.",
        "en": "A JSON object that describes a car, or a list of cars, is expected.",
    },
    "empty-list": {
        "fr": "La liste doit contenir de 1 à {maximum} voitures.",
        "en": "The list must hold 1 to {maximum} cars.",
    },
    "too-many-cars": {
        "fr": "Au plus {maximum} voitures par tâche (reçu : {count}) ; utilisez /batches.",
        "en": "At most {maximum} cars a job (got {count}); use /batches.",
    },
    "empty-body": {
        "fr": "Le corps de la requête est vide ; un objet JSON est attendu.",
        "en": "The body is empty; a JSON object is expected.",
    },
    "not-json": {
        "fr": "Le corps n'est pas du JSON valable : {reason}.",
        "en": "The body is not valid JSON: {reason}.",
    },
    "unknown-parameter": {
        "fr": "Paramètre inconnu ; connus : {known}.",
        "en": "Unknown query parameter; known are {known}.",
    },
    "invalid-parameter": {
        "fr": "Valeur refusée ; attendu : {expected} (reçu : {value}).",
        "en": "Refused value; expected {expected} (got {value}).",
    },
    "invalid-header": {
        "fr": "En-tête refusé ; attendu : {expected}.",
        "en": "Refused header; expected {expected}.",
    },
}

PROBLEM_MESSAGES: dict[str, dict[Language, tuple[str, str]]] = UPLOAD_PROBLEM_MESSAGES | {
    "invalid-input": {
        "fr": ("Données refusées", "{count} problème(s) ; voir « errors »."),
        "en": ("Input refused", "{count} problem(s); see errors."),
    },
    "job-not-found": {
        "fr": ("Tâche introuvable", "Aucune de vos tâches n'a l'identifiant {id}."),
        "en": ("Job not found", "None of your jobs has the id {id}."),
    },
    "job-expired": {
        "fr": ("Tâche expirée", "La durée de conservation de la tâche {id} est passée."),
        "en": ("Job expired", "The retention time of job {id} is over."),
    },
    "job-already-ended": {
        "fr": ("Tâche déjà terminée", "La tâche {id} est terminée : rien à annuler."),
        "en": ("Job already ended", "Job {id} has ended: there is nothing to cancel."),
    },
    "idempotency-conflict": {
        "fr": ("Idempotency-Key déjà utilisée", "Cette clé est venue avec un autre corps."),
        "en": ("Idempotency-Key already used", "This key came before with another body."),
    },
    "model-not-loaded": {
        "fr": (
            "Modèle non chargé",
            "Aucun modèle n'est actif ; lancez « carprice train --activate ».",
        ),
        "en": (
            "Model not loaded",
            "No model (modèle) is active; run `carprice train --activate`.",
        ),
    },
    "model-version-not-found": {
        "fr": ("Version introuvable", "Le registre n'a pas de version {version}."),
        "en": ("Version not found", "The registry has no version {version}."),
    },
    "model-refused": {
        "fr": ("Version refusée", "La version {version} est refusée : {reason}."),
        "en": ("Version refused", "Version {version} is refused: {reason}."),
    },
    "model-changed": {
        "fr": ("Modèle actif changé", "If-Match ne vaut plus : la version active est {version}."),
        "en": ("Active model changed", "If-Match no longer holds: {version} is active."),
    },
    "no-earlier-model": {
        "fr": ("Aucune version antérieure", "Aucune version n'était active avant {version}."),
        "en": ("No earlier version", "No version was active before {version}."),
    },
    "broker-unavailable": {
        "fr": ("File indisponible", "La file d'attente ne répond pas ; réessayez bientôt."),
        "en": ("Queue unavailable", "The queue does not answer; try again soon."),
    },
    "queue-full": {
        "fr": ("File pleine", "Trop de demandes attendent déjà ; réessayez bientôt."),
        "en": ("Queue full", "Too many requests wait already; try again soon."),
    },
    "audit-unavailable": {
        "fr": ("Journal indisponible", "La réponse ne peut pas être consignée ; réessayez."),
        "en": ("Audit log unavailable", "The answer cannot be recorded; try again."),
    },
    "valuation-failed": {
        "fr": ("Estimation impossible", "L'estimation a échoué ; l'incident est consigné."),
        "en": ("Valuation failed", "The valuation failed; the incident is on record."),
    },
    "attempts-exhausted": {
        "fr": ("Tâche abandonnée", "La tâche a échoué après plusieurs essais."),
        "en": ("Job given up", "The job failed after several attempts."),
    },
    "not-authenticated": {
        "fr": ("Clé d'API manquante", "Envoyez une clé valable : Authorization: Bearer <clé>."),
        "en": ("API key missing", "Send a valid key: Authorization: Bearer <key>."),
    },
    "not-permitted": {
        "fr": ("Droit manquant", "La clé n'a pas le droit « {scope} »."),
        "en": ("Scope missing", "The key lacks the scope {scope}."),
    },
    "internal-error": {
        "fr": ("Erreur interne", "Une erreur inattendue est survenue ; elle est consignée."),
        "en": ("Internal error", "An unexpected error occurred; it is on record."),
    },
    "not-found": {
        "fr": ("Page introuvable", "Rien à cette adresse ; voir /docs."),
        "en": ("Not found", "Nothing at this address; see /docs."),
    },
    "method-not-allowed": {
        "fr": ("Méthode refusée", "Cette adresse accepte : {allowed}."),
        "en": ("Method not allowed", "This address accepts {allowed}."),
    },
    "unsupported-media-type": {
        "fr": ("Type de contenu refusé", "Content-Type attendu : {expected} (reçu : {given})."),
        "en": ("Unsupported media type", "Expected Content-Type {expected} (got {given})."),
    },
    "not-acceptable": {
        "fr": ("Format indisponible", "Formats disponibles : {available}."),
        "en": ("Not acceptable", "Available formats: {available}."),
    },
    "body-too-large": {
        "fr": ("Corps trop grand", "Au plus {maximum} octets."),
        "en": ("Body too large", "At most {maximum} bytes."),
    },
    "bad-request": {
        "fr": ("Requête illisible", "La requête HTTP n'est pas valable."),
        "en": ("Bad request", "The HTTP request is not valid."),
    },
    "batch-not-found": {
        "fr": ("Lot introuvable", "Aucun de vos lots n'a l'identifiant {id}."),
        "en": ("Batch not found", "None of your batches has the id {id}."),
    },
    "batch-expired": {
        "fr": ("Lot expiré", "La durée de conservation du lot {id} est passée."),
        "en": ("Batch expired", "The retention time of batch {id} is over."),
    },
    "result-not-ready": {
        "fr": ("Résultat pas encore prêt", "Le lot {id} est en cours ; réessayez bientôt."),
        "en": ("Result not ready", "Batch {id} is under way; try again soon."),
    },
}


def expected(field: CarField, language: Language) -> str:
    """What a field accepts, in words."""
    if isinstance(field, Category):
        return ("l'une de ces valeurs : " if language == "fr" else "one of ") + ", ".join(
            field.choices
        )
    if isinstance(field, Number):
        return _expected_number(field, language)
    if isinstance(field, FoldedText):
        if language == "fr":
            return f"un texte de 1 à {field.max_length} signes"
        return f"a text of 1 to {field.max_length} signs"
    return "une valeur" if language == "fr" else "a value"


def _expected_number(field: Number, language: Language) -> str:
    unit = f" {field.unit}" if field.unit else ""
    low, high = f"{field.minimum:g}", f"{field.maximum:.0f}"
    if language == "fr":
        return f"un nombre {'entier ' if field.whole else ''}de {low} à {high}{unit}"
    return f"a {'whole ' if field.whole else ''}number from {low} to {high}{unit}"


def quote(value: Any, language: Language) -> str:
    """A wrong value as it stands in a message, shortened."""
    text = str(value)
    if len(text) > VALUE_MAX_SIGNS:
        text = text[: VALUE_MAX_SIGNS - 1] + "…"
    if not isinstance(value, str):
        return text
    return f"« {text} »" if language == "fr" else f"'{text}'"


def describe_field_error(field: CarField, code: str, value: Any, language: Language) -> str:
    """The sentence for one broken rule of one field."""
    return FIELD_MESSAGES.get(code, FIELD_MESSAGES["invalid"])[language].format(
        label=field.label(language),
        expected=expected(field, language),
        value=quote(value, language),
    )


def describe_row_error(error: Mapping[str, Any], language: Language) -> str:
    """The sentence for one entry of a batch's error report."""
    if error["field"] is not None:
        field = CAR_FIELDS[error["field"]]
        return describe_field_error(field, error["code"], error["value"], language)
    return ROW_MESSAGES[error["code"]][language].format_map(_Quoted(error, language))


def describe(problem: FieldProblem, language: Language) -> str:
    """The sentence for one place of an input."""
    field = CAR_FIELDS.get(problem.params.get("field", ""))
    if field is not None:
        return describe_field_error(field, problem.code, problem.params.get("value"), language)
    return INPUT_MESSAGES[problem.code][language].format_map(_Quoted(problem.params, language))


def describe_warning(warning: Mapping[str, Any], language: Language) -> str:
    """The sentence for something that was accepted without being used."""
    field = CAR_FIELDS.get(str(warning["pointer"]).rsplit("/", 1)[-1])
    return WARNING_MESSAGES[warning["code"]][language].format(
        expected=expected(field, language) if field else ""
    )


def describe_problem(code: str, params: Mapping[str, Any], language: Language) -> tuple[str, str]:
    """Title and detail of a whole problem."""
    texts = PROBLEM_MESSAGES.get(code, PROBLEM_MESSAGES["internal-error"])
    title, detail = texts[language]
    return title, detail.format_map(_Quoted(params, language))


class _Quoted(dict[str, Any]):
    """Message parameters; a missing one shows as an ellipsis instead of an error."""

    def __init__(self, params: Mapping[str, Any], language: Language) -> None:
        super().__init__(
            {
                name: quote(value, language) if name == "value" else value
                for name, value in params.items()
            }
        )

    def __missing__(self, name: str) -> str:
        return "…"
