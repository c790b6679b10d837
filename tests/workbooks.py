"""Writes workbooks for tests part by part, so that any part can be invalid."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CAR_HEADER = ("Réf", "Marque", "Modèle", "Année", "Carburant", "Boîte", "Kilométrage")
CAR_ROW = ("R1", "Dacia", "Logan", 2019, "Diesel", "Manuelle", 45_000)


def cell(value: Any, reference: str = "") -> str:
    """Write a cell as Excel does; text that begins with `<` is inserted as XML."""
    place = f' r="{reference}"' if reference else ""
    if value is None:
        return f"<c{place}/>"
    if isinstance(value, bool):
        return f'<c{place} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f"<c{place}><v>{value}</v></c>"
    if value.startswith("<"):
        return str(value)
    return f'<c{place} t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def sheet_xml(rows: Iterable[Iterable[Any]], first: int = 1) -> str:
    """Write a sheet."""
    lines = (
        f'<row r="{number}">{"".join(map(cell, row))}</row>'
        for number, row in enumerate(rows, start=first)
    )
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def parts_of(sheets: Mapping[str, str], *, styles: str = "", texts: str = "") -> dict[str, str]:
    """Return the parts of a workbook.

    Args:
        sheets: XML of each sheet by name.
        styles: content of `styles.xml`.
        texts: content of `sharedStrings.xml`.
    """
    entries = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="r{number}"/>'
        for number, name in enumerate(sheets, start=1)
    )
    relations = "".join(
        f'<Relationship Id="r{number}" Type="{RELATIONS}/worksheet" '
        f'Target="worksheets/s{number}.xml"/>'
        for number in range(1, len(sheets) + 1)
    )
    parts = {
        "[Content_Types].xml": "<Types/>",
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}">'
        f"<sheets>{entries}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships>{relations}</Relationships>",
    }
    for number, xml in enumerate(sheets.values(), start=1):
        parts[f"xl/worksheets/s{number}.xml"] = xml
    if styles:
        parts["xl/styles.xml"] = f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'
    if texts:
        parts["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{texts}</sst>'
    return parts


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """Write parts to a ZIP file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def workbook(rows: Iterable[Iterable[Any]], **options: str) -> bytes:
    """Write a workbook with one sheet."""
    return zipped(parts_of({"Stock": sheet_xml(rows)}, **options))
