"""Exports of British, American and Gulf sites."""

from tests.exports.formats.cars import (
    KM_PER_MILE,
    MOROCCO,
    SLIP,
    USA,
    Export,
    Reading,
    pick,
    reading,
)
from tests.exports.formats.writing import ENGLISH, grouped, one_of, to_csv


def autotrader_uk() -> Export:
    """Scrape of a British site: miles in the cells, '2018 (68 reg)', pounds, engines in litres."""
    models = {
        "Mercedes-Benz Classe C": "C Class",
        "Mercedes-Benz Classe A": "A Class",
        "Citroën C-Elysée": "C-Elysee",
    }
    slips = {
        "Land Rover Range Rover Evoque": ("Land Rover", "Range Rover Evoqe"),
        "Ford Focus": ("Ford", "Fcous"),
    }
    rows, read = [], []
    for i, car in pick(MOROCCO, 6, 34):
        make, model = slips.get(
            car.title, (car.company.replace("ë", "e"), models.get(car.title, car.model))
        )
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        gear = (
            one_of(ENGLISH[car.gear] if i % 7 else ("Semi-Auto",), i)
            if car.gear == "Automatic"
            else "Manual"
        )
        rows.append(
            (
                make,
                model,
                f"{car.trim} {one_of(('5dr', '3dr', '', 'Estate'), i)}".strip(),
                f"{car.year} ({car.year % 100 + 50 * (car.month > 8)} reg)",
                f"{grouped(car.miles, ',')} miles",
                one_of(("Petrol Hybrid",) if car.fuel == "Hybrid" else ENGLISH[car.fuel], i),
                gear,
                f"{car.cc / 1000:.1f}L" if car.cc else "",
                f"{car.hp}BHP",
                f"£{grouped(car.price / 12.6, ',')}",
                one_of(("1 owner", "2 owners", "", "4 owners"), i),
            )
        )
        read.append(reading(car, km=car.miles * KM_PER_MILE, **changes))
    header = [
        "Make",
        "Model",
        "Variant",
        "Year",
        "Mileage",
        "Fuel Type",
        "Gearbox",
        "Engine Size",
        "Power",
        "Price",
        "Owners",
    ]
    return Export(
        name="autotrader-uk",
        file_name="autotrader_results.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
        said=frozenset({"currency", "miles"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


def used_cars_us() -> Export:
    """Public data set from an American site.

    'milage' with a slip, '51,000 mi.', '8-Speed A/T', dollars.
    """
    fuels = {
        "Petrol": ("Gasoline",),
        "Diesel": ("Diesel",),
        "Hybrid": ("Hybrid",),
        "Electric": ("",),
    }
    gears = {
        "Manual": ("6-Speed M/T", "5-Speed Manual", "M/T"),
        "Automatic": (
            "8-Speed A/T",
            "A/T",
            "6-Speed Automatic",
            "CVT Transmission",
            "Automatic, 9-Spd w/Sport Mode",
        ),
    }
    rows, read = [], []
    for i, car in pick(USA, 0, 30):
        changes: dict[str, object] = {"fuel": None} if car.fuel == "Electric" else {}
        gear = one_of(gears[car.gear], i)
        if i == 5:
            gear, changes["transmission"] = "\u2013", None
        rows.append(
            (
                car.company,
                f"{car.model} {car.trim}",
                car.year,
                f"{grouped(car.miles, ',')} mi.",
                one_of(fuels[car.fuel], i),
                f"{car.hp}.0HP {car.cc / 1000:.1f}L 4 Cylinder Engine Gasoline Fuel",
                gear,
                one_of(("Black", "Blue Metallic", "\u2013"), i),
                one_of(("None reported", "At least 1 accident or damage reported", ""), i),
                one_of(("Yes", ""), i),
                f"${grouped(car.price / 10, ',')}",
            )
        )
        read.append(reading(car, km=car.miles * KM_PER_MILE, **changes))
    header = [
        "brand",
        "model",
        "model_year",
        "milage",
        "fuel_type",
        "engine",
        "transmission",
        "ext_col",
        "accident",
        "clean_title",
        "price",
    ]
    return Export(
        name="used-cars-us",
        file_name="used_cars.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
        said=frozenset({"currency", "miles"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


def craigslist() -> Export:
    """Public data set from American small ads.

    Lower case, floats, 'gas', 'other'; the odometer's unit is not stated.
    """
    fuels = {
        "Petrol": ("gas",),
        "Diesel": ("diesel",),
        "Hybrid": ("hybrid",),
        "Electric": ("electric",),
    }
    rows: list[tuple[object, ...]] = []
    read: list[Reading | None] = []
    for i, car in pick(USA, 7, 30):
        changes: dict[str, object] = {}
        make, model, gear, fuel = (
            car.company.lower(),
            f"{car.model} {car.trim}".lower(),
            car.gear.lower(),
            fuels[car.fuel][0],
        )
        if i % 9 == 4:
            gear, changes["transmission"] = "other", None
        if i == 8:
            make, model = "", f"{car.company} {car.model}".lower()
        if i == 15:
            fuel, changes["fuel"] = "", None
        rows.append(
            (
                7310000000 + i,
                f"https://example.org/cto/{i}.html",
                one_of(("austin", "denver", "boise"), i),
                car.price // 10,
                f"{car.year}.0",
                make,
                model,
                one_of(("excellent", "good", "like new", ""), i),
                one_of(("4 cylinders", "6 cylinders", "other", ""), i),
                fuel,
                f"{car.km}.0",
                "clean",
                gear,
                one_of(("fwd", "4wd", "rwd", ""), i),
                one_of(("sedan", "SUV", "pickup", ""), i),
                f"2021-04-1{i % 9}T12:31:18-0500",
            )
        )
        read.append(reading(car, **changes))
    rows[22] = (*rows[22][:4], "", *rows[22][5:])
    read[22] = None
    header = [
        "id",
        "url",
        "region",
        "price",
        "year",
        "manufacturer",
        "model",
        "condition",
        "cylinders",
        "fuel",
        "odometer",
        "title_status",
        "transmission",
        "drive",
        "type",
        "posting_date",
    ]
    return Export(
        name="craigslist",
        file_name="vehicles.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
        prices_in_mad=False,
    )


def dubizzle() -> Export:
    """Export of a Gulf site: capital letters, dirhams of another country, power as a band."""
    slips = {
        "Toyota RAV4": ("TOYOTA", "RAV-4"),
        "Volkswagen Tiguan": ("VOLKSWAGEN", "TIGUAAN"),
        "Kia Picanto": ("KIA", "PICNTO"),
    }
    models = {
        "Mercedes-Benz Classe C": "C-CLASS",
        "Mercedes-Benz Classe A": "A-CLASS",
        "Citroën C-Elysée": "C ELYSEE",
    }
    rows, read = [], []
    for i, car in pick(MOROCCO, 17, 32):
        make, model = slips.get(
            car.title, (car.company.upper(), models.get(car.title, car.model).upper())
        )
        changes: dict[str, object] = (
            {"match": SLIP} if car.title in slips and car.title != "Toyota RAV4" else {}
        )
        low = car.hp // 100 * 100
        km = grouped(car.km, ",")
        if i == 13:
            km, changes["km"] = "", None
        rows.append(
            (
                f"{make} {model} {car.trim}",
                make,
                model,
                car.year,
                km,
                one_of(("GCC Specs", "European Specs", "Other"), i),
                one_of(ENGLISH[car.fuel], i),
                f"{car.gear} Transmission",
                f"{low} - {low + 99} HP",
                f"AED {grouped(car.price / 2.7, ',')}",
                one_of(("3rd June 2025", "12th May 2025"), i),
            )
        )
        read.append(reading(car, **changes))
    header = [
        "Title",
        "Make",
        "Model",
        "Year",
        "Kilometers",
        "Regional Specs",
        "Fuel Type",
        "Transmission Type",
        "Horsepower",
        "Price (AED)",
        "Posted On",
    ]
    return Export(
        name="dubizzle",
        file_name="uae motors export.csv",
        media_type="text/csv",
        content=to_csv(header, rows, quote_all=True).encode("utf-8-sig"),
        rows=tuple(read),
        said=frozenset({"currency"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


WRITERS = (autotrader_uk, used_cars_us, craigslist, dubizzle)
