"""Reads a workbook as the worker does and with calamine alone, in turns, each in its own process.

`python -m benchmarks.scenarios.workbook_readers ROWS ROUNDS` prints CPU time and peak memory.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

TIMEOUT_S = 600.0
NAMES = ["Réf", "Marque", "Modèle", "Année", "Carburant", "Boîte", "Kilométrage", "Prix"]
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
PARTS: Mapping[str, str] = {
    "[Content_Types].xml": "<Types/>",
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r1" '
    f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r1" '
    f'Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="Stock" sheetId="1" r:id="r1"/></sheets></workbook>',
}


def main(rows: int, rounds: int) -> None:
    """Run the readers in turns and print the median CPU time and the peak memory of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stock.xlsx")
        write_workbook(path, rows)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
        for _ in range(rounds):
            for name in READERS:
                command = [sys.executable, "-m", __spec__.name, name, str(path)]
                done = subprocess.run(
                    command, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT_S
                )
                found[name].append(json.loads(done.stdout))
    for name, figures in found.items():
        cpu_s = statistics.median(each["cpu_s"] for each in figures)
        peak_mb = max(each["peak_mb"] for each in figures)
        print(f"{name}: {cpu_s:.2f} s of CPU time, at most {peak_mb:.0f} MB")


def write_workbook(path: Path, rows: int) -> None:
    """Write a sheet of cars with inline strings."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in PARTS.items():
            archive.writestr(name, content)
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f'<worksheet xmlns="{MAIN}"><sheetData>'.encode())
            for number in range(1, rows + 1):
                sheet.write(row_xml(number).encode())
            sheet.write(b"</sheetData></worksheet>")


def row_xml(number: int) -> str:
    """A row of the sheet; the first one names the columns."""
    km, price = 5_000 + 37 * number % 200_000, 50_000 + 100 * (number % 3_000)
    car = [f"R{number}", "Dacia", "Logan", 2008 + number % 16, "Diesel", "Manuelle", km, price]
    values = NAMES if number == 1 else car
    cells = "".join(map(_cell, values, (f"{letter}{number}" for letter in "ABCDEFGH")))
    return f'<row r="{number}">{cells}</row>'


def _cell(value: object, place: str) -> str:
    if isinstance(value, int):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'


def read_with_worker(path: str) -> Iterator[object]:
    """The rows as the worker reads them."""
    from shared.tabular.tables.workbooks.workbook import Workbook  # noqa: PLC0415 - its memory counts

    with Path(path).open("rb") as file:
        workbook = Workbook(file)
        yield from workbook.rows(workbook.sheet(None))


def read_with_calamine(path: str) -> Iterator[object]:
    """The rows as calamine returns them, with the whole sheet in memory."""
    from python_calamine import CalamineWorkbook  # noqa: PLC0415 - its memory counts

    yield from CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()


READERS: Mapping[str, Callable[[str], Iterator[object]]] = {
    "worker": read_with_worker,
    "calamine": read_with_calamine,
}


def measure(name: str, path: str) -> None:
    """Read the file once and print CPU time and peak memory as JSON."""
    rows = sum(1 for _ in READERS[name](path))
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s, peak_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(json.dumps({"rows": rows, "cpu_s": cpu_s, "peak_mb": peak_mb}))


if __name__ == "__main__":
    if sys.argv[1] in READERS:
        measure(sys.argv[1], sys.argv[2])
    else:
        main(int(sys.argv[1]), int(sys.argv[2]))
