"""Exports of French and Moroccan marketplaces."""

from tests.exports.formats.cars import MOROCCO, SLIP, Export, Reading, pick, reading
from tests.exports.formats.writing import FRENCH, grouped, one_of, to_csv


def la_centrale() -> Export:
    """Scrape of a French site.

    Prices in euros, narrow no-break spaces, 'Mécanique' for a manual gearbox.
    """
    gears = {
        "Manual": ("Mécanique", "mécanique 6 rapports", "Boîte mécanique"),
        "Automatic": ("Automatique", "Auto"),
    }
    slips = {
        "Peugeot 208": ("PEUGOT", "208"),
        "Hyundai Tucson": ("HYUNDAI", "TUCSN"),
        "Fiat Tipo": ("FIAT", "TIPPO"),
    }
    rows, read = [], []
    for i, car in pick(MOROCCO, 0, 34):
        make, model = slips.get(car.title, (car.company.upper(), car.model))
        fuel, gear = one_of(FRENCH[car.fuel], i), one_of(gears[car.gear], i)
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        if i == 6:
            make, model = "MERCEDES", "CLASSE C 220"
        if i == 11:
            gear, changes["transmission"] = "", None
        rows.append(
            (
                make,
                model,
                car.trim.upper(),
                car.year,
                f"{grouped(car.km, chr(0x202F))} km",
                fuel,
                gear,
                f"{grouped(car.price / 10.8, chr(0x202F))} €",
                f"{90 + i} g/km",
                f"{car.hp} ch",
                one_of(("12 mois", "", "6 mois", "-"), i),
                one_of(("75", "13", "69", "2A"), i),
            )
        )
        read.append(reading(car, **changes))
    header = [
        "Marque",
        "Modèle",
        "Version",
        "Année",
        "Kilométrage",
        "Énergie",
        "Boîte",
        "Prix",
        "CO2",
        "Puissance réelle",
        "Garantie",
        "Département",
    ]
    return Export(
        name="la-centrale",
        file_name="annonces lacentrale.csv",
        media_type="text/csv",
        content=to_csv(header, rows, delimiter=";").encode(),
        rows=tuple(read),
        said=frozenset({"currency"}),
        foreign_currency=True,
        prices_in_mad=False,
    )


def moteur_ma() -> Export:
    """Scrape of a Moroccan site: brand, model and version in the title only."""
    slips = {
        "Volkswagen Golf": "Volkswagen Golff 2.0 TDI",
        "Kia Sportage": "KIA Sportge 1.6 CRDi",
        "Skoda Octavia": "SKODA Octvia 2.0 TDI DSG",
    }
    rows: list[tuple[object, ...]] = []
    read: list[Reading | None] = []
    for i, car in pick(MOROCCO, 3, 36):
        title = slips.get(
            car.title, f"{one_of((car.company, car.company.upper()), i)} {car.model} {car.trim}"
        )
        changes: dict[str, object] = {"match": SLIP} if car.title in slips else {}
        fuel, km = one_of(FRENCH[car.fuel], i), grouped(car.km, " ")
        if i == 9:
            km, changes["km"] = "N/C", None
        if i == 14:
            fuel, changes["fuel"] = "-", None
        rows.append(
            (
                title,
                one_of(
                    (
                        f"{grouped(car.price, ' ')} Dhs",
                        f"{grouped(car.price, '.')} DH",
                        "Prix à débattre",
                    ),
                    i,
                ),
                car.city,
                car.year,
                one_of(FRENCH[car.gear], i),
                fuel,
                km,
                f"{car.fiscal} cv",
                f"{1 + i % 28:02}/0{1 + i % 9}/2025",
            )
        )
        read.append(reading(car, **changes))
    rows[20] = ("Voiture très propre à vendre", *rows[20][1:])
    read[20] = None
    header = (
        "Titre,Prix,Ville,Année,Boîte de vitesses,Type de carburant,"
        "Kilométrage,Puissance fiscale,Publiée le"
    )
    return Export(
        name="moteur-ma",
        file_name="moteur_ma_2025-06.csv",
        media_type="text/csv",
        content=to_csv(header.split(","), rows).encode(),
        rows=tuple(read),
        said=frozenset({"title"}),
    )


def wandaloo() -> Export:
    """Scrape of a Moroccan portal.

    Lower-case headers without accents, 'millesime', gearboxes as BVM/BVA codes.
    """
    words = {
        "Diesel": ("Diesel", "DIESEL"),
        "Petrol": ("Essence", "essence"),
        "Hybrid": ("Hybride (HEV)", "Hybride essence"),
        "Electric": ("100% électrique",),
        "Manual": ("BVM5", "BVM 6", "Manuelle à 5 vitesses"),
        "Automatic": ("BVA 8", "BVA", "Automatique 6 rapports", "DCT 7"),
    }
    slips = {
        "Dacia Sandero": ("Dacia", "Sandreo"),
        "Toyota RAV4": ("Toyota", "Rav 4"),
        "Suzuki Swift": ("Suzuky", "Swift"),
    }
    rows, read = [], []
    for i, car in pick(MOROCCO, 11, 33):
        make, model = slips.get(car.title, (car.company, car.model))
        changes: dict[str, object] = {}
        if car.title in ("Dacia Sandero", "Suzuki Swift"):
            changes["match"] = SLIP
        km = one_of((f"{grouped(car.km, '.')} km", f"{grouped(car.km, ' ')} Km", str(car.km)), i)
        if i == 7:
            km, changes["km"] = "non communiqué", None
        rows.append(
            (
                make.lower() if i % 5 == 0 else make,
                model,
                car.trim,
                car.year,
                one_of(words[car.fuel], i),
                one_of(words[car.gear], i),
                km,
                f"{car.fiscal} CV",
                one_of(("1ère main", "2ème main", "", "3ème main et plus"), i),
                car.city,
                one_of((f"{grouped(car.price, ' ')} DH", str(car.price), "à débattre"), i),
                f"https://example.org/occasion/{4100 + i}.html",
            )
        )
        read.append(reading(car, **changes))
    header = (
        "marque,modele,version,millesime,energie,boite,kilometrage,"
        "puissance_fiscale,main,ville,prix,lien"
    )
    return Export(
        name="wandaloo",
        file_name="wandaloo.csv",
        media_type="text/csv",
        content=to_csv(header.split(","), rows).encode(),
        rows=tuple(read),
    )


WRITERS = (la_centrale, moteur_ma, wandaloo)
