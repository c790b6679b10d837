"""Invented cars from which the export formats are written, and the expected reading of each row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

KM_PER_MILE = 1.609344

KNOWN = frozenset({"exact", "alias"})
SLIP = frozenset({"corrected", "alias"})
ANY = frozenset({"exact", "alias", "corrected", "ambiguous", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """A car with the facts from which a format picks its columns.

    Km, cm3, horse power, price in MAD.
    """

    company: str
    model: str
    year: int
    fuel: str
    gear: str
    km: int
    cc: int
    hp: int
    price: int
    trim: str
    month: int
    city: str

    @property
    def title(self) -> str:
        return f"{self.company} {self.model}"

    @property
    def kw(self) -> int:
        return round(self.hp * 0.7355)

    @property
    def fiscal(self) -> int:
        return max(4, self.cc // 250 + (0 if self.fuel == "Diesel" else 1))

    @property
    def miles(self) -> int:
        return round(self.km / KM_PER_MILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a person reads in a row; None where the row says nothing.

    `names` are the display names that are right ("Dacia Logan"), the preferred one first. A
    `foreign` car is not sold in Morocco: its brand must be kept, its model may be unknown or keep
    its trim words.
    """

    company: str
    model: str
    year: int
    fuel: str | None
    transmission: str | None
    km: float | None
    cc: int
    hp: int
    fiscal: int
    price: int
    names: tuple[str, ...]
    match: frozenset[str] = KNOWN
    foreign: bool = False


# The facts of a car that not every format states: right if they are read, None if not.
FACTS = {"engine_cc": "cc", "max_power_bhp": "hp", "fiscal_power_cv": "fiscal"}


def reading(car: Car, *, names: tuple[str, ...] = (), **changes: object) -> Reading:
    """The reading of a row that states all of a car but the `changes`."""
    foreign = car.title in NOT_SOLD
    full = Reading(
        company=car.company,
        model=car.model,
        year=car.year,
        fuel=car.fuel,
        transmission=car.gear,
        km=car.km,
        cc=car.cc,
        hp=car.hp,
        fiscal=car.fiscal,
        price=car.price,
        names=(car.title, *OTHER_NAMES.get(car.title, ()), *names),
        match=ANY if foreign else KNOWN,
        foreign=foreign,
    )
    return replace(full, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file as a site or tool writes it, and the expected reading of each row.

    A row without a reading must be rejected. `said` names what the service assumes and must say in
    its notices; see NOTICES in the test module.
    """

    name: str
    file_name: str
    media_type: str
    content: bytes
    rows: tuple[Reading | None, ...]
    said: frozenset[str] = frozenset()
    foreign_currency: bool = False
    """Whether the file states another currency than the dirham."""
    prices_in_mad: bool = True
    """Whether the prices are those of the cars: False also for an amount without currency."""


Writer = Callable[[], Export]


# company | model | year | fuel | gear | km | cm3 | hp | MAD | trim | month | city
MOROCCO_TEXT = """
Dacia|Logan|2018|Diesel|Manual|118400|1461|85|89500|1.5 dCi Laureate|3|Casablanca
Dacia|Duster|2020|Diesel|Manual|71250|1461|115|168000|1.5 dCi Prestige 4x2|11|Rabat
Peugeot|208|2020|Petrol|Manual|54200|1199|82|137000|1.2 PureTech Active|2|Tanger
Renault|Clio|2019|Diesel|Manual|93600|1461|90|122000|1.5 dCi Intens|7|Fès
Volkswagen|Golf|2017|Diesel|Automatic|109500|1968|150|198000|2.0 TDI DSG Carat|4|Marrakech
Toyota|Yaris|2021|Hybrid|Automatic|33500|1490|116|189000|1.5 Design|1|Agadir
Mercedes-Benz|Classe C|2018|Diesel|Automatic|111200|2143|170|312000|220 d Avantgarde|9|Casablanca
Hyundai|Tucson|2019|Diesel|Automatic|81200|1995|185|249000|2.0 CRDi Premium|5|Meknès
Citroën|Berlingo|2017|Diesel|Manual|144800|1560|92|103000|1.6 HDi XTR|10|Salé
BMW|X1|2018|Diesel|Automatic|104600|1995|150|248000|sDrive18d|6|Casablanca
Fiat|500|2018|Petrol|Manual|58400|1242|69|98000|1.2 Lounge|12|Kénitra
Kia|Sportage|2020|Diesel|Automatic|69500|1598|136|279000|1.6 CRDi GT Line|8|Oujda
Ford|Fiesta|2017|Petrol|Manual|88200|1242|82|84000|1.25 Trend|3|Tétouan
Nissan|Qashqai|2019|Diesel|Automatic|85500|1598|130|232000|1.6 dCi Tekna|2|Casablanca
Peugeot|3008|2019|Diesel|Automatic|88700|1499|130|258000|1.5 BlueHDi Allure|11|Rabat
Dacia|Sandero|2021|Petrol|Manual|38900|999|90|118000|TCe 90 Confort|6|Mohammédia
Skoda|Octavia|2019|Diesel|Automatic|97800|1968|150|205000|2.0 TDI DSG Style|4|Casablanca
Audi|A3|2018|Diesel|Automatic|97300|1968|150|232000|2.0 TDI S line|5|Rabat
Renault|Captur|2022|Petrol|Automatic|27800|1333|140|212000|TCe 140 EDC|3|El Jadida
Opel|Corsa|2021|Petrol|Manual|41300|1199|75|126000|1.2 Edition|9|Fès
Volkswagen|Polo|2019|Diesel|Manual|83100|1598|95|139000|1.6 TDI Comfortline|7|Tanger
Citroën|C3|2019|Diesel|Manual|79400|1499|100|119000|1.5 BlueHDi Feel|10|Settat
Hyundai|i10|2018|Petrol|Manual|64300|998|66|84000|1.0 GL|1|Casablanca
Mercedes-Benz|Classe A|2020|Diesel|Automatic|58700|1461|116|288000|180 d Progressive|12|Marrakech
Land Rover|Range Rover Evoque|2018|Diesel|Automatic|99700|1999|150|329000|2.0 TD4 SE|2|Rabat
Toyota|RAV4|2019|Hybrid|Automatic|74600|2487|218|299000|2.5 Dynamic|6|Casablanca
Seat|Ibiza|2020|Petrol|Manual|46700|999|95|138000|1.0 TSI Style|8|Nador
Fiat|Tipo|2019|Diesel|Manual|99100|1598|120|127000|1.6 Multijet Lounge|5|Béni Mellal
Kia|Picanto|2019|Petrol|Manual|52600|998|67|92000|1.0 Motion|11|Safi
BMW|X5|2017|Diesel|Automatic|128900|2993|258|425000|xDrive30d|3|Casablanca
Peugeot|2008|2018|Diesel|Manual|102900|1560|100|148000|1.6 HDi Active|4|Khouribga
Ford|Focus|2018|Diesel|Manual|107400|1499|120|129000|1.5 TDCi Titanium|10|Agadir
Renault|Mégane|2017|Diesel|Automatic|131750|1461|110|139000|1.5 dCi EDC Bose|9|Rabat
Volkswagen|Tiguan|2020|Diesel|Automatic|66400|1968|150|318000|2.0 TDI Carat|1|Casablanca
Jeep|Renegade|2018|Diesel|Manual|91200|1598|120|172000|1.6 MultiJet Longitude|7|Fès
Suzuki|Swift|2019|Petrol|Manual|61900|1197|90|109000|1.2 GLX|2|Larache
Audi|Q5|2019|Diesel|Automatic|86100|1968|190|379000|40 TDI quattro|6|Rabat
Citroën|C-Elysée|2016|Diesel|Manual|156200|1560|92|79000|1.6 HDi Shine|3|Taza
Renault|Kangoo|2016|Diesel|Manual|162300|1461|90|91000|1.5 dCi Confort|12|Casablanca
Hyundai|Accent|2016|Diesel|Manual|149700|1582|128|88000|1.6 CRDi GL|5|Berkane
Renault|Zoe|2020|Electric|Automatic|43200|0|108|149000|R110 Intens|8|Casablanca
Opel|Astra|2017|Diesel|Manual|118900|1598|110|112000|1.6 CDTI Edition|4|Tanger
Volvo|XC60|2019|Diesel|Automatic|93800|1969|190|365000|D4 Momentum|11|Casablanca
Honda|Civic|2018|Petrol|Manual|71500|998|129|148000|1.0 VTEC Turbo|9|Rabat
Porsche|Cayenne|2017|Diesel|Automatic|114300|2967|262|489000|3.0 V6 Platinum|10|Marrakech
Mazda|CX-5|2019|Petrol|Automatic|68800|1998|165|238000|2.0 Skyactiv Dynamic|2|Casablanca
"""

USA_TEXT = """
Toyota|Corolla|2019|Petrol|Automatic|67200|1798|132|165000|LE|3|Austin
Honda|Civic|2018|Petrol|Automatic|81300|1996|158|160000|EX|5|Denver
Ford|F-150|2017|Petrol|Automatic|118700|3496|375|270000|XLT|8|Dallas
Toyota|Camry|2020|Petrol|Automatic|54100|2487|203|230000|SE|1|Miami
Jeep|Wrangler|2016|Petrol|Manual|101900|3604|285|290000|Unlimited Sport|6|Boise
Nissan|Altima|2018|Petrol|Automatic|93400|2488|179|135000|2.5 SV|9|Tampa
Chevrolet|Cruze|2017|Diesel|Automatic|88200|1598|137|120000|LT|4|Toledo
Hyundai|Elantra|2019|Petrol|Automatic|61500|1999|147|130000|SEL|11|Omaha
Volkswagen|Jetta|2018|Petrol|Manual|77600|1395|150|140000|S|2|Salem
BMW|X5|2018|Petrol|Automatic|84900|2979|300|390000|xDrive35i|7|Chicago
Tesla|Model 3|2021|Electric|Automatic|39800|0|283|360000|Long Range|10|San Jose
Jeep|Grand Cherokee|2018|Petrol|Automatic|97300|3604|295|280000|Limited|12|Reno
Kia|Sorento|2019|Petrol|Automatic|72800|3342|290|220000|LX V6|5|Mobile
Mazda|CX-5|2020|Petrol|Automatic|48600|2488|187|230000|Touring|3|Fresno
Toyota|Prius|2017|Hybrid|Automatic|112500|1798|121|170000|Two|6|Oakland
Ford|Focus|2016|Petrol|Manual|104700|1999|160|95000|SE|9|Buffalo
Audi|A4|2019|Petrol|Automatic|58900|1984|188|260000|Premium|1|Boston
Honda|CR-V|2019|Petrol|Automatic|69700|1498|190|240000|EX-L|8|Tulsa
Ford|Escape|2018|Petrol|Automatic|91800|1498|179|170000|Titanium|2|Dayton
Hyundai|Tucson|2018|Petrol|Automatic|86400|1999|164|180000|SEL Plus|4|Mesa
Ford|Mustang|2017|Petrol|Manual|73900|4951|435|310000|GT Premium|7|Laredo
Dodge|Charger|2016|Petrol|Automatic|109800|5654|370|250000|R/T|10|Akron
Kia|Rio|2018|Petrol|Automatic|64500|1591|138|95000|LX|11|Macon
Nissan|Rogue|2019|Petrol|Automatic|77100|2488|170|190000|SV|3|Provo
Porsche|Cayenne|2016|Petrol|Automatic|105200|3598|300|350000|Base|12|Irvine
Land Rover|Range Rover Sport|2017|Diesel|Automatic|92700|2993|254|480000|HSE Td6|5|Plano
Volvo|XC90|2018|Hybrid|Automatic|89300|1969|400|420000|T8 Inscription|6|Boulder
Mini|Cooper|2017|Petrol|Manual|70600|1499|134|150000|Classic|9|Albany
Lexus|RX 350|2018|Petrol|Automatic|87400|3456|295|370000|AWD|1|Naples
Chevrolet|Silverado 1500|2016|Petrol|Automatic|134800|5328|355|290000|LTZ|8|Waco
"""

INDIA_TEXT = """
Hyundai|i20|2015|Diesel|Manual|73200|1396|89|98000|Sportz 1.4 CRDi|4|Pune
Hyundai|Creta|2018|Diesel|Manual|61400|1582|126|180000|1.6 SX|6|Delhi
Honda|Jazz|2016|Petrol|Manual|48700|1199|89|110000|1.2 V|2|Jaipur
Toyota|Corolla|2014|Petrol|Automatic|88300|1798|138|125000|Altis GL|9|Mumbai
Volkswagen|Polo|2017|Petrol|Manual|52900|1198|74|105000|1.2 Comfortline|11|Chennai
Skoda|Octavia|2016|Diesel|Automatic|79600|1968|141|155000|2.0 TDI Elegance|1|Kochi
Ford|Fiesta|2013|Diesel|Manual|98200|1498|90|70000|1.5 TDCi Trend|5|Surat
Hyundai|i10|2012|Petrol|Manual|61800|1086|68|55000|Era|3|Indore
Nissan|Micra|2014|Diesel|Manual|71400|1461|63|68000|XV|7|Nagpur
Suzuki|Swift|2017|Petrol|Manual|44600|1197|83|92000|VXI|10|Noida
Audi|A4|2015|Diesel|Automatic|68900|1968|174|210000|2.0 TDI|12|Delhi
BMW|X1|2016|Diesel|Automatic|59700|1995|190|240000|sDrive20d|8|Mumbai
Fiat|Punto|2013|Diesel|Manual|84100|1248|75|60000|1.3 Emotion|2|Thane
Honda|Civic|2010|Petrol|Manual|91200|1799|130|65000|1.8 V|6|Kolkata
Toyota|Fortuner|2018|Diesel|Automatic|76500|2755|174|330000|2.8 4x2|4|Lucknow
Renault|Fluence|2014|Diesel|Manual|82700|1461|108|90000|1.5 E4|9|Bhopal
Chevrolet|Spark|2011|Petrol|Manual|57300|995|62|38000|1.0 LS|1|Patna
Mahindra|Scorpio|2016|Diesel|Manual|94800|2179|120|150000|S10|11|Ranchi
Skoda|Fabia|2012|Petrol|Manual|69500|1198|74|62000|1.2 Active|5|Mysore
Hyundai|Accent|2009|Petrol|Manual|102400|1495|94|42000|Executive|3|Agra
Volkswagen|Jetta|2013|Diesel|Automatic|87600|1968|138|120000|2.0 Highline|7|Goa
Tata|Nano|2013|Petrol|Manual|31900|624|38|25000|CX|10|Rajkot
Suzuki|Celerio|2018|Petrol|Automatic|29400|998|67|80000|ZXI|12|Madurai
Audi|Q3|2015|Diesel|Automatic|72300|1968|140|230000|35 TDI|8|Chandigarh
Jeep|Compass|2018|Diesel|Manual|47100|1956|171|220000|Sport|2|Hyderabad
Kia|Seltos|2020|Petrol|Manual|26800|1497|113|210000|HTK|6|Vizag
Hyundai|Elantra|2013|Diesel|Automatic|79900|1582|126|115000|CRDi SX|4|Gurgaon
Nissan|Terrano|2015|Diesel|Manual|86200|1461|108|120000|XL|9|Udaipur
Volvo|XC60|2016|Diesel|Automatic|81700|1984|181|290000|D4|1|Mumbai
Porsche|Macan|2017|Diesel|Automatic|54300|2967|258|520000|3.0 D|11|Delhi
"""

# Models of which a Moroccan catalogue may know nothing; the brand must still be read and kept.
NOT_SOLD = frozenset(
    {
        "Ford F-150",
        "Toyota Camry",
        "Nissan Altima",
        "Ford Escape",
        "Dodge Charger",
        "Nissan Rogue",
        "Lexus RX 350",
        "Chevrolet Silverado 1500",
        "Mahindra Scorpio",
        "Tata Nano",
        "Ford Mustang",
        "Toyota Fortuner",
        "Nissan Terrano",
        "Kia Seltos",
        "Renault Fluence",
        "Mini Cooper",
    }
)

OTHER_NAMES = {
    "Land Rover Range Rover Evoque": ("Land Rover Evoque",),
    "Renault Zoe": ("Renault Zoé",),
    "Lexus RX 350": ("Lexus RX",),
    "Suzuki Swift": ("Maruti Swift",),
    "Suzuki Celerio": ("Maruti Celerio",),
    "Chevrolet Silverado 1500": ("Chevrolet Silverado",),
}


def _parse(text: str) -> tuple[Car, ...]:
    cars = []
    for line in text.strip().splitlines():
        company, model, year, fuel, gear, km, cc, hp, price, trim, month, city = line.split("|")
        cars.append(
            Car(
                company=company,
                model=model,
                year=int(year),
                fuel=fuel,
                gear=gear,
                km=int(km),
                cc=int(cc),
                hp=int(hp),
                price=int(price),
                trim=trim,
                month=int(month),
                city=city,
            )
        )
    return tuple(cars)


MOROCCO = _parse(MOROCCO_TEXT)
USA = _parse(USA_TEXT)
INDIA = _parse(INDIA_TEXT)


def pick(pool: tuple[Car, ...], start: int, count: int) -> Iterator[tuple[int, Car]]:
    """`count` cars of the pool from `start` on, around its end, numbered from 0.

    Each with a mileage of its own.
    """

    def endless() -> Iterator[Car]:
        position = start
        while True:
            car = pool[position % len(pool)]
            yield replace(car, km=car.km + 730 * (position % 7) + 100 * (start % 9))
            position += 1

    return enumerate(islice(endless(), count))
