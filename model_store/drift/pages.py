"""The drift report as text and as one HTML file with inline images."""

import base64
from collections.abc import Sequence
from html import escape

from model_store.drift.profile import PRICE_FIELD
from model_store.drift.psi import MODERATE, SIGNIFICANT, DriftLevel, Psi
from model_store.drift.report import By, DriftReport, PeriodReport, Shift
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import language
from shared.i18n.languages import direction

HEADER = (
    mark("FIELD"),
    mark("PSI"),
    mark("IF GIVEN"),
    mark("CARS"),
    mark("MEANING"),
    mark("LARGEST CHANGES, TRAINING TO NOW"),
)
LEGEND = mark(
    "PSI below {moderate}: stable, from {moderate}: moderate, from {significant}: significant"
    " change. The mean PSI of as many cars without drift is subtracted. IF GIVEN: among the cars"
    " that state the field."
)
_BY = {By.DAY: mark("By day:"), By.WEEK: mark("By week:")}
_MEANINGS = {
    DriftLevel.STABLE: mark("stable"),
    DriftLevel.MODERATE: mark("moderate"),
    DriftLevel.SIGNIFICANT: mark("significant"),
}
_FIELDS_BY_PERIOD = 6
_FIELDS_WITH_SHIFTS = 6
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c2522;background:#fff}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #d9dfdc;"
    "vertical-align:top}img{max-width:100%}.significant{color:#9c3f17;font-weight:600}"
    ".moderate{color:#86590a;font-weight:600}.too-few{color:#5d6864}"
)


def text_report(report: DriftReport) -> str:
    """The report for a terminal."""
    lines = [*_heading(report), ""]
    lines += _aligned([_header(), *_field_rows(report)])
    if len(report.periods) > 1:
        names = fields_by_period(report)
        header = (_("PERIOD"), _("FROM"), _("TO"), _("CARS"), *names)
        rows = [
            (
                period.label,
                period.first.isoformat(),
                period.last.isoformat(),
                f"{period.cars:,}",
                *(psi_text(period.psi[name]) for name in names),
            )
            for period in report.periods
        ]
        lines += ["", _(_BY[report.by]), *_aligned([header, *rows])]
    notes = report.notes()
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join([*lines, "", _legend()])


def html_report(report: DriftReport) -> str:
    """The report as one file; its images are inline, and it loads nothing."""
    # matplotlib is imported with the plots.
    from model_store.drift.plots import (  # noqa: PLC0415
        psi_bars,
        psi_lines,
        shift_bars,
        worst_fields,
    )

    report_name, fields = _("Drift report"), _("Fields")
    title = escape(_("Drift of version {version}").format(version=report.version))
    parts = [f"<h1>{title}</h1>"]
    parts += [f"<p>{escape(line)}</p>" for line in _heading(report)[1:]]
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes())
    parts.append(f"<ul>{notes}</ul>" if notes else "")
    if any(psi.value is not None for psi in report.whole.psi.values()):
        parts += [f"<h2>{fields}</h2>", _image(psi_bars(report.whole), _("PSI of each field"))]
    parts += [_html_table(_header(), _field_rows(report), report.whole), f"<p>{_legend()}</p>"]
    names = [name for name in fields_by_period(report) if _has_points(report.periods, name)]
    if len(report.periods) > 1:
        by = _(_BY[report.by]).rstrip(" :")
        parts.append(f"<h2>{by}</h2>")
        if names:
            parts.append(_image(psi_lines(report.periods, names), f"PSI: {by}"))
        parts.append(_period_table(report))
    for name in worst_fields(report, _FIELDS_WITH_SHIFTS):
        if shifts := report.shifts[name]:
            shares = _("Shares of {name}").format(name=name)
            parts += [f"<h2>{escape(name)}</h2>", _image(shift_bars(shifts), shares)]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="{language()}" dir="{direction(language())}"><head>'
        f'<meta charset="utf-8"><title>{report_name}</title><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def fields_by_period(report: DriftReport) -> list[str]:
    """The fields shown by period: the price, then those with the largest PSI."""
    others = [name for name in report.whole.psi if name != PRICE_FIELD]
    others.sort(key=lambda name: -(report.whole.psi[name].value or 0.0))
    return [PRICE_FIELD, *others[: _FIELDS_BY_PERIOD - 1]]


def psi_text(psi: Psi | None) -> str:
    """A PSI with two decimals, or a dash if there are too few cars."""
    return "-" if psi is None or psi.value is None else f"{psi.value:.2f}"


def _header() -> tuple[str, ...]:
    return tuple(map(_, HEADER))


def _legend() -> str:
    return _(LEGEND).format(moderate=MODERATE, significant=SIGNIFICANT)


def _heading(report: DriftReport) -> list[str]:
    whole = report.whole
    data = _(
        "Training data: {rows} listings, prices of {month} ({age} months before the end of the"
        " report)"
    )
    cars = _("Cars: {number}, valued from {first} to {last} (UTC)")
    return [
        _("Version {version}").format(version=report.version),
        data.format(
            rows=f"{report.trained_rows:,}", month=report.data_as_of, age=report.age_months
        ),
        cars.format(number=f"{whole.cars:,}", first=whole.first, last=whole.last),
    ]


def _field_rows(report: DriftReport) -> list[tuple[str, ...]]:
    """A row for each field, the largest PSI first; those without one at the end."""
    ordered = sorted(report.whole.psi.items(), key=lambda item: -_sort_key(item[1]))
    return [
        (
            name,
            psi_text(psi),
            psi_text(report.whole.given[name]),
            f"{psi.cars:,}",
            _meaning(psi),
            _shift_text(report.shifts[name]),
        )
        for name, psi in ordered
    ]


def _sort_key(psi: Psi) -> float:
    return -1.0 if psi.value is None else psi.value


def _meaning(psi: Psi) -> str:
    if psi.level is DriftLevel.TOO_FEW:
        return _("too few ({number} needed)").format(number=f"{psi.needed:,}")
    return _(_MEANINGS[psi.level])


def _shift_text(shifts: Sequence[Shift]) -> str:
    text = _("{label}: {before} to {now}")
    return ", ".join(
        text.format(label=each.label, before=f"{each.trained:.1%}", now=f"{each.now:.1%}")
        for each in shifts
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _has_points(periods: Sequence[PeriodReport], name: str) -> bool:
    return any(period.psi[name].value is not None for period in periods)


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]], whole: PeriodReport) -> str:
    """The table of fields; each row has the class of its level."""
    cells = [
        f'<tr class="{whole.psi[row[0]].level}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    ]
    return _table(header, cells)


def _period_table(report: DriftReport) -> str:
    names = list(report.whole.psi)
    rows = [
        f"<tr><td>{escape(period.label)}</td><td>{period.cars:,}</td>"
        + "".join(
            f'<td class="{period.psi[name].level}">{psi_text(period.psi[name])}</td>'
            for name in names
        )
        + "</tr>"
        for period in report.periods
    ]
    table = _table((_("PERIOD"), _("CARS"), *names), rows)
    return f'<div style="overflow-x:auto;font-size:80%">{table}</div>'


def _table(header: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _image(png: bytes, description: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<p><img alt="{escape(description)}" src="data:image/png;base64,{data}"></p>'
