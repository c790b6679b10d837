"""What is wrong with a file, said to people: they rename a column, they set no query parameter."""

from collections.abc import Sequence

from api.problems import describe_place
from shared.domain.errors import FieldProblem
from shared.schemas.car import CAR_FIELDS

MISSING = "missing-column"


def sentences(problems: Sequence[FieldProblem]) -> list[str]:
    """One sentence for all missing columns, then one for each other problem."""
    missing = [one for one in problems if one.code == MISSING]
    others = [str(describe_place(one, "fr")["detail"]) for one in problems if one.code != MISSING]
    return [_missing_columns(missing), *others] if missing else others


def _missing_columns(missing: Sequence[FieldProblem]) -> str:
    names = ", ".join(CAR_FIELDS[one.params["column"]].label_fr for one in missing)
    found = missing[0].params["found"]
    columns, advice = (
        ("les colonnes", "Renommez celles qui conviennent.")
        if len(missing) > 1
        else ("la colonne", "Renommez celle qui convient.")
    )
    return f"Il manque {columns} : {names}. Titres trouvés : {found}. {advice}"
