"""Messages about fields, inputs and warnings, in French and English, by code."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shared.domain.errors import FieldProblem
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import READ_CODES
from shared.fields.kinds.category import MISSPELT, Category
from shared.fields.kinds.number import Number
from shared.fields.kinds.text import CarField, FoldedText
from shared.fields.spellings import FRENCH_CHOICES
from shared.i18n.languages import Language
from shared.messages.callbacks import CALLBACK_MESSAGES
from shared.messages.problems import PROBLEM_MESSAGES
from shared.messages.uploads import ROW_MESSAGES, UPLOAD_MESSAGES
from shared.messages.warnings import WARNING_MESSAGES, message_code

GROUPING_MIN = 10_000
QUOTED_MAX_CHARS = 60
"""Invalid values are quoted up to this length."""

_EXPECTED: dict[Language, str] = {
    "fr": "Champ « {label} » : attendu {expected} (reçu : {value}).",
    "en": "{label}: expected {expected} (got {value}).",
}
FIELD_MESSAGES: dict[str, dict[Language, str]] = {
    "required": {
        "fr": "Champ « {label} » obligatoire : attendu {expected}.",
        "en": "{label} is required: expected {expected}.",
    },
    "not-text": _EXPECTED,
    "too-long": {
        "fr": "Champ « {label} » trop long : attendu {expected}.",
        "en": "{label} is too long: expected {expected}.",
    },
    "not-a-number": _EXPECTED,
    "not-whole": {
        "fr": "Champ « {label} » : attendu {expected}, sans décimales (reçu : {value}).",
        "en": "{label}: expected {expected}, without decimals (got {value}).",
    },
    "out-of-range": _EXPECTED,
    "unknown-category": _EXPECTED,
    "names-in-one": {
        "fr": "Champ « {label} » obligatoire : {value} semble contenir la marque et le modèle ; "
        "mettez-les dans « Marque » (company) et « Modèle » (model).",
        "en": "{label} is required: {value} seems to hold brand and model; write the brand in "
        "company and the model in model.",
    },
    "brand-not-found": {
        "fr": "Champ « {label} » : aucune marque connue dans {value} ; écrivez-la avant le modèle.",
        "en": "{label}: no known brand in {value}; write it before the model.",
    },
    "model-not-found": {
        "fr": "Champ « {label} » : aucun modèle dans {value} ; écrivez-le après la marque.",
        "en": "{label}: no model in {value}; write it after the brand.",
    },
    "several-values": {
        "fr": "Champ « {label} » : plusieurs valeurs possibles ; attendu {expected}, une seule "
        "(reçu : {value}).",
        "en": "{label}: several values are possible; expected {expected}, a single one "
        "(got {value}).",
    },
    "unclear-amount": {
        "fr": "Champ « {label} » : montant en ryals, centimes ou millions, ou hors taxe ; attendu "
        "{expected}, TTC (reçu : {value}).",
        "en": "{label}: an amount in ryals, centimes or millions, or before tax; expected "
        "{expected}, tax included (got {value}).",
    },
    "foreign-currency": {
        "fr": "Champ « {label} » : devise étrangère ; attendu {expected} (reçu : {value}).",
        "en": "{label}: a foreign currency; expected {expected} (got {value}).",
    },
    "unknown-unit": {
        "fr": "Champ « {label} » : l'unité est absente ou inconnue ; attendu {expected} (reçu : "
        "{value}).",
        "en": "{label}: its unit is missing or not known; expected {expected} (got {value}).",
    },
    "object": {
        "fr": "Champ « {label} » : attendu {expected}, ou un texte avec son unité, comme "
        "{example} ; pas un objet (reçu : {value}).",
        "en": "{label}: expected {expected}, or a text with its unit, such as {example}; not an "
        "object (got {value}).",
    },
    "converted": {
        "fr": "Champ « {label} » : {value} converti à partir de l'unité indiquée.",
        "en": "{label}: {value} was converted from the unit that it states.",
    },
    "unpriced": {
        "fr": "Champ « {label} » : {value} estimé au mieux comme endommagé, faute d'annonces "
        "comparables ; une telle voiture vaut moins.",
        "en": "{label}: {value} is valued as damaged at best, for lack of comparable listings; "
        "such a car is worth less.",
    },
    "misspelt": {
        "fr": "Champ « {label} » : {value} lu comme {read_as}, faute de frappe supposée.",
        "en": "{label}: {value} was read as {read_as}; taken for a typing error.",
    },
    "open-range": {
        "fr": "Champ « {label} » : tranche ouverte {value}, lue comme sa borne.",
        "en": "{label}: the open range {value} was read as its bound.",
    },
    "km-high": {
        "fr": "Champ « {label} » : {value} km, très élevé pour l'âge de la voiture ; à vérifier : "
        "l'estimation est peu fiable.",
        "en": "{label}: {value} km, very high for the car's age; please check: the estimate is "
        "not reliable.",
    },
    "km-low": {
        "fr": "Champ « {label} » : {value} km, très bas pour l'âge de la voiture ; à vérifier : "
        "sont-ce des milliers ?",
        "en": "{label}: {value} km, very low for the car's age; please check: are these thousands?",
    },
    "invalid": {
        "fr": "Champ « {label} » : valeur refusée (reçu : {value}).",
        "en": "{label}: refused value (got {value}).",
    },
}

INPUT_MESSAGES: dict[str, dict[Language, str]] = UPLOAD_MESSAGES | {
    **CALLBACK_MESSAGES,
    "not-an-object": {
        "fr": "Un objet JSON décrivant une voiture est attendu.",
        "en": "A JSON object that describes a car is expected.",
    },
    "list-of-cars": {
        "fr": "Un seul objet JSON est attendu ici ; POST /jobs prend une liste de voitures.",
        "en": "A single JSON object is expected here; POST /jobs takes a list of cars.",
    },
    "wrapped-cars": {
        "fr": "Membre inattendu : envoyez l'objet de la voiture lui-même, sans rien autour ; "
        "POST /jobs prend aussi une liste de voitures.",
        "en": "Unexpected member: send the object of the car itself, with nothing around it; "
        "POST /jobs also takes a list of cars.",
    },
    "misnamed-member": {
        "fr": "Membre inconnu : le champ s'appelle « {expected} ».",
        "en": "Unknown member: the field is called `{expected}`.",
    },
    "not-a-car-or-list": {
        "fr": "Un objet JSON décrivant une voiture, ou une liste de voitures, est attendu.",
        "en": "A JSON object that describes a car, or a list of cars, is expected.",
    },
    "sale-price": {
        "fr": "Prix de vente en MAD attendu : un nombre de 1 000 à 100 000 000 (reçu : {value}).",
        "en": "Expected the sale price in MAD, a number from 1,000 to 100,000,000 (got {value}).",
    },
    "sold-at": {
        "fr": "Date de vente attendue : AAAA-MM-JJ, au plus tard aujourd'hui (reçu : {value}).",
        "en": "Expected the date of the sale, YYYY-MM-DD, today at the latest (got {value}).",
    },
    "sold-long-before": {
        "fr": "Date de vente attendue : au plus un an avant l'estimation (reçu : {value}), dont le "
        "prix est celui du marché de son jour.",
        "en": "Expected a date of sale at most a year before the estimate (got {value}), whose "
        "price is that of its own day's market.",
    },
    "only-the-sale": {
        "fr": "Seuls le prix et la date de la vente sont acceptés ; rien d'autre n'est conservé.",
        "en": "Only price and date of the sale are accepted; nothing else is kept.",
    },
    "empty-list": {
        "fr": "La liste doit contenir de 1 à {maximum} voitures.",
        "en": "The list must hold 1 to {maximum} cars.",
    },
    "too-many-cars": {
        "fr": "Au plus {maximum} voitures par tâche (reçu : {count}) ; utilisez /batches.",
        "en": "At most {maximum} cars a job (got {count}); use /batches.",
    },
    "repeated-member": {
        "fr": "Membre donné deux fois : laquelle de ses valeurs compte ? Gardez-en une.",
        "en": "Member given twice: which of its values counts? Keep one.",
    },
    "empty-body": {
        "fr": "Le corps de la requête est vide ; un objet JSON est attendu.",
        "en": "The body is empty; a JSON object is expected.",
    },
    "truncated-body": {
        "fr": "Le corps est plus court que Content-Length ne l'annonce ; renvoyez-le.",
        "en": "The body is shorter than Content-Length says; send it again.",
    },
    "not-utf-8": {
        "fr": "Le corps n'est pas en UTF-8 ; enregistrez ou envoyez le JSON dans cet encodage.",
        "en": "The body is not in UTF-8; save or send the JSON in this encoding.",
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
    "repeated-parameter": {
        "fr": "Paramètre donné {count} fois ; une seule est permise.",
        "en": "Query parameter given {count} times; once is allowed.",
    },
    "invalid-header": {
        "fr": "En-tête refusé ; attendu : {expected}.",
        "en": "Refused header; expected {expected}.",
    },
}


UNKNOWN_CODE: dict[Language, str] = {
    "fr": "Remarque « {code} » d'une version plus récente du service.",
    "en": "Remark '{code}' of a newer version of the service.",
}
"""Text of a stored code that this version does not know."""


def expected(field: CarField, language: Language) -> str:
    """The allowed values of a field as text."""
    if isinstance(field, Category):
        if language == "fr":
            return "une valeur parmi " + ", ".join(FRENCH_CHOICES[name] for name in field.choices)
        return "one of " + ", ".join(field.choices)
    if isinstance(field, Number):
        return _expected_number(field, language)
    if isinstance(field, FoldedText):
        if language == "fr":
            return f"un texte de 1 à {field.max_length} caractères"
        return f"a text of 1 to {field.max_length} characters"
    return "une valeur" if language == "fr" else "a value"


def _expected_number(field: Number, language: Language) -> str:
    limits = field.minimum, field.maximum
    return _number_between(limits, field.unit, language, is_whole=field.whole)


@lru_cache(maxsize=256)
def _number_between(
    limits: tuple[float, float], unit: str, language: Language, *, is_whole: bool
) -> str:
    unit = f" {unit}" if unit else ""
    low, high = f"{limits[0]:g}", _format_thousands(limits[1], language)
    if language == "fr":
        return f"un nombre {'entier ' if is_whole else ''}de {low} à {high}{unit}"
    return f"a {'whole ' if is_whole else ''}number from {low} to {high}{unit}"


def _format_thousands(number: float, language: Language) -> str:
    """A number with thousands separators from `GROUPING_MIN` on, so that years have none."""
    if number < GROUPING_MIN:
        return f"{number:.0f}"
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}" if language == "fr" else ",")


FRENCH_RULES = (
    (re.compile(r"\b(?:one|any) of "), "une valeur parmi "),
    (re.compile(r"\bseconds from (\d+) to (\d+)"), r"de \1 à \2 secondes"),
    (re.compile(r"\b(\d+)-(\d+) characters"), r"de \1 à \2 caractères"),
    (re.compile(r" or "), " ou "),
    (re.compile(r"\bnone with "), "aucune valeur avec "),
    (re.compile(r"\bYYYY-MM-DD\b"), "AAAA-MM-JJ"),
)
"""Translation of the English rules of query parameters into French."""
_JSON_ERROR_POSITION = re.compile(r"line (\d+) column (\d+)")


def _translated(name: str, text: Any, language: Language) -> Any:
    """A message parameter, translated from English into the language of the message."""
    if language == "en" or not isinstance(text, str):
        return text
    if name == "reason" and (place := _JSON_ERROR_POSITION.search(text)):
        return f"ligne {place[1]}, colonne {place[2]}"
    if name == "known" and text == "none":
        return "aucun"
    if name == "expected":
        for rule, french in FRENCH_RULES:
            text = rule.sub(french, text)
    return text


def quote(value: Any, language: Language) -> str:
    """An invalid value, quoted and shortened for a message."""
    if value is None:
        return "rien" if language == "fr" else "nothing"
    is_json = isinstance(value, bool | list | dict)
    text = json.dumps(value, ensure_ascii=False) if is_json else str(value)
    if len(text) > QUOTED_MAX_CHARS:
        text = text[: QUOTED_MAX_CHARS - 1] + "…"
    if not isinstance(value, str):
        return text
    return f"« {text} »" if language == "fr" else f"'{text}'"


def describe_field_error(field: CarField, code: str, value: Any, language: Language) -> str:
    """The message about an invalid field."""
    return FIELD_MESSAGES.get(code, FIELD_MESSAGES["invalid"])[language].format(
        label=field.label(language),
        expected=expected(field, language),
        value=quote(value, language),
        example=quote(f"{field.example} {field.unit}", language),
        read_as="…",
    )


def describe_row_error(error: Mapping[str, Any], language: Language) -> str:
    """The message of an entry of the error report of a batch."""
    if error["field"] is not None:
        field = CAR_FIELDS[error["field"]]
        return describe_field_error(field, error["code"], error["value"], language)
    texts = ROW_MESSAGES.get(error["code"], UNKNOWN_CODE)
    return texts[language].format_map(_Quoted(error, language))


def describe_note(field: str, code: str, value: str, language: Language) -> str:
    """The note on a cell that was ignored, or read as a bound: an entry of `row_notes`."""
    note = _note_template(field, code, language)
    if code == MISSPELT:
        note = note.replace(_READ_AS, _corrected_word(CAR_FIELDS[field], value, language))
    return note.replace(_VALUE, quote(value, language))


def _corrected_word(field: CarField, value: str, language: Language) -> str:
    """What a misspelt word was read as."""
    member = field.member_of_slip(value) if isinstance(field, Category) else None
    return "…" if member is None else choice_name(str(member), language)


def choice_name(choice: str, language: Language) -> str:
    """A value of a category for people."""
    return FRENCH_CHOICES[choice] if language == "fr" else choice


_VALUE, _READ_AS = "\0", "\1"
"""Stand for the cell, and what it was read as, in `_note_template`."""


@lru_cache(maxsize=1024)
def _note_template(field: str, code: str, language: Language) -> str:
    """The note on a cell of an optional field, whose bounds never change."""
    car_field = CAR_FIELDS[field]
    message = FIELD_MESSAGES.get(code, FIELD_MESSAGES["invalid"])[language].format(
        label=car_field.label(language),
        expected=expected(car_field, language),
        value=_VALUE,
        read_as=_READ_AS,
    )
    if code in READ_CODES:
        return message
    return f"Valeur ignorée : {message}" if language == "fr" else f"Value ignored: {message}"


def describe(problem: FieldProblem, language: Language) -> str:
    """The message about an invalid part of the input."""
    field = CAR_FIELDS.get(problem.params.get("field", ""))
    if field is not None:
        return describe_field_error(field, problem.code, problem.params.get("value"), language)
    texts = INPUT_MESSAGES.get(problem.code, UNKNOWN_CODE)
    params = {"code": problem.code, **problem.params}
    return texts[language].format_map(_Quoted(params, language))


def describe_warning(
    warning: Mapping[str, Any], language: Language, *, model_known: bool = False
) -> str:
    """The message of a warning: a value that was accepted but not used.

    Args:
        warning: a warning of `CarRequest`.
        language: of the message.
        model_known: whether the price is that of the model in `read_as`, although the name is
            ambiguous.
    """
    name = str(warning["pointer"]).rsplit("/", 1)[-1]
    field = CAR_FIELDS.get(name)
    params = {"count": 0, **warning}
    if field is not None:
        params |= {"expected": expected(field, language), "label": field.label(language)}
    code = message_code(warning["code"], name)
    if code == MISSPELT:
        params["read_as"] = choice_name(str(warning["read_as"]), language)
    if model_known and code == "name-ambiguous":
        code = "name-partly-read"
    # A stored warning may have a code of a newer version.
    texts = WARNING_MESSAGES.get(code, UNKNOWN_CODE)
    return texts[language].format_map(_Quoted(params, language))


def describe_model_note(field: str, code: str, language: Language) -> str:
    """What a model says of a field of a car, with its name: an entry of `row_notes`."""
    label = CAR_FIELDS[field].label(language)
    colon = " : " if language == "fr" else ": "
    return f"{label}{colon}{WARNING_MESSAGES[message_code(code, field)][language]}"


def format_more_count(count: int, language: Language) -> str:
    """The note that follows the first of several messages; empty if there is only one.

    >>> format_more_count(2, "en"), format_more_count(0, "en")
    (' (And 2 more: see errors.)', '')
    """
    if not count:
        return ""
    if language == "fr":
        return f" (Et {count} de plus : voir « errors ».)"
    return f" (And {count} more: see errors.)"


def describe_problem(code: str, params: Mapping[str, Any], language: Language) -> tuple[str, str]:
    """Title and detail of a problem document."""
    texts = PROBLEM_MESSAGES.get(code, PROBLEM_MESSAGES["internal-error"])
    title, detail = texts[language]
    return title, detail.format_map(_Quoted(params, language))


class _Quoted(dict[str, Any]):
    """Message parameters; a missing one is shown as an ellipsis instead of raising an error."""

    def __init__(self, params: Mapping[str, Any], language: Language) -> None:
        super().__init__(
            (
                name,
                quote(given, language) if name == "value" else _translated(name, given, language),
            )
            for name, given in params.items()
        )

    def __missing__(self, name: str) -> str:
        return "…"
