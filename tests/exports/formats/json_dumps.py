"""Answers of web APIs saved as JSON."""

import json

from tests.exports.formats.cars import MOROCCO, SLIP, Export, pick, reading
from tests.exports.formats.writing import FRENCH, one_of


def small_ads_lines() -> Export:
    """One object per line with camelCase names, nulls, and nested members that are no columns."""
    slips = {
        "Renault Clio": ("Renault", "Cloi"),
        "Mazda CX-5": ("Mazdaa", "CX-5"),
        "Opel Astra": ("Opel", "Asrta"),
    }
    lines, read = [], []
    for i, car in pick(MOROCCO, 3, 34):
        make, model = slips.get(car.title, (car.company, car.model))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        km: object = car.km
        if i == 10:
            km = changes["km"] = None
        lines.append(
            json.dumps(
                {
                    "adId": 55_000_000 + i,
                    "subject": f"{car.title} {car.year}",
                    "brand": make,
                    "model": int(model) if model.isdecimal() else model,
                    "modelYear": car.year if i % 2 else str(car.year),
                    "fuelType": one_of(FRENCH[car.fuel], i),
                    "gearboxType": one_of(FRENCH[car.gear], i),
                    "mileageKm": km,
                    "fiscalPower": f"{car.fiscal} CV",
                    "price": car.price if i % 5 else None,
                    "firstHand": bool(i % 2),
                    "seller": {"type": "PRIVATE", "name": None},
                    "images": [f"https://example.org/{i}/1.jpg"],
                },
                ensure_ascii=bool(i % 2),
            )
        )
        read.append(reading(car, **changes))
    return Export(
        name="small-ads-lines",
        file_name="ads.jsonl",
        media_type="application/x-ndjson",
        content="\n".join([*lines, ""]).encode(),
        rows=tuple(read),
    )


def api_dump() -> Export:
    """A JSON array whose cars are nested objects, and prices objects with a currency."""
    items, read = [], []
    for i, car in pick(MOROCCO, 24, 30):
        changes: dict[str, object] = {}
        vehicle = {
            "make": car.company,
            "model": car.model,
            "year": car.year,
            "fuelType": car.fuel.lower(),
            "transmission": car.gear.lower(),
        }
        if i == 12:
            vehicle["transmission"] = ""
            changes["transmission"] = None
        items.append(
            {
                "id": f"a{i}",
                "vehicle": vehicle,
                "mileage": car.km,
                "price": {"amount": car.price, "currency": "MAD"},
                "location": {"city": car.city, "country": "MA"},
                "tags": ["used", one_of(("top", "new"), i)],
            }
        )
        read.append(reading(car, **changes))
    return Export(
        name="api-dump",
        file_name="response.json",
        media_type="application/json",
        content=json.dumps(items, ensure_ascii=False, indent=1).encode(),
        rows=tuple(read),
    )


WRITERS = (small_ads_lines, api_dump)
