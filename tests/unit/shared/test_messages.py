"""Sentences read well in both languages."""

import pytest

from shared.domain.errors import FieldProblem
from shared.messages.rules import seconds
from shared.messages.texts import describe, describe_model_note, describe_note, describe_warning


@pytest.mark.parametrize(
    ("problem", "french", "english"),
    [
        (FieldProblem("/year", "out-of-range", field="year", value=True),
         "Champ « Année » : attendu un nombre entier de 19",
         "Year of first registration: expected a whole number"),
        (FieldProblem("/km_driven", "required", field="km_driven"),
         "Champ « Kilométrage » obligatoire : attendu un nombre de 0 à 2\u202f000\u202f000 km.",
         "Odometer is required: expected a number from 0 to 2,000,000 km."),
        (FieldProblem("?wait", "invalid-parameter", expected=seconds(0, 30), value="x"),
         "Valeur refusée ; attendu : de 0 à 30 secondes (reçu : « x »).",
         "Refused value; expected seconds from 0 to 30 (got 'x')."),
        (FieldProblem("", "not-json", reason="unexpected end: line 1 column 2 (char 1)"),
         "Le corps n'est pas du JSON valable : ligne 1, colonne 2.",
         "The body is not valid JSON: unexpected end: line 1 column 2 (char 1)."),
    ],
)  # fmt: skip
def test_a_refusal_is_one_language_with_grouped_numbers(
    problem: FieldProblem, french: str, english: str
) -> None:
    assert describe(problem, "fr").startswith(french)
    assert describe(problem, "en").startswith(english)
    assert "True" not in describe(problem, "fr")


@pytest.mark.parametrize(
    ("field", "french", "english"),
    [
        ("year", "Presque aucune annonce de ce modèle", "Hardly any listing of this model"),
        ("km_driven", "Presque aucune annonce de ce modèle", "Hardly any listing of this model"),
        ("fiscal_power_cv", "Hors de l'étendue de toutes", "Outside the range of all listings"),
        ("doors", "Hors de l'étendue de toutes", "Outside the range of all listings"),
    ],
)
def test_an_extrapolated_number_has_its_true_reason(field: str, french: str, english: str) -> None:
    """A fiscal power of 60 is beyond all listings, whatever there are of the model."""
    warning = {"pointer": f"/{field}", "code": "extrapolated"}
    assert describe_warning(warning, "fr").startswith(french)
    assert describe_warning(warning, "en").startswith(english)
    assert french in describe_model_note(field, "extrapolated", "fr")
    assert english in describe_model_note(field, "extrapolated", "en")


def test_a_note_quotes_the_cell_whatever_it_holds() -> None:
    cell = "{value} {label} \0 %s"
    french = describe_note("doors", "not-a-number", cell, "fr")
    assert french.startswith(
        "Valeur ignorée : Champ « Portes » : attendu un nombre entier de 1 à 9"
    )
    assert french.endswith(f"(reçu : « {cell} »).")
    assert describe_note("doors", "not-a-number", "deux", "fr").endswith("(reçu : « deux »).")
    english = describe_note("doors", "open-range", "3 or more", "en")
    assert "'3 or more'" in english
    assert "ignored" not in english


def test_a_note_that_quotes_no_cell_is_whole() -> None:
    assert "\0" not in describe_note("edition", "too-long", "x" * 200, "en")


def test_a_resource_without_parameters_says_so():
    problem = FieldProblem("?page", "unknown-parameter", known="none")
    assert describe(problem, "fr") == "Paramètre inconnu ; connus : aucun."
    assert describe(problem, "en") == "Unknown query parameter; known are none."
