"""Texts that name several cars, or an electric car, are not read as one certain car."""

import pytest

from shared.domain.names import fold_name
from shared.domain.reading import Match
from shared.vehicles.names import display_names, read_names


def read(company, model):
    return read_names(company and fold_name(company), model and fold_name(model))


def shown(company, model):
    reading = read(company, model)
    return " ".join(display_names(reading.company, reading.model)), str(reading.match)


def suggested(company, model):
    return [f"{car.company} {car.model}" for car in read(company, model).suggestions]


@pytest.mark.parametrize(
    ("company", "model", "suggestions"),
    [
        ("Volkswagen", "Polo 5/6", ["volkswagen polo 5", "volkswagen polo 6"]),
        ("Volkswagen", "Passat VI ou VII", ["volkswagen passat 6", "volkswagen passat 7"]),
        ("Renault", "Laguna 2 ou Laguna 3", ["renault laguna 2", "renault laguna 3"]),
        ("Renault", "Twingo 2 et 3", ["renault twingo 2", "renault twingo 3"]),
        ("Mercedes", "GLB/GLC", ["mercedes benz classe glb", "mercedes benz classe glc"]),
        ("Mercedes", "C200 E200", ["mercedes benz classe c", "mercedes benz classe e"]),
        ("Mercedes", "B 200 / C 200", ["mercedes benz classe b", "mercedes benz classe c"]),
        ("Mercedes", "E/S 350", ["mercedes benz classe e", "mercedes benz classe s"]),
        ("Mercedes", "Classe B ou C", ["mercedes benz classe b", "mercedes benz classe c"]),
        ("BMW", "118d 318d", ["bmw serie 1", "bmw serie 3"]),
        ("BMW", "Série 1 / 2", ["bmw serie 1", "bmw serie 2"]),
        ("Mazda", "2/3", ["mazda 2", "mazda 3"]),
        ("Tesla", "Model S ou X", ["tesla model s", "tesla model x"]),
        ("Chery", "Tiggo 7/8", ["chery tiggo 7", "chery tiggo 8"]),
        ("Fiat", "Tipo 500", ["fiat tipo", "fiat 500"]),
        ("Peugeot", "308 2008", ["peugeot 308", "peugeot 2008"]),
        ("Lexus", "NX RX", ["lexus nx", "lexus rx"]),
        ("Fiat", "Punto Uno", ["fiat punto", "fiat uno"]),
        ("Dacia", "Sandero Megane", ["dacia sandero", "renault megane"]),
        ("Renault", "Logan Captur", ["dacia logan", "renault captur"]),
        ("Kia", "Picanto i20", ["kia picanto", "hyundai i20"]),
        ("Fiat", "500 L/X", ["fiat 500l", "fiat 500x"]),
        ("Fiat", "500 XX", ["fiat 500x"]),
        ("Fiat", "500 LK", ["fiat 500l"]),
        ("Audi", "Q5 ou 7", ["audi q5", "audi q7"]),
        ("Hyundai", "i20 ou 30", ["hyundai i20", "hyundai i30"]),
        ("Volvo", "S60/V60", ["volvo s60", "volvo v60"]),
        ("Volvo", "S80 S90", ["volvo s80", "volvo s90"]),
        ("BMW", "M2/M6", ["bmw m2", "bmw m6"]),
        ("Kia", "EV3 EV5", ["kia ev3", "kia ev5"]),
        ("Hyundai", "i 20 i 30", ["hyundai i20", "hyundai i30"]),
        ("Renault", "R11/R19", ["renault 11", "renault 19"]),
        ("Volkswagen", "Polo5/Polo6", ["volkswagen polo 5", "volkswagen polo 6"]),
        ("Volkswagen", "Passat mk6 mk7", ["volkswagen passat 6", "volkswagen passat 7"]),
        ("Volkswagen", "Polo 5 polo 6", ["volkswagen polo 5", "volkswagen polo 6"]),
        ("Seat", "Ibiza 3 à 5", ["seat ibiza 3", "seat ibiza 5"]),
        ("Honda", "HR-V / CR-V", ["honda hr v", "honda cr v"]),
        ("Mercedes", "Sprinter ou V", ["mercedes benz sprinter", "mercedes benz classe v"]),
        ("Renault", "Express ou Kangoo", ["renault express", "renault kangoo"]),
        ("Dacia", "Logan ou Pick-up", ["dacia logan"]),
        ("Ford", "Fiesta 207", ["ford fiesta", "peugeot 207"]),
        ("Toyota", "Yaris / 308", ["toyota yaris", "peugeot 308"]),
        ("Yaris ou 308", None, ["toyota yaris", "peugeot 308"]),
    ],
)
def test_several_cars_are_ambiguous(company, model, suggestions):
    assert read(company, model).match is Match.AMBIGUOUS
    assert set(suggestions) <= set(suggested(company, model))


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Volkswagen", "Polo 5 3 portes", "Volkswagen Polo 5"),
        ("Volkswagen", "Golf 5 1 9 TDI", "Volkswagen Golf 5"),
        ("Renault", "Clio 3 75 ch", "Renault Clio 3"),
        ("Volkswagen", "Passat 6 05/2009", "Volkswagen Passat 6"),
        ("Mazda", "2 5 portes", "Mazda 2"),
        ("Mazda", "6 2 2 D", "Mazda 6"),
        ("Renault", "19 16 S", "Renault 19"),
        ("BMW", "X4 M Sport X", "BMW X4"),
        ("BMW", "Série 3 320d", "BMW Série 3"),
        ("BMW", "320 330", "BMW Série 3"),
        ("Mercedes", "Classe C C220", "Mercedes-Benz Classe C"),
        ("Mercedes", "GL B 200", "Mercedes-Benz Classe GLB"),
        ("Mercedes", "C63 S", "Mercedes-Benz Classe C"),
        ("Audi", "A3 200 ch", "Audi A3"),
        ("Audi", "A6 208 ch", "Audi A6"),
        ("Mercedes", "Sprinter 208", "Mercedes-Benz Sprinter"),
        ("Volkswagen", "Golf 7 à 5 portes", "Volkswagen Golf 7"),
        ("Ford", "Fiesta 6 fiesta", "Ford Fiesta 6"),
        ("Fiat", "500 Lounge", "Fiat 500"),
        ("Fiat", "500 GT", "Fiat 500"),
    ],
)
def test_counts_and_engines_name_no_second_car(company, model, car):
    assert shown(company, model) == (car, "alias")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Hyundai", "Tucson 2 0 CRDi", "Hyundai Tucson"),
        ("Nissan", "Juke 1-5 dCi", "Nissan Juke"),
        ("Peugeot", "3008 1 6 HDi", "Peugeot 3008"),
        ("Audi", "Q3 2 0", "Audi Q3"),
        ("Toyota", "Auris 1 4 D4D", "Toyota Auris"),
        ("Renault", "Mégane 3 1 9 dCi", "Renault Mégane 3"),
    ],
)
def test_an_engine_size_with_a_space_is_no_generation(company, model, car):
    assert shown(company, model) == (car, "alias")


def test_the_plug_in_hybrid_of_the_third_superb_is_no_fourth_one():
    assert shown("Skoda", "Superb iV") == ("Skoda Superb", "alias")
    assert shown("Skoda", "Fabia IV") == ("Skoda Fabia 4", "alias")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Volkswagen", "Polo série 6", "Volkswagen Polo 6"),
        ("Renault", "Mégane n°3", "Renault Mégane 3"),
        ("Seat", "Ibiza numéro 4", "Seat Ibiza 4"),
        ("Volkswagen", "باسات الجيل السادس", "Volkswagen Passat 6"),
        ("BMW", "الفئة الخامسة", "BMW Série 5"),
    ],
)
def test_the_number_of_a_generation_may_follow_a_word_for_it(company, model, car):
    assert shown(company, model) == (car, "alias")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Volkswagen", "Golf +", "Volkswagen Golf Plus"),
        ("Volkswagen", "Golf + 1,9 TDI", "Volkswagen Golf Plus"),
        ("Volkswagen", "Golf + jantes", "Volkswagen Golf"),
    ],
)
def test_a_plus_behind_a_space_belongs_to_the_name_at_its_end(company, model, car):
    assert shown(company, model)[0] == car


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Peugeot", "2008 électrique", "Peugeot e-2008"),
        ("Peugeot", "308 EV", "Peugeot e-308"),
        ("Fiat", "600 Electric", "Fiat 600e"),
        ("Citroën", "C4 électrique", "Citroën ë-C4"),
        ("Volkswagen", "Up électrique", "Volkswagen e-up"),
        ("Renault", "Scenic électrique", "Renault Scénic E-Tech"),
        ("Mercedes", "Vito électrique", "Mercedes-Benz eVito"),
        ("Mitsubishi", "Outlander rechargeable", "Mitsubishi Outlander PHEV"),
        ("Nissan", "Leaf électrique", "Nissan Leaf"),
        ("Tesla", "Model Y electric", "Tesla Model Y"),
        ("Peugeot", "208 كهربائية", "Peugeot e-208"),
    ],
)
def test_electric_words_name_the_electric_car_of_the_catalogue(company, model, car):
    assert shown(company, model) == (car, "alias")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("MG", "ZS EV", "MG ZS"),
        ("Opel", "Mokka-e", "Opel Mokka"),
        ("Kia", "Niro EV", "Kia Niro"),
        ("Hyundai", "Kona électrique 64 kWh", "Hyundai Kona"),
        ("Renault", "Twingo électrique", "Renault Twingo"),
        ("Renault", "Master Z.E.", "Renault Master"),
        ("Hyundai", "Santa Fe plug-in", "Hyundai Santa Fe"),
        ("Volvo", "XC40 Recharge", "Volvo XC40"),
        ("Renault", "Duster electric", "Dacia Duster"),
        ("Peugeot", "e-Boxer", "Peugeot Boxer"),
        ("Citroën", "e-Spacetourer", "Citroën SpaceTourer"),
        ("Renault", "Mégane E-Tech hybride rechargeable", "Renault Mégane"),
    ],
)
def test_electric_words_are_ambiguous_if_the_catalogue_has_no_such_car(company, model, car):
    assert shown(company, model) == (car, "ambiguous")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Renault", "Captur E-Tech", "Renault Captur"),
        ("Peugeot", "308 e-HDi", "Peugeot 308"),
        ("Toyota", "Corolla hybride essence/électrique", "Toyota Corolla"),
        ("Seat", "Leon toit ouvrant électrique", "Seat Leon"),
        ("Peugeot", "2008 frein de parking électrique", "Peugeot 2008"),
        ("Fiat", "500 direction à assistance électrique", "Fiat 500"),
        ("Volkswagen", "Golf electric windows", "Volkswagen Golf"),
        ("Dacia", "Duster hybrid", "Dacia Duster"),
        ("Toyota", "Innova 2.5 EV", "Toyota Innova"),
    ],
)
def test_hybrids_and_electric_equipment_make_no_electric_car(company, model, car):
    assert shown(company, model) == (car, "alias")
