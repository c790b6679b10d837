"""Problems of files as sentences of the pages, which have a form in place of options."""

from collections.abc import Collection, Sequence

from api.http.problems import dump_field_problem
from api.pages.language import gettext as _
from api.pages.language import ngettext, page_language
from shared.domain.errors import FieldProblem
from shared.fields.car import CAR_FIELDS


def problem_sentences(problems: Sequence[FieldProblem]) -> list[str]:
    """One sentence for each problem, in the language of the page."""
    ambiguous = {one.params["meaning"] for one in problems if one.code == "ambiguous-column"}
    return [sentence for one in problems if (sentence := _sentence(one, ambiguous)) is not None]


def _sentence(problem: FieldProblem, ambiguous: Collection[str]) -> str | None:
    """The sentence of a problem; None if another problem says it.

    Args:
        problem: of the file or of an option.
        ambiguous: fields for which there are several columns.
    """
    params = problem.params
    if problem.code == "missing-column":
        missing = [name for name in params["fields"] if name not in ambiguous]
        return _missing_columns(missing, params["found"]) if missing else None
    if problem.code == "ambiguous-column":
        text = _(
            "Columns “{other}” and “{column}” can both be “{label}” and do not say the same. "
            "Choose the right one below."
        )
        label = CAR_FIELDS[params["meaning"]].label(page_language())
        return text.format(other=params["other"], column=params["column"], label=label)
    if problem.code == "duplicate-column":
        text = _(
            "Columns {first} and {other} are both called “{name}”. Choose the right one below."
        )
        return text.format(first=params["first"], other=params["position"], name=params["column"])
    if problem.code == "shared-column":
        text = _(
            "Column {position} is chosen for several fields: {names}. Choose another column, or "
            "none, for all but one of them."
        )
        names = ", ".join(CAR_FIELDS[name].label(page_language()) for name in params["fields"])
        return text.format(position=params["position"], names=names)
    if problem.code == "preview-too-slow":
        return _("Reading the beginning of this file takes too long. You can value it without it.")
    return str(dump_field_problem(problem, page_language())["detail"])


def _missing_columns(missing: Sequence[str], found: str) -> str:
    names = ", ".join(CAR_FIELDS[name].label(page_language()) for name in missing)
    text = ngettext(
        "A column is missing: {names}. Headers found: {found}. Choose the right one below.",
        "Columns are missing: {names}. Headers found: {found}. Choose the right ones below.",
        len(missing),
    )
    return text.format(names=names, found=found)
