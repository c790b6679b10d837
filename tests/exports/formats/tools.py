"""Files as pandas, R, spreadsheets and reporting tools write them."""

from tests.exports.formats.cars import KM_PER_MILE, MOROCCO, SLIP, Export, Reading, pick, reading
from tests.exports.formats.writing import ENGLISH, FRENCH, grouped, one_of, to_csv


def pandas_index() -> Export:
    """`DataFrame.to_csv` with its index.

    A nameless first column, floats for whole numbers, blanks for NaN, lists.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 2, 32):
        changes: dict[str, object] = {}
        fuel, gear, km = car.fuel.lower(), car.gear.lower(), f"{car.km}.0"
        if i % 11 == 3:
            km, changes["km"] = "", None
        if i % 13 == 5:
            gear, changes["transmission"] = "", None
        if i == 17:
            fuel, changes["fuel"] = "", None
        rows.append(
            (
                i * 3,
                car.company.lower(),
                car.model.lower(),
                f"{car.year}.0",
                fuel,
                gear,
                km,
                f"{car.cc}.0" if car.cc and i % 4 else "",
                f"{float(car.hp)}",
                f"{float(car.price)}" if i % 5 else "",
                one_of(("['ABS', 'Clim']", "[]", "['ESP']"), i),
                one_of(("True", "False"), i),
            )
        )
        read.append(reading(car, **changes))
    header = [
        "",
        "make",
        "model",
        "year",
        "fuel",
        "gearbox",
        "mileage_km",
        "engine_cc",
        "power_hp",
        "price_mad",
        "options",
        "first_owner",
    ]
    return Export(
        name="pandas-index",
        file_name="df_clean.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
    )


def r_write_csv2() -> Export:
    """R's `write.csv2`.

    Row names under an empty header, quoted texts, NA, decimal commas, 1e+05 for 100000.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 9, 31):
        changes: dict[str, object] = {}
        km, fuel = str(car.km), f'"{one_of(FRENCH[car.fuel], i)}"'
        if i % 10 == 2:
            km, changes["km"] = "1e+05", 100_000
        if i == 6:
            km, changes["km"] = "NA", None
        if i == 16:
            fuel, changes["fuel"] = "NA", None
        cells = (
            f'"{i + 1}"',
            f'"{car.company}"',
            f'"{car.model}"',
            car.year,
            fuel,
            f'"{one_of(FRENCH[car.gear], i)}"',
            km,
            f"{car.cc / 1000:.3f}".replace(".", ",") if car.cc else "NA",
            f"{car.price},5",
        )
        rows.append(";".join(map(str, cells)))
        read.append(reading(car, **changes))
    header = '"";"marque";"modele";"annee";"carburant";"boite";"km";"cylindree";"prix"'
    return Export(
        name="r-write-csv2",
        file_name="voitures.csv",
        media_type="text/csv",
        content="\n".join([header, *rows, ""]).encode(),
        rows=tuple(read),
    )


def excel_dos() -> Export:
    """Excel's 'CSV (MS-DOS)' on a French machine: code page 850, semicolons, dates."""
    fuels = {**FRENCH, "Petrol": ("Essence", "essence s/p"), "Electric": ("Électricité",)}
    slips = {"Citroën Berlingo": ("Citroën", "Berlnigo"), "Fiat Tipo": ("FIAT", "Tippo")}
    rows, read = [], []
    for i, car in pick(MOROCCO, 8, 33):
        make, model = slips.get(car.title, (car.company, car.model))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        rows.append(
            (
                make,
                model,
                f"{1 + i % 27:02}/{car.month:02}/{car.year}",
                one_of(fuels[car.fuel], i),
                one_of(FRENCH[car.gear], i),
                car.km,
                f"{car.fiscal} CV",
                f"{car.price},00",
                car.city,
                one_of(("Gris foncé", "Bleu métallisé", "Noir"), i),
            )
        )
        read.append(reading(car, **changes))
    header = (
        "Marque;Modèle;Mise en circulation;Énergie;Boîte;Kilométrage;"
        "Puissance fiscale;Prix demandé;Ville;Couleur"
    )
    return Export(
        name="excel-dos",
        file_name="PARC.CSV",
        media_type="application/vnd.ms-excel",
        content=to_csv(header.split(";"), rows, delimiter=";", line_end="\r\n").encode("cp850"),
        rows=tuple(read),
        said=frozenset({"encoding"}),
    )


def sheet_with_units() -> Export:
    """A shared sheet with a row of units below the names: miles and kilowatts."""
    rows: list[tuple[object, ...]] = [("", "", "", "", "", "mi", "kW", "cc", "MAD", "")]
    read = []
    for i, car in pick(MOROCCO, 13, 30):
        rows.append(
            (
                car.company,
                car.model,
                car.year,
                one_of(ENGLISH[car.fuel], i),
                one_of(ENGLISH[car.gear], i),
                grouped(car.miles, ","),
                car.kw,
                car.cc or "",
                grouped(car.price, ","),
                one_of(("ok", "", "to check?"), i),
            )
        )
        read.append(reading(car, km=car.miles * KM_PER_MILE))
    header = [
        "Brand",
        "Model",
        "Year",
        "Fuel",
        "Gearbox",
        "Odometer",
        "Power",
        "Displacement",
        "Price",
        "Remarks",
    ]
    return Export(
        name="sheet-with-units",
        file_name="Stock - Sheet1.csv",
        media_type="text/csv",
        content=to_csv(header, rows, line_end="\r\n").encode(),
        rows=tuple(read),
        said=frozenset({"units-row", "miles"}),
    )


def airtable() -> Export:
    """Airtable's CSV.

    A primary 'Name', miles in the header, notes over several lines, attachments, check marks.
    """
    slips = {"Hyundai Tucson": ("Hyundai", "Tuscon"), "Seat Ibiza": ("SEAT", "Ibzia")}
    rows, read = [], []
    for i, car in pick(MOROCCO, 4, 32):
        make, model = slips.get(car.title, (car.company, car.model))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        miles = grouped(car.miles, ",")
        km: float | None = car.miles * KM_PER_MILE
        if i == 19:
            miles, km = "", None
        rows.append(
            (
                f"{car.title} #{i}",
                make,
                model,
                car.year,
                one_of(ENGLISH[car.fuel], i),
                one_of(ENGLISH[car.gear], i),
                miles,
                f"MAD{grouped(car.price, ',')}.00",
                one_of(("In stock", "Sold", "In preparation"), i),
                one_of(("New tyres,\nserviced 5/2025", "", 'Says "like new"'), i),
                f"IMG_{i}.jpg (https://example.org/a/{i})",
                one_of(("checked", ""), i),
            )
        )
        read.append(reading(car, km=km, **changes))
    header = (
        "Name,Make,Model,Model Year,Fuel Type,Transmission,Odometer (mi),"
        "Asking Price,Status,Notes,Photos,Published"
    )
    return Export(
        name="airtable",
        file_name="Vehicles-Grid view.csv",
        media_type="text/csv",
        content=to_csv(header.split(","), rows).encode("utf-8-sig"),
        rows=tuple(read),
        said=frozenset({"miles"}),
    )


def power_bi() -> Export:
    """Data of a visual as Power BI exports it.

    'Somme de …' headers, and the applied filters as a last line.
    """
    rows: list[tuple[object, ...]] = []
    read: list[Reading | None] = []
    for i, car in pick(MOROCCO, 16, 34):
        rows.append(
            (
                car.company,
                car.model,
                car.year,
                one_of(FRENCH[car.fuel], i),
                one_of(FRENCH[car.gear], i),
                car.km,
                f"{car.price}.00",
            )
        )
        read.append(reading(car))
    rows.append(("Filtres appliqués :\nSite est Casablanca", "", "", "", "", "", ""))
    read.append(None)
    header = (
        "Marque",
        "Modèle",
        "Année",
        "Type de carburant",
        "Boîte de vitesses",
        "Somme de Kilométrage",
        "Moyenne de Prix",
    )
    return Export(
        name="power-bi",
        file_name="data.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode("utf-8-sig"),
        rows=tuple(read),
    )


WRITERS = (pandas_index, r_write_csv2, excel_dos, sheet_with_units, airtable, power_bi)
