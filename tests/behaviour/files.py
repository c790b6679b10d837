"""Uploads in many formats, encodings and dialects; every recording sends the same ones."""

import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.workbooks import parts_of, sheet_xml

FRENCH = (
    "Réf",
    "Marque",
    "Modèle",
    "Année",
    "Carburant",
    "Boîte",
    "Kilométrage",
    "Prix",
    "Couleur",
)
ENGLISH = (
    "ref",
    "company",
    "model",
    "year",
    "fuel",
    "transmission",
    "km_driven",
    "engine_cc",
    "city",
)
ROW_KINDS: tuple[tuple[Any, ...], ...] = (
    ("Dacia", "Logan", 2018, "Diesel", "Manuelle", 120_000),
    ("Renault", "Clio", 2016, "Essence", "Manuelle", 95_500),
    ("Toyota", "Corolla", 2020, "Hybride", "Automatique", 25_000),
    ("BMW", "X5", 2015, "Diesel", "Automatique", 180_000),
    ("Citroën", "C3", 2012, "Essence", "Manuelle", 140_000),
    ("Trabant", "601", 1995, "Essence", "Manuelle", 60_000),
)


@dataclass(frozen=True, kw_only=True)
class File:
    """One upload."""

    name: str
    data: bytes
    media_type: str = "text/csv"
    query: str = ""
    encoding: str = ""
    """Value of `Content-Encoding`."""
    is_form: bool = False
    """Whether it is a part of a multipart form."""


def _cars(count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        brand, model, year, fuel, gearbox, km = ROW_KINDS[number % len(ROW_KINDS)]
        yield brand, model, year - number % 3, fuel, gearbox, km + 137 * (number % 900)


def _french(count: int) -> list[tuple[Any, ...]]:
    return [
        (
            f"R{number}",
            *car,
            60_000 + 900 * number,
            ("gris", "bleu; nuit", 'dit "le beau"')[number % 3],
        )
        for number, car in enumerate(_cars(count), start=1)
    ]


def _english(count: int) -> list[tuple[Any, ...]]:
    return [
        (f"R{number}", *car, (1200, 1.6, 1998)[number % 3], "Casablanca")
        for number, car in enumerate(_cars(count), start=1)
    ]


def csv(
    header: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    delimiter: str = ",",
    *,
    quotes: str = "needed",
    end: str = "\n",
) -> str:
    """Write a table as CSV; `quotes`: only where they are needed, or around all cells."""

    def cell(value: Any) -> str:
        text = str(value)
        if quotes == "all" or any(one in text for one in (delimiter, '"', "\n")):
            return '"' + text.replace('"', '""') + '"'
        return text

    return end.join(delimiter.join(map(cell, row)) for row in [header, *rows]) + end


def _thousands(rows: list[tuple[Any, ...]], separator: str) -> list[tuple[Any, ...]]:
    return [
        tuple(
            f"{value:,}".replace(",", separator)
            if isinstance(value, int) and value > 9_999
            else value
            for value in row
        )
        for row in rows
    ]


def _workbook(rows: Sequence[Sequence[Any]], *sheets: str) -> bytes:
    """Write a workbook with the same bytes on every machine."""
    content = {name: sheet_xml(rows) for name in sheets or ("Stock",)}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, xml in parts_of(content).items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), xml)
    return file.getvalue()


def _parquet(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="none")
    return file.getvalue()


def _gzipped(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


BAD = """Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Cylindrée
Dacia;Logan;2018;Diesel;Manuelle;120 000;1,5
Dacia;Logan;1800;Diesel;Manuelle;beaucoup;
Dacia;;2018;Charbon;;-5;
Dacia;Logan;2018
Dacia;Logan;2018;Diesel;Manuelle;1;2;3;4

=1+1;"@SUM(A1)";2018;Diesel;Manuelle;120000;1500
"Renault
Clio";Clio;2019;Essence;Manuelle;45.000,0;1 598
Renault;Clio;15/03/2019;Essence;BVA;45k;gros
Renault;Clio;mars 2019;GPL;BVM;120 000 - 129 999;
"""


def files() -> Iterator[File]:
    """Yield all uploads in the order in which they are sent."""
    yield File(name="plain.csv", data=csv(ENGLISH, _english(40)).encode())
    yield File(name="quoted.csv", data=csv(ENGLISH, _english(25), quotes="all").encode())
    yield File(name="français.csv", data=csv(FRENCH, _thousands(_french(20), " "), ";").encode(),
               query="key_column=R%C3%A9f")  # fmt: skip
    yield File(name="windows.csv", data=csv(FRENCH, _thousands(_french(12), "."), ";", end="\r\n")
               .encode("cp1252", "replace"))  # fmt: skip
    yield File(name="utf16.csv", data=csv(FRENCH, _french(10), "\t").encode("utf-16"))
    yield File(name="utf16le.csv", data=csv(FRENCH, _french(6), ";").encode("utf-16-le"))
    yield File(name="bom.csv", data=("\ufeff" + csv(FRENCH, _french(8), "|")).encode())
    yield File(name="titles.csv", data=("sep=;\nStock de mars\n\n" + csv(FRENCH, _french(5), ";"))
               .encode())  # fmt: skip
    yield File(name="bad.csv", data=BAD.encode())
    yield File(name="bad again.csv", data=BAD.encode(), query="on_error=abort&decimal=comma")
    yield File(name="check.csv", data=BAD.encode(), query="dry_run=true")
    yield File(name="open quote.csv", data=b'company,model,year,fuel,transmission,km_driven\n'
               b'Dacia,Logan,2018,Diesel,Manual,1000\nDacia,"Logan,2018,Diesel,Manual,5\n'
               b'Dacia,Logan,2018,Diesel,Manual,1000\n')  # fmt: skip
    yield File(name="broken.csv", data=b"company,model,year,fuel,transmission,km_driven,city\n"
               b"Dacia,Logan,2018,Diesel,Manual,1000,F\xe8s\nDacia,Logan,2018,Diesel,Manual,1,"
               b"\xff\xfe\n", query="encoding=utf-8")  # fmt: skip
    yield File(name="columns.csv", data="العلامة;M;A;F;B;Compteur;Prix net\n"
               "داسيا;لوغان;2018;ديزل;Manuelle;120000;90000\nBMW;X5;2015;Diesel;BVA;90000;x\n".encode(),
               query="columns=company:%231,model:M,year:A,fuel:F,transmission:B,"
               "km_driven:Compteur,asking_price_mad:Prix%20net")  # fmt: skip
    yield File(name="same names.csv", data=b"price_mad,company,model,year,fuel,transmission,"
               b"km_driven,row_status,note,note\n1,Dacia,Logan,2018,Diesel,Manual,1000,x,a,b\n",
               )  # fmt: skip
    yield File(name="packed.csv.gz", data=_gzipped(csv(ENGLISH, _english(9))),
               media_type="application/gzip")  # fmt: skip
    yield File(name="sent packed.csv", data=_gzipped(csv(ENGLISH, _english(3))),
               encoding="gzip")  # fmt: skip
    yield File(name='stock/mars à "Fès".csv', data=csv(ENGLISH, _english(4)).encode(), is_form=True)
    yield File(name="stock.xlsx", data=_workbook([FRENCH, *_french(15)]),
               media_type="application/octet-stream")  # fmt: skip
    yield File(name="sheets.xlsx", data=_workbook([ENGLISH, *_english(4)], "Un", "Deux"),
               media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
               query="sheet=Deux")  # fmt: skip
    yield File(name="no sheet.xlsx", data=_workbook([ENGLISH, *_english(2)]),
               media_type="application/octet-stream", query="sheet=Trois")  # fmt: skip
    yield File(name="stock.parquet", data=_parquet(FRENCH, _french(15)),
               media_type="application/vnd.apache.parquet")  # fmt: skip
    yield File(name="many.csv", data=csv(ENGLISH, _english(21_000)).encode())
    yield from _refused()


def _refused() -> Iterator[File]:
    """Yield the uploads that are refused at once."""
    yield File(name="empty.csv", data=b"")
    yield File(name="header only.csv", data=b"company,model,year,fuel,transmission,km_driven\n")
    yield File(name="no cars.csv", data=b"a,b,c\n1,2,3\n")
    yield File(name="two years.csv", data=b"year,annee,company,model,fuel,transmission,km_driven\n"
               b"2018,2018,Dacia,Logan,Diesel,Manual,1\n")  # fmt: skip
    yield File(name="miles.csv", data="Marque;Modèle;Année;Carburant;Boîte;Kilométrage (miles)\n"
               "Dacia;Logan;2018;Diesel;Manuelle;1\n".encode())  # fmt: skip
    yield File(
        name="lines.ndjson", data=b'{"company": "Dacia"}\n', media_type="application/x-ndjson"
    )
    yield File(
        name="lines as csv.ndjson", data=b'{"company": "Dacia", "model": "Logan"}\n{"company": 1}\n'
    )
    yield File(name="picture.png", data=b"\x89PNG\r\n\x1a\n" + bytes(50))
    yield File(name="half.xlsx", data=_workbook([FRENCH, *_french(3)])[:-30],
               media_type="application/octet-stream")  # fmt: skip
    yield File(name="half.parquet", data=_parquet(FRENCH, _french(3))[:-5],
               media_type="application/octet-stream")  # fmt: skip
    yield File(name="not packed.csv", data=b"company,model\n", encoding="gzip")
    yield File(name="wrong options.csv", data=b"x", query="encoding=klingon&delimiter=x&columns=a&"
               "dry_run=perhaps&on_error=cry&key_column=&sheet=&colour=red&decimal=x")  # fmt: skip
