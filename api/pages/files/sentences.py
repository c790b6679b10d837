"""Problems of files as sentences of the pages, which have a form in place of options."""

from collections.abc import Collection, Sequence

from api.http.problems import dump_field_problem
from api.pages.language import gettext as _
from api.pages.language import ngettext, page_language
from shared.domain.errors import FieldProblem
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark

NOTICES = {
    "near-header": mark(
        "Header {values} is not known, but nearly: it is read as {label}. If it is not, choose "
        "another column, or none, for this field."
    ),
    "no-header": mark(
        "No header row: the first row is a car. Columns recognised: {values}. Choose others above; "
        "if there is a header, choose its row."
    ),
    "contradicting-columns": mark(
        "Several columns could be {label} and contradict each other: {values}. None is read; "
        "choose one above."
    ),
    "unclear-unit": mark(
        "Column {column}: its unit is not clear ({values}); only those of its values are read that "
        "state their unit. Choose the unit beside the column."
    ),
    "unit-not-stated": mark(
        "Column {column}: its unit is not stated, read as km. If it is in miles, choose so beside "
        "the column."
    ),
    "shared-affix": mark(
        "Headers are read without what several have in common: {values}. If that is wrong, choose "
        "the columns above."
    ),
    "assumed-encoding": mark(
        "Encoding recognised by its words: {values}. If it is another one, choose it above."
    ),
    "other-sheets": mark("Other sheets, not read: {values}. Choose one above if it has the cars."),
}
"""Notices about a file, by code, beside the form in which one can choose something else."""

_PROBLEMS = {
    "car-as-header": mark(
        "The first row seems to be a car and not the names of columns: {found}. If the file has "
        "no row of headers, choose so in the form."
    ),
    "preview-too-slow": mark(
        "Reading the beginning of this file takes too long. You can value it without it."
    ),
}
"""Problems whose sentences need no more than their parameters."""


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
    if problem.code in _PROBLEMS:
        return _(_PROBLEMS[problem.code]).format(**params)
    if problem.code == "shared-column":
        text = _(
            "Column {position} is chosen for several fields: {names}. Choose another column, or "
            "none, for all but one of them."
        )
        names = ", ".join(CAR_FIELDS[name].label(page_language()) for name in params["fields"])
        return text.format(position=params["position"], names=names)
    return str(dump_field_problem(problem, page_language())["detail"])


def _missing_columns(missing: Sequence[str], found: str) -> str:
    names = ", ".join(CAR_FIELDS[name].label(page_language()) for name in missing)
    text = ngettext(
        "A column is missing: {names}. Headers found: {found}. Choose the right one below.",
        "Columns are missing: {names}. Headers found: {found}. Choose the right ones below.",
        len(missing),
    )
    return text.format(names=names, found=found)
