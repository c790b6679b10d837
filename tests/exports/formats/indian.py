"""Public data sets from Indian sites."""

from tests.exports.formats.cars import INDIA, NOT_SOLD, SLIP, Export, pick, reading
from tests.exports.formats.writing import ENGLISH, one_of, to_csv

SOLD = tuple(car for car in INDIA if car.title not in NOT_SOLD)


def lakh(number: int) -> str:
    """1234567 as 12,34,567: the last three digits, then groups of two."""
    head, tail = divmod(number, 1000)
    groups = []
    while head >= 100:
        head, rest = divmod(head, 100)
        groups.append(f"{rest:02}")
    return ",".join([str(head), *reversed(groups), f"{tail:03}"]) if number >= 1000 else str(number)


def brand(company: str) -> str:
    return "Maruti" if company == "Suzuki" else company


def car_names() -> Export:
    """The first data set of the Indian site.

    Model names in lower case without brands, prices in lakh.
    """
    rows, read = [], []
    for i, car in pick(SOLD, 0, 28):
        name = "corolla altis" if car.title == "Toyota Corolla" else car.model.lower()
        rows.append(
            (
                name,
                car.year,
                f"{car.price / 15000:.2f}",
                f"{car.price / 9000:.2f}",
                car.km,
                one_of(ENGLISH[car.fuel], i),
                one_of(("Dealer", "Individual"), i),
                one_of(ENGLISH[car.gear], i),
                one_of(("0", "0", "1", "3"), i),
            )
        )
        read.append(reading(car, match=SLIP))
    header = (
        "Car_Name,Year,Selling_Price,Present_Price,Kms_Driven,"
        "Fuel_Type,Seller_Type,Transmission,Owner"
    )
    return Export(
        name="car-names",
        file_name="car data.csv",
        media_type="text/csv",
        content=to_csv(header.split(","), rows, line_end="\r\n").encode(),
        rows=tuple(read),
        said=frozenset({"title"}),
        prices_in_mad=False,
    )


def full_names() -> Export:
    """The second data set of the Indian site: brand, model and version in `name`."""
    slips = {"Skoda Octavia": "Skoda Octvia 2.0 TDI", "Hyundai Elantra": "Hyundai Elentra CRDi SX"}
    rows, read = [], []
    for i, car in pick(INDIA, 4, 32):
        name = slips.get(car.title, f"{brand(car.company)} {car.model} {car.trim}")
        rows.append(
            (
                name,
                car.year,
                car.price,
                car.km,
                one_of(ENGLISH[car.fuel], i),
                one_of(("Individual", "Dealer", "Trustmark Dealer"), i),
                one_of(ENGLISH[car.gear], i),
                one_of(
                    ("First Owner", "Second Owner", "Fourth & Above Owner", "Test Drive Car"), i
                ),
            )
        )
        read.append(reading(car, **({"match": SLIP} if car.title in slips else {})))
    header = [
        "name",
        "year",
        "selling_price",
        "km_driven",
        "fuel",
        "seller_type",
        "transmission",
        "owner",
    ]
    return Export(
        name="full-names",
        file_name="CAR DETAILS.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
        said=frozenset({"title"}),
        prices_in_mad=False,
    )


def glued_labels() -> Export:
    """A scrape with an index column in which cells begin with their label: 'Engine796 CC'."""
    rows, read = [], []
    for i, car in pick(INDIA, 13, 30):
        rows.append(
            (
                i,
                f"{brand(car.company)} {car.model} {car.trim}",
                f"{car.price / 15000:.2f} Lakh*",
                "New Car (On-Road Price) : Rs.7.11-7.48 Lakh*" if i % 3 else "",
                f"{car.year}.0",
                one_of(("Individual", "Dealer"), i),
                f"{lakh(car.km)} kms",
                one_of(("First Owner", "Second Owner", "Third Owner"), i),
                one_of(ENGLISH[car.fuel], i),
                one_of(ENGLISH[car.gear], i),
                f"Mileage{18 + i % 7}.7 kmpl",
                f"Engine{car.cc} CC",
                f"Max Power{car.hp}.3 bhp" if i % 6 else "Max Powernull bhp",
                "Seats5",
            )
        )
        read.append(reading(car))
    header = [
        "",
        "full_name",
        "selling_price",
        "new-price",
        "year",
        "seller_type",
        "km_driven",
        "owner_type",
        "fuel_type",
        "transmission_type",
        "mileage",
        "engine",
        "max_power",
        "seats",
    ]
    return Export(
        name="glued-labels",
        file_name="cars_details_merges.csv",
        media_type="text/csv",
        content=to_csv(header, rows).encode(),
        rows=tuple(read),
        said=frozenset({"title"}),
        prices_in_mad=False,
    )


WRITERS = (car_names, full_names, glued_labels)
