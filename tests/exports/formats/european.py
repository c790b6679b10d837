"""Exports in German, Dutch and Spanish."""

from tests.exports.formats.cars import KNOWN, MOROCCO, SLIP, Export, pick, reading
from tests.exports.formats.writing import GERMAN, grouped, one_of, to_csv

GERMAN_MODELS = {
    "Mercedes-Benz Classe C": "C-Klasse",
    "Mercedes-Benz Classe A": "A-Klasse",
    "Renault Mégane": "Megane",
    "Citroën C-Elysée": "C-Elysee",
}


def mobile_de() -> Export:
    """Scrape of a German site.

    Windows-1252, first registration as MM/YYYY, power as '81 kW (110 PS)', euros.
    """
    slips = {
        "Opel Corsa": ("Opel", "Corssa"),
        "Nissan Qashqai": ("Nissan", "Quashqai"),
        "Seat Ibiza": ("Seat", "Ibizza"),
    }
    rows, read = [], []
    for i, car in pick(MOROCCO, 5, 33):
        make, model = slips.get(car.title, (car.company, GERMAN_MODELS.get(car.title, car.model)))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        gear = one_of(GERMAN[car.gear], i)
        if i == 8:
            gear, changes["transmission"] = "Keine Angabe", None
        rows.append(
            (
                make,
                model,
                f"{car.month:02}/{car.year}",
                f"{grouped(car.km, '.')} km",
                one_of(GERMAN[car.fuel], i),
                gear,
                f"{car.kw} kW ({car.hp} PS)",
                f"{grouped(car.cc, '.')} cm³" if car.cc else "",
                f"{grouped(car.price / 10.8, '.')} €",
                one_of(("4/5", "2/3", ""), i),
                one_of(("Grau Metallic", "Schwarz", "Weiß"), i),
            )
        )
        read.append(reading(car, **changes))
    header = (
        "Marke;Modell;Erstzulassung;Kilometerstand;Kraftstoff;"
        "Getriebe;Leistung;Hubraum;Preis;Türen;Farbe"
    )
    return Export(
        name="mobile-de",
        file_name="mobile.de Parkplatz.csv",
        media_type="text/csv",
        content=to_csv(header.split(";"), rows, delimiter=";", line_end="\r\n").encode("cp1252"),
        rows=tuple(read),
        said=frozenset({"currency"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


def german_dealer() -> Export:
    """Stock list of a German dealer system.

    Abbreviated headers, the version in the model column, dates with dots.
    """
    rows, read = [], []
    for i, car in pick(MOROCCO, 14, 30):
        model = GERMAN_MODELS.get(car.title, car.model)
        changes: dict[str, object] = {}
        fuel = one_of(GERMAN[car.fuel], i)
        if i == 10:
            fuel, changes["fuel"] = "k. A.", None
        rows.append(
            (
                f"GW-{2200 + i}",
                "VW" if car.company == "Volkswagen" else car.company,
                f"{model} {car.trim}",
                f"{10 + i % 15:02}.{car.month:02}.{car.year}",
                grouped(car.km, "."),
                fuel,
                one_of(GERMAN[car.gear], i),
                car.kw,
                car.hp,
                car.cc or "",
                f"{grouped(car.price / 10.8, '.')},00",
            )
        )
        read.append(reading(car, **changes))
    header = (
        "Fahrzeug-Nr;Hersteller;Modellbezeichnung;EZ;KM-Stand;Kraftstoffart;"
        "Getriebeart;KW;PS;Hubraum (ccm);VK brutto (EUR)"
    )
    return Export(
        name="german-dealer",
        file_name="Bestand_GW.csv",
        media_type="text/csv",
        content=to_csv(header.split(";"), rows, delimiter=";", line_end="\r\n").encode("cp1252"),
        rows=tuple(read),
        said=frozenset({"currency"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


def dutch_dealer() -> Export:
    """Stock list of a Dutch dealer.

    'Handgeschakeld', prices as '€ 12.950,-', power in pk (horse power).
    """
    words = {
        "Diesel": ("Diesel",),
        "Petrol": ("Benzine",),
        "Hybrid": ("Hybride benzine", "Hybride"),
        "Electric": ("Elektrisch",),
        "Manual": ("Handgeschakeld",),
        "Automatic": ("Automaat",),
    }
    slips = {"Dacia Duster": ("Dacia", "Dustre"), "Toyota Yaris": ("Toyota", "Yarris")}
    rows, read = [], []
    for i, car in pick(MOROCCO, 20, 32):
        make, model = slips.get(car.title, (car.company, GERMAN_MODELS.get(car.title, car.model)))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        km = grouped(car.km, ".")
        if i == 12:
            km, changes["km"] = "onbekend", None
        rows.append(
            (
                f"{i:02}-XKB-{i % 9}",
                make,
                model,
                car.trim,
                car.year,
                km,
                one_of(words[car.fuel], i),
                one_of(words[car.gear], i),
                car.hp,
                f"{grouped(car.cc, '.')} cc" if car.cc else "",
                f"€ {grouped(car.price / 10.8, '.')},-",
            )
        )
        read.append(reading(car, **changes))
    header = (
        "Kenteken;Merk;Model;Uitvoering;Bouwjaar;Kilometerstand;Brandstof;"
        "Transmissie;Vermogen (pk);Cilinderinhoud;Vraagprijs"
    )
    return Export(
        name="dutch-dealer",
        file_name="voorraad.csv",
        media_type="text/csv",
        content=to_csv(header.split(";"), rows, delimiter=";").encode("utf-8-sig"),
        rows=tuple(read),
        said=frozenset({"currency"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


def spanish_portal() -> Export:
    """Export of a Spanish site.

    'Gasolina', 'Cambio', 'Potencia (CV)' which is horse power and not fiscal power.
    """
    words = {
        "Diesel": ("Diésel", "Diesel"),
        "Petrol": ("Gasolina",),
        "Hybrid": ("Híbrido",),
        "Electric": ("Eléctrico",),
        "Manual": ("Manual",),
        "Automatic": ("Automático", "Automática"),
    }
    models = {
        "Mercedes-Benz Classe C": "Clase C",
        "Mercedes-Benz Classe A": "Clase A",
        "Citroën C-Elysée": "C-Elysee",
    }
    slips = {"Renault Captur": ("RENAULT", "Capture"), "Hyundai Accent": ("HYUNDAY", "Accent")}
    rows, read = [], []
    for i, car in pick(MOROCCO, 28, 32):
        make, model = slips.get(car.title, (car.company.upper(), models.get(car.title, car.model)))
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        if model.startswith("Clase"):  # one letter from the French name: either match is right
            changes["match"] = KNOWN | SLIP
        rows.append(
            (
                make,
                model,
                car.trim,
                car.year,
                f"{grouped(car.km, '.')} km",
                one_of(words[car.fuel], i),
                one_of(words[car.gear], i),
                f"{car.hp} CV",
                f"{grouped(car.price / 10.8, '.')} €",
                one_of(("Málaga", "Cádiz", "Madrid"), i),
            )
        )
        read.append(reading(car, **changes))
    header = "Marca;Modelo;Versión;Año;Kilómetros;Combustible;Cambio;Potencia (CV);Precio;Provincia"
    return Export(
        name="spanish-portal",
        file_name="coches ocasión.csv",
        media_type="text/csv",
        content=to_csv(header.split(";"), rows, delimiter=";").encode(),
        rows=tuple(read),
        said=frozenset({"currency"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


WRITERS = (mobile_de, german_dealer, dutch_dealer, spanish_portal)
