"""Dumps of databases and exports of dealer and ERP systems."""

from tests.exports.formats.cars import KM_PER_MILE, MOROCCO, SLIP, Export, pick, reading
from tests.exports.formats.writing import ENGLISH, grouped, one_of, to_csv


def mysql_dump() -> Export:
    r"""MySQL's tab-separated text with \N for NULL."""
    rows, read = [], []
    for i, car in pick(MOROCCO, 1, 32):
        changes: dict[str, object] = {}
        km, gear = str(car.km), car.gear.lower()
        if i % 8 == 5:
            km, changes["km"] = r"\N", None
        if i % 9 == 6:
            gear, changes["transmission"] = r"\N", None
        rows.append(
            "\t".join(
                (
                    str(9000 + i),
                    car.company,
                    car.model,
                    f"{car.year}-{car.month:02}-01",
                    car.fuel.lower(),
                    gear,
                    km,
                    str(car.fiscal) if i % 3 else r"\N",
                    f"{car.price}.00" if i % 4 else r"\N",
                    "2025-06-30 08:15:00",
                )
            )
        )
        read.append(reading(car, **changes))
    header = (
        "id\tbrand\tmodel\tfirst_registration\tfuel\tgearbox\tmileage\tfiscal_power\t"
        "asking_price\tupdated_at"
    )
    return Export(
        name="mysql-dump",
        file_name="cars.txt",
        media_type="text/plain",
        content="\n".join([header, *rows, ""]).encode(),
        rows=tuple(read),
    )


def postgres_copy() -> Export:
    """PostgreSQL's `COPY … CSV HEADER`.

    Time stamps with a zone, t/f, numeric with decimals, JSON in a cell.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 10, 31):
        changes: dict[str, object] = {}
        fuel = car.fuel.upper()
        if i == 7:
            fuel, changes["fuel"] = "UNKNOWN", None
        rows.append(
            (
                f"7d1f{i:04}-0000-4000-8000-00000000{i:04}",
                car.company,
                car.model,
                f"{car.year}-{car.month:02}-15 00:00:00+00",
                fuel,
                car.gear.upper(),
                f"{car.km}.00",
                f"{car.cc}" if car.cc else "",
                f"{car.kw}",
                f"{car.price}.0000",
                one_of(("t", "f"), i),
                '{"abs": true, "airbags": 4}' if i % 2 else "",
            )
        )
        read.append(reading(car, **changes))
    header = [
        "vehicle_id",
        "make",
        "model",
        "first_registration_date",
        "fuel_type",
        "transmission",
        "mileage_km",
        "engine_size_cc",
        "power_kw",
        "asking_price",
        "first_owner",
        "equipment",
    ]
    return Export(
        name="postgres-copy",
        file_name="vehicles.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
    )


def sql_server() -> Export:
    """SQL Server Management Studio's result as Unicode text.

    UTF-16 with tabs, NULL, CamelCase names.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 18, 33):
        changes: dict[str, object] = {}
        km = f"{car.km}.00"
        if i % 12 == 4:
            km, changes["km"] = "NULL", None
        rows.append(
            (
                40_000 + i,
                car.company,
                car.model,
                car.year,
                one_of(ENGLISH[car.fuel], i),
                one_of(ENGLISH[car.gear], i),
                km,
                car.cc or "NULL",
                car.kw,
                f"{car.price}.0000" if i % 6 else "NULL",
                "2025-05-12 14:03:27.117",
            )
        )
        read.append(reading(car, **changes))
    header = (
        "VehicleId,MakeName,ModelName,ModelYear,FuelType,GearboxType,"
        "OdometerKm,EngineCapacity,PowerKw,AskingPrice,CreatedAt"
    )
    return Export(
        name="sql-server",
        file_name="Results.txt",
        media_type="text/plain",
        content=to_csv(header.split(","), rows, delimiter="\t", line_end="\r\n").encode("utf-16"),
        rows=tuple(read),
    )


def dbase() -> Export:
    """A table of an old French garage program.

    Names of at most ten letters, capitals, cells padded with spaces.
    """
    ascii_names = str.maketrans("ËËÉ", "EEE")
    fuels = {"Diesel": "DIESEL", "Petrol": "ESSENCE", "Hybrid": "HYBRIDE", "Electric": "ELECTRIQUE"}
    gears = {"Manual": "MANUELLE", "Automatic": "AUTO"}
    slips = {"Nissan Qashqai": ("NISSAN", "QASHQUAI"), "Jeep Renegade": ("JEEP", "RENAGADE")}
    rows, read = [], []
    for i, car in pick(MOROCCO, 12, 32):
        make, model = slips.get(car.title, (car.company.upper(), car.model.upper()))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        rows.append(
            (
                f"{i:06}",
                f"{make.translate(ascii_names):<15}",
                f"{model.translate(ascii_names):<20}",
                car.year,
                f"{fuels[car.fuel]:<10}",
                f"{gears[car.gear]:<10}",
                f"{car.km:>10}",
                f"{car.fiscal:>3}",
                f"{car.price:>12}.00",
            )
        )
        read.append(reading(car, **changes))
    header = "NUM_STOCK,MARQUE,MODELE,ANNEE,CARBURANT,BOITE_VITE,KILOMETRAG,PUISS_FISC,PRIX_VENTE"
    return Export(
        name="dbase",
        file_name="STOCK.TXT",
        media_type="text/plain",
        content=to_csv(header.split(","), rows, line_end="\r\n").encode("ascii"),
        rows=tuple(read),
        said=frozenset({"near-header"}),
    )


def dealer_system() -> Export:
    """A dealer management system.

    Technical headers, one-letter codes, compact dates, German number format.
    """
    fuels = {"Diesel": "D", "Petrol": "P", "Hybrid": "H", "Electric": "E"}
    rows, read = [], []
    for i, car in pick(MOROCCO, 22, 32):
        rows.append(
            (
                f"{5_000_100 + i:010}",
                car.company.upper(),
                f"{car.model} {car.trim}".upper(),
                f"{car.year}{car.month:02}{1 + i % 28:02}",
                grouped(car.km, "."),
                fuels[car.fuel],
                car.gear[0],
                car.cc or "",
                car.kw,
                f"{grouped(car.price, '.')},00",
                "MAD",
                one_of(("A", "R", "V"), i),
            )
        )
        # "E" alone is petrol in French lists ("essence"): it is not guessed.
        changes: dict[str, object] = {"fuel": None} if car.fuel == "Electric" else {}
        read.append(reading(car, **changes))
    header = (
        "VEHICLE_NO;BRAND_TXT;MODEL_TXT;FIRST_REG_DT;MILEAGE_KM;FUEL_TYPE_CD;"
        "TRANSM_CD;ENG_CCM;POWER_KW;SALES_PRICE;CURRENCY;STATUS"
    )
    return Export(
        name="dealer-system",
        file_name="ZVEH_STOCK_20250630.CSV",
        media_type="text/csv",
        content=to_csv(header.split(";"), rows, delimiter=";", line_end="\r\n").encode("utf-8"),
        rows=tuple(read),
    )


def odoo() -> Export:
    """Odoo's fleet.

    'Brand/Model' in the model column, the odometer's unit in a column of its own (miles).
    """
    fuels = {
        "Diesel": "Diesel",
        "Petrol": "Gasoline",
        "Hybrid": "Full Hybrid",
        "Electric": "Electric",
    }
    rows, read = [], []
    for i, car in pick(MOROCCO, 21, 30):
        rows.append(
            (
                f"__export__.fleet_vehicle_{i}_a1b2",
                f"1-ABC-{100 + i}",
                f"{car.company}/{car.model}",
                car.year,
                fuels[car.fuel],
                car.gear,
                f"{car.miles}.0",
                "mi",
                car.hp,
                one_of(("New Request", "Registered", "To Order"), i),
            )
        )
        read.append(reading(car, km=car.miles * KM_PER_MILE))
    header = [
        "id",
        "License Plate",
        "Model",
        "Model Year",
        "Fuel Type",
        "Transmission",
        "Last Odometer",
        "Odometer Unit",
        "Horsepower",
        "Status",
    ]
    return Export(
        name="odoo",
        file_name="Vehicle (fleet.vehicle).csv",
        media_type="text/csv",
        content=to_csv(header, rows, quote_all=True).encode(),
        rows=tuple(read),
        said=frozenset({"title", "miles"}),
    )


def catalogue_feed() -> Export:
    """The vehicle feed of a social network's catalogue.

    Dotted names, capitals, price with its currency in the cell.
    """
    fuels = {"Diesel": "DIESEL", "Petrol": "GASOLINE", "Hybrid": "HYBRID", "Electric": "ELECTRIC"}
    rows, read = [], []
    for i, car in pick(MOROCCO, 19, 32):
        changes: dict[str, object] = {}
        fuel, gear = fuels[car.fuel], car.gear.upper()
        if i == 11:
            fuel, changes["fuel"] = "NONE", None
        if i == 20:
            gear, changes["transmission"] = "OTHER", None
        rows.append(
            (
                f"veh-{i}",
                f"{car.title} {car.trim} {car.year}",
                f"Belle {car.model}, visible à {car.city}",
                f"https://example.org/v/{i}",
                car.company,
                car.model,
                car.year,
                car.km,
                "KM",
                gear,
                fuel,
                one_of(("SEDAN", "SUV", "HATCHBACK"), i),
                f"{car.price}.00 MAD",
                "USED",
            )
        )
        read.append(reading(car, **changes))
    header = [
        "vehicle_id",
        "title",
        "description",
        "url",
        "make",
        "model",
        "year",
        "mileage.value",
        "mileage.unit",
        "transmission",
        "fuel_type",
        "body_style",
        "price",
        "state_of_vehicle",
    ]
    return Export(
        name="catalogue-feed",
        file_name="feed.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
    )


WRITERS = (mysql_dump, postgres_copy, sql_server, dbase, dealer_system, odoo, catalogue_feed)
