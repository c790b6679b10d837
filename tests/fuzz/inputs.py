"""Inputs of the fuzz tests: examples of each format, altered at random or built from its words."""

import io
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgpack
import openpyxl
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

MAX_BYTES = 4_000
HEADER = "Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Prix demandé\n"
ROWS = "Dacia;Logan;2018;Diesel;Manuelle;120 000 km;95 000 DH\nVW;Golf;2015;Essence;Auto;9,5;\n"
CSV_FILE = (HEADER + ROWS).encode()
NUMBERS = (
    "0", "-1", "1e999", "-1e-999", "1e5000", "NaN", "Infinity", "2020.0", "1,5", "25 000 km",
    "51,000 mi.", "1.6 l", "120 ch", "4 CV", "88 kW", "20,5 millions", "١٢٣", "²", "½", "①",
    "100 000 - 109 999", "Plus de 500 000", "< 3", "9" * 400, "0x10", "1_000", "--5", "1/2/3",
)  # fmt: skip
DATES = (
    "2020-02-30", "31/12/2019", "1/0/2020", "0000-00-00", "9999-12-31", "10000-01-01", "2016/17",
    "mars 2018", "Sept. 18", "2018-W53", "43101", "2019-01-01T25:61:61Z", "janv-99",
)  # fmt: skip
NAMES = (
    "Renault", "Clio IV 1.5 dCi", "Peugeot 208/2008", "VW", "Mercedes-Benz", "Classe C 220d",
    "داسيا", "لوغان", "Land Rover Evoque", "Reanult", "Škoda", "ß", "İ", "ﬁat 500", "BMW X5 2018",
)  # fmt: skip
PRICES = (
    "195 000 DH", "à débattre", "12.000 €", "$15k", "20 millions", "15 briques", "0 DH", "prix : ?",
    "150 000 - 160 000 MAD", "١٥٠٠٠٠ درهم", "1.234.567,89", "1,2,3,4", "-5 DH", "1e400 DH",
)  # fmt: skip
STRANGE = (
    "", " ", "\x00", "\ufeff", "\u200f", "\ud7ff", "\uffff", "\U0010ffff", "\r", "\n",
    "\x0b", "\x1c",
    "\x85", "\u2028", '"', '""', "'", "=1+1", "+A1", "@SUM(A1)", "-2+3", "\t=1", "{}", "[]", "%",
    "{0}", "%s", "é" * 300, "a" * 5_000, "N/A", "-", "null", "vrai",
)  # fmt: skip
WORDS = (*NUMBERS, *DATES, *NAMES, *PRICES, *STRANGE)
TEXTS = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=40),
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=3).map("".join),
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=3).map(" ".join),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-5, 5),
    st.floats(),
    TEXTS.filter(lambda text: len(text) < 1_000),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def altered_bytes(
    examples: Sequence[bytes], words: Sequence[bytes] = ()
) -> st.SearchStrategy[bytes]:
    """Examples with pieces removed, repeated, overwritten or inserted."""
    words = (*words, b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b'"', b";", b"\xc3")
    piece = st.sampled_from(words) | st.binary(max_size=6)
    change = st.tuples(st.integers(0, MAX_BYTES), st.integers(0, 12), piece)

    def apply(example: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, removed, inserted in changes:
            start = at % (len(example) + 1)
            example = example[:start] + inserted + example[start + removed :]
        return example

    return st.builds(apply, st.sampled_from(examples), st.lists(change, max_size=5)) | st.binary(
        max_size=200
    )


def altered_value(example: Any) -> st.SearchStrategy[Any]:
    """A JSON value like `example` with some of its parts replaced, removed or added."""
    if isinstance(example, dict):
        members = {name: altered_value(value) for name, value in example.items()}
        some = st.fixed_dictionaries({}, optional=members)
        whole = st.fixed_dictionaries(members)
        more = st.dictionaries(st.text(max_size=5), SCALARS, max_size=1)
        return _mostly(
            st.builds(lambda one, other: {**other, **one}, whole | some, more), st.just(example)
        )
    if isinstance(example, list | tuple):
        items = st.tuples(*map(altered_value, example)).map(list)
        short = st.builds(lambda all_of, n: all_of[:n], items, st.integers(0, len(example)))
        longer = st.builds(lambda all_of, last: [*all_of, last], items, VALUES)
        return _mostly(items | short | longer, st.just(list(example)))
    return _mostly(VALUES, st.just(example))


def _mostly(
    altered: st.SearchStrategy[Any], same: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Three of four parts stay as they are, so that most of a value passes the first checks."""
    return st.integers(0, 3).flatmap(lambda n: altered if n == 0 else same)


def json_bytes(example: Any) -> st.SearchStrategy[bytes]:
    """JSON texts of altered values."""
    return altered_value(example).map(to_json)


def msgpack_bytes(example: Any) -> st.SearchStrategy[bytes]:
    """msgpack texts of altered values, some of them altered as bytes."""
    packed = msgpack.packb(example)
    return altered_value(example).map(to_msgpack) | altered_bytes([packed])


def to_json(value: Any) -> bytes:
    """A value as JSON; what JSON cannot state becomes a text."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):
        return b"{}"


def to_msgpack(value: Any) -> bytes:
    """A value as msgpack."""
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


@cache
def workbook_file() -> bytes:
    """A small workbook."""
    book = openpyxl.Workbook()
    for line in (HEADER + ROWS).splitlines():
        book.active.append(line.split(";"))
    book.active.append(["Kia", "Picanto", 2017, "Essence", "Manuelle", 45_000.5, True])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@cache
def parquet_file() -> bytes:
    """A small Parquet file."""
    table = pa.table(
        {
            "Marque": ["Dacia", None],
            "Modèle": ["Logan", "Golf"],
            "Année": [2018, 2015],
            "Kilométrage": [1.5, float("nan")],
            "Date": pa.array([0, 2**40], pa.timestamp("s")),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, compression="none")
    return file.getvalue()


FLOATS = tuple(struct.pack(">d", each) for each in (float("inf"), float("nan"), -0.0, 1e308))
