"""What is wrong with a file, said to people: they rename a column, they set no query parameter."""

from collections.abc import Sequence

from api.problems import dump_field_problem
from shared.domain.errors import FieldProblem
from shared.schemas.car import CAR_FIELDS

MISSING = "missing-column"


def sentences(problems: Sequence[FieldProblem]) -> list[str]:
    """One sentence for each problem."""
    return [
        _missing_columns(one)
        if one.code == MISSING
        else str(dump_field_problem(one, "fr")["detail"])
        for one in problems
    ]


def _missing_columns(problem: FieldProblem) -> str:
    missing = problem.params["fields"]
    names = ", ".join(CAR_FIELDS[name].label_fr for name in missing)
    found = problem.params["found"]
    columns, advice = (
        ("les colonnes", "Renommez celles qui conviennent.")
        if len(missing) > 1
        else ("la colonne", "Renommez celle qui convient.")
    )
    return f"Il manque {columns} : {names}. Titres trouvés : {found}. {advice}"
