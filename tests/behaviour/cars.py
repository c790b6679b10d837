"""Valid and invalid requests of `/predict`; every recording sends the same ones."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SEED = 20_261_129
VALID, INVALID, REPEATED = 380, 100, 20

KNOWN = (
    ("Dacia", "Logan"), ("DACIA", "logan"), ("داسيا", "لوغان"), ("Renault", "Clio"),
    ("renault", "CLIO"), ("رونو", "كليو"), ("Toyota", "Corolla"), ("toyota ", " Corolla"),
    ("تويوتا", "كورولا"), ("BMW", "X5"), ("bmw", "x 5"), ("Bmw", "X5"),
)  # fmt: skip
UNKNOWN = (
    ("Dacia", "Duster"), ("Renault", "Mégane"), ("Toyota", "Zorglub"), ("VW", "Golf 7"),
    ("Volkswagen", "Polo"), ("Mercedes-Benz", "Classe C"), ("Citroën", "C3"), ("Peugeot", "208"),
    ("Škoda", "Octavia"), ("مرسيدس", "C180"), ("Ferrari", "488"), ("Trabant", "601"),
    ("Hyundai", "i10"), ("Chery", "Tiggo"), ("<b>", "\"'&1"), ("Kia", "Picanto " * 5),
)  # fmt: skip
FUELS = (
    "Petrol", "Diesel", "Hybrid", "Electric", "LPG", "CNG", "Essence", "Gasoil", "diesel",
    " DIESEL ", "Hybride", "Électrique", "electrique", "GPL", "essence", "GASOIL",
)  # fmt: skip
GEARBOXES = (
    "Manual", "Automatic", "Manuelle", "automatique", "BVA", "Auto", "manuel", "BVM",
)  # fmt: skip
LANGUAGES = (
    None, None, None, "fr", "en", "ar", "de", "de, en;q=0.5", "en-GB,en;q=0.9,fr;q=0.8", "*",
    "fr-MA, ar;q=0.9", "en;q=0", "es;q=0.9, fr;q=0.1", "zz-invalid;;q=x",
)  # fmt: skip
QUERIES = (
    "", "", "", "", "coverage=0.5", "coverage=0.8", "coverage=0.95", "coverage=0.90",
    "include=contributions", "include=depreciation", "include=comparables",
    "include=contributions,depreciation,comparables", "include=comparables,contributions",
    "include=depreciation&coverage=0.5", "include=", "include=contributions%2Cdepreciation",
)  # fmt: skip
CONTENT_TYPES = (
    "application/json", "application/json", "application/json", "application/json; charset=utf-8",
)  # fmt: skip
OPTIONAL: dict[str, tuple[Any, ...]] = {
    "edition": ("1.6 VVT-i", "Lauréate", "", None, "x" * 120, "GT-Line / 1.5 dCi"),
    "owner": ("First", "Second", "Première main", "2ème main", "Third", "zweite Hand", None),
    "seller_type": ("Individual", "Dealer", "Particulier", "Professionnel", "Trustmark Dealer"),
    "mileage_mpg": (40, 55.25, "48 mpg", "39,9", 1, 400),
    "engine_cc": (1600, 1.6, "1,6 L", "1598 cm3", 998.04, "1.5", 50, 10_000, "2 000"),
    "max_power_bhp": (120, 75.5, "90 ch", "110 hp", 1, 2000, "85,5"),
    "torque_nm": (160, 250.26, "200 Nm", 1, 3000),
    "fiscal_power_cv": (6, 8, "7 CV", "8", 12, 1, 100),
    "city": ("Casablanca", "Fès", "الدار البيضاء", "Tanger ", "Oujda"),
    "condition": ("Excellent", "Très bon", "Good", "For parts", "endommagé", "brand-new-ish"),
    "origin": ("WW Morocco", "Imported new", "Dédouanée", "Not customs cleared", "WW au Maroc"),
    "doors": (5, 3, "5", 4.0, 9, 1),
}
ASKING = (95_000, 145_000, 60_000.5, "145 000 DH", "145.000,50", "88 000 درهم", 500, 3_000_000,
          1_500, "120000 MAD", "1,250,000.00 dhs", None)  # fmt: skip
MORE: tuple[dict[str, Any], ...] = (
    {"colour": "red"}, {"a/b": 1, "c~d": 2}, {"seats": [1, 2], "nested": {"a": {}}},
    {"x" * 80: None}, {f"unknown_{n}": n for n in range(25)}, {"الون": "أحمر"},
)  # fmt: skip
REQUIRED = ("company", "model", "year", "fuel", "transmission", "km_driven")
PLAIN: dict[str, Any] = {
    "company": "Dacia", "model": "Logan", "year": 2018, "fuel": "Diesel", "transmission": "Manual",
    "km_driven": 120_000,
}  # fmt: skip
WRONG: dict[str, tuple[Any, ...]] = {
    "company": (None, "", "  ", 5, True, [], {}, "x" * 81, "---"),
    "model": (None, "", 208, False, "y" * 81),
    "year": (1800, 1989, 2050, "deux mille", 2018.5, True, "", None, "2018-13-45", "31/02/2018",
             [1]),
    "fuel": ("banana", "", None, 7, "وقود", ["Diesel"], "d" * 200, "ديزل",
             "gas-oil"),
    "transmission": ("banana", None, 1, "semi", {"a": 1}, "يدوي", "أوتوماتيك"),
    "km_driven": (-1, 2_000_001, "beaucoup", None, True, "12 miles", 1e308, "1e5", [],
                  "12 000 000 km"),
    "asking_price_mad": (-5, 100_000_001, "sur demande", True, [], "12 €", "0"),
    "engine_cc": (0, 20_000, "gros", True, [1]),
    "doors": (0, 10, 4.5, "quatre", True),
    "fiscal_power_cv": (0, 101, 7.5, "sept"),
    "mileage_mpg": (0, 500, "x"),
    "edition": (5, "z" * 121, ["GT"]),
    "city": (7, "c" * 200),
}  # fmt: skip
INVALID_BODIES = (
    b"", b"  \n", b"{", b'{"year": NaN}', b"\xff\xfe\x00", b"null", b"5", b'"Dacia"', b"[]",
    b'[{"company": "Dacia"}]', b"true", b"\xef\xbb\xbf{}", b"{}", b"{'company': 'Dacia'}",
    b'{"company": "Dacia",}', b"[" * 600, b'{"year": 1e999}', b'{"company": "\xe9"}',
)  # fmt: skip
WRONG_QUERIES = (
    "coverage=0.7", "coverage=x", "include=magic", "include=contributions,magic", "colour=red",
    "coverage=0.5&coverage=0.9", "coverage=nan&include=x&y=1",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of `/predict`."""

    body: bytes
    query: str
    headers: dict[str, str]


def requests() -> Iterator[Request]:
    """Yield all requests in the order in which they are sent."""
    chance = random.Random(SEED)
    valid = [_request(chance, _car(chance)) for _ in range(VALID)]
    yield from valid
    yield from _invalid(chance)
    yield from chance.sample(valid, REPEATED)


def _car(chance: random.Random) -> dict[str, Any]:
    company, model = chance.choice(KNOWN if chance.random() < 0.7 else UNKNOWN)
    year = chance.randint(1992, 2023)
    car: dict[str, Any] = {
        "company": company,
        "model": model,
        "year": chance.choice((year, year, year, str(year), float(year), f"15/03/{year}",
                               f"{year}-06-01", f"mars {year}")),
        "fuel": chance.choice(FUELS),
        "transmission": chance.choice(GEARBOXES),
        "km_driven": _kilometres(chance, year),
    }  # fmt: skip
    for name, values in OPTIONAL.items():
        if chance.random() < chance.choice((0.0, 0.3, 0.9)):
            car[name] = chance.choice(values)
    if chance.random() < 0.4:
        car["asking_price_mad"] = chance.choice(ASKING)
    if chance.random() < 0.1:
        car |= chance.choice(MORE)
    names = list(car)
    chance.shuffle(names)
    return {name: car[name] for name in names}


def _kilometres(chance: random.Random, year: int) -> Any:
    number = chance.randint(5, 20) * 1000 * (2026 - year) + chance.randint(0, 999)
    if chance.random() < 0.08:
        number = chance.choice((0, 150, 1_890_000, 1_990_000, 999_999))
    grouped = f"{number:,}"
    return chance.choice((
        number, number, number, float(number), str(number), f"{number} km",
        grouped.replace(",", " ") + " km", grouped.replace(",", "."), grouped,
        f"{number // 1000}k", f"{number} - {number + 9_999}", grouped.replace(",", "\u202f"),
    ))  # fmt: skip


def _invalid(chance: random.Random) -> Iterator[Request]:
    bodies: list[tuple[bytes, str]] = [(body, "") for body in INVALID_BODIES]
    bodies += [(_json(PLAIN), query) for query in WRONG_QUERIES]
    bodies += [
        (_json(PLAIN | {name: value}), "") for name, values in WRONG.items() for value in values
    ]
    bodies += [(_json({k: v for k, v in PLAIN.items() if k != name}), "") for name in REQUIRED]
    chance.shuffle(bodies)
    bodies = bodies[: INVALID - 20]
    for _ in range(20):
        names = chance.sample(list(WRONG), chance.randint(2, 6))
        car = _car(chance) | {name: chance.choice(WRONG[name]) for name in names}
        bodies.append((_json(car), chance.choice(QUERIES)))
    for body, query in bodies:
        yield Request(body=body, query=query, headers=_headers(chance))


def _request(chance: random.Random, car: dict[str, Any]) -> Request:
    return Request(body=_json(car), query=chance.choice(QUERIES), headers=_headers(chance))


def _headers(chance: random.Random) -> dict[str, str]:
    headers = {"Content-Type": chance.choice(CONTENT_TYPES), "Prefer": "wait=30"}
    language = chance.choice(LANGUAGES)
    return headers if language is None else headers | {"Accept-Language": language}


def _json(car: Any) -> bytes:
    return json.dumps(car, ensure_ascii=False).encode()
