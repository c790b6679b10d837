"""Titles of advertisements and other untidy texts lead to the car that they name, or to none."""

import pytest

from shared.domain.names import fold_name
from shared.domain.reading import Match, NamesMissing, VehicleName
from shared.vehicles.names import display_names, read_names


def shown(company, model):
    reading = read_names(company and fold_name(company), model and fold_name(model))
    return " ".join(display_names(reading.company, reading.model)), str(reading.match)


@pytest.mark.parametrize(
    ("title", "car"),
    [
        ("A6 quattro", "Audi A6"),
        ("s3 sportback", "Audi S3"),
        ("X6 xdrive 30d", "BMW X6"),
        ("330d pack sport", "BMW Série 3"),
        ("118 i", "BMW Série 1"),
        ("m2 competition", "BMW M2"),
        ("E250 CDI", "Mercedes-Benz Classe E"),
        ("b 180 d", "Mercedes-Benz Classe B"),
        ("A45 S", "Mercedes-Benz Classe A"),
        ("S 450 amg", "Mercedes-Benz Classe S"),
        ("GLK 250", "Mercedes-Benz Classe GLK"),
        ("clio5 e-tech", "Renault Clio 5"),
        ("Megane4", "Renault Mégane 4"),
        ("R21 turbo", "Renault 21"),
        ("super 5 five", "Renault Super 5"),
        ("je vends polo 1.2", "Volkswagen Polo"),
        ("URGENT tucson full option", "Hyundai Tucson"),
        ("tres belle fiesta", "Ford Fiesta"),
        ("2008 yaris", "Toyota Yaris"),
        ("2017 ibiza", "Seat Ibiza"),
        ("2008 active", "Peugeot 2008"),
        ("107 trendy", "Peugeot 107"),
        ("5008 gt", "Peugeot 5008"),
        ("cx5", "Mazda CX-5"),
        ("HR-V", "Honda HR-V"),
        ("baleno glx", "Suzuki Baleno"),
        ("xf 2.2d", "Jaguar XF"),
    ],
)
def test_a_model_that_one_brand_has_tells_the_brand(title, car):
    name, match = shown(None, title)
    assert name == car
    assert match == "corrected"


@pytest.mark.parametrize(
    "title",
    [
        *("sport", "cross", "220d", "x70", "gt line", "scala", "1.5 dci", "polo megane"),
        *("a3 fiesta", "belle voiture", "a 150 000 dh", "s-line", "gti", "one", "matiz"),
    ],
)
def test_what_several_brands_may_have_tells_no_brand(title):
    with pytest.raises(NamesMissing) as missing:
        shown(None, title)
    assert missing.value.field == "company"


@pytest.mark.parametrize(
    ("title", "car"),
    [
        ("vends Honda CR-V 2.2", "Honda CR-V"),
        ("location Renault Express 1.5 dci", "Renault Express"),
        ("2016 Fiat Uno", "Fiat Uno"),
        ("importee Audi RS Q3", "Audi RS Q3"),
        ("Picasso Citroen C3", "Citroën C3 Picasso"),
        ("Cherokee Jeep Grand", "Jeep Grand Cherokee"),
    ],
)
def test_words_before_the_brand_do_not_hide_the_model(title, car):
    assert shown(None, title) == (car, "alias")


def test_a_brand_that_may_be_a_version_of_another_brands_car_is_ambiguous():
    reading = read_names(None, "leon cupra")
    assert reading.match is Match.AMBIGUOUS
    assert reading.suggestions == (VehicleName("seat", "leon"), VehicleName("cupra", "leon"))
    assert shown(None, "Sportage Kia") == ("Kia Sportage", "exact")


def test_digits_of_two_words_are_not_joined_in_a_title():
    assert shown(None, "C3 2") == ("Citroën C3 ou C2", "ambiguous")


@pytest.mark.parametrize("title", ["Seat diesel", "kia 2019", "voiture skoda", "vw tdi occasion"])
def test_a_brand_without_a_model_lacks_the_model(title):
    with pytest.raises(NamesMissing) as missing:
        shown(None, title)
    assert missing.value.field == "model"


def test_an_unknown_model_of_a_known_brand_does_not_lack_the_brand():
    assert shown(None, "vw zzyzx") == ("Volkswagen Zzyzx", "unknown")
    assert shown(None, "peugeot 2008 2016") == ("Peugeot 2008", "alias")


@pytest.mark.parametrize(
    ("title", "car"),
    [
        ("SEATIBIZA", "Seat Ibiza"),
        ("OpelCorsa 1.3", "Opel Corsa"),
        ("vwpolo", "Volkswagen Polo"),
        ("BMW118D", "BMW Série 1"),
        ("mercedesE220", "Mercedes-Benz Classe E"),
        ("AudiQ5", "Audi Q5"),
        ("Fiat500X", "Fiat 500X"),
    ],
)
def test_brand_and_model_may_be_one_word(title, car):
    assert shown(None, title) == (car, "alias")
    assert shown(title, None) == (car, "alias")


@pytest.mark.parametrize(
    ("company", "model", "car", "match"),
    [
        ("BMW", "316i", "BMW Série 3", "alias"),
        ("BMW", "114 d", "BMW Série 1", "alias"),
        ("BMW", "Serie X3", "BMW X3", "alias"),
        ("BMW", "220i Gran Coupé", "BMW Série 2 Gran Coupé", "alias"),
        ("BMW", "430i gran coupe", "BMW Série 4", "alias"),
        ("BMW", "E90", "BMW Série 3", "alias"),
        ("Mercedes", "W212", "Mercedes-Benz Classe E", "alias"),
        ("Mercedes", "200 Classe E", "Mercedes-Benz Classe E", "alias"),
        ("Lexus", "NX200t", "Lexus NX", "alias"),
        ("Peugeot", "308gti", "Peugeot 308", "alias"),
        ("Renault", "R 14", "Renault 14", "alias"),
        ("Citroen", "C5 1.5 Aircross", "Citroën C5 Aircross", "alias"),
        ("Citroen", "Picasso Xsara", "Citroën Xsara Picasso", "alias"),
        ("Volkswagen", "Tiguan TDI Allspace", "Volkswagen Tiguan Allspace", "alias"),
        ("Dacia", "Logan 1.6 MCV", "Dacia Logan MCV", "alias"),
        ("Dacia", "Lodgy dci Stepway", "Dacia Lodgy", "alias"),
        ("Fiat", "Punto Grande", "Fiat Grande Punto", "alias"),
        ("Fiat", "500 Abarth", "Abarth 500", "alias"),
        ("Dacia", "Duster Oroch", "Renault Oroch", "alias"),
        ("Mitsubishi", "Lancer Evo", "Mitsubishi Lancer Evolution", "alias"),
        ("Toyota", "GT86", "Toyota GT86", "exact"),
        ("Volkswagen", "Golf 6 Match Plus", "Volkswagen Golf 6", "alias"),
        ("Nissan", "Qashqai + 2", "Nissan Qashqai", "alias"),
        ("Renault", "Megane Megane 3", "Renault Mégane 3", "exact"),
        ("Land", "Cruiser", "Toyota Land Cruiser", "corrected"),
        ("E350", "AMG line", "Mercedes-Benz Classe E", "corrected"),
        ("Autre", "Duster", "Dacia Duster", "corrected"),
    ],
)
def test_designations_and_separated_names_lead_to_the_model(company, model, car, match):
    assert shown(company, model) == (car, match)


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Peugeot", "3O1", "Peugeot 301"),
        ("Hyundai", "i2O", "Hyundai i20"),
        ("Mercedes", "E25O", "Mercedes-Benz Classe E"),
        ("BMW", "5 2Od", None),
        ("Volkswagen", "P0lo", "Volkswagen Polo"),
        ("Audi", "Al", "Audi A1"),
        ("Seat", "1biza", "Seat Ibiza"),
        ("Mitsubishi", "L2OO", "Mitsubishi L200"),
        ("Sqqb", "9000", None),
        ("dqciq", "sqndero", "Dacia Sandero"),
        ("Renault", "Meganr", "Renault Mégane"),
    ],
)
def test_look_alike_characters_and_neighbouring_keys_are_corrected(company, model, car):
    name, match = shown(company, model)
    if car is None:
        assert match != "exact"
    else:
        assert name == car
        assert match in {"corrected", "alias"}


@pytest.mark.parametrize(
    ("company", "model", "kept"),
    [
        ("Audi", "A34", "Audi A34"),
        ("Fiat", "500k", "Fiat 500K"),
        ("Mitsubishi", "Pajero 2.5 Sport", "Mitsubishi Pajero"),
        ("Toyota", "Yaris 1.5 Cross", "Toyota Yaris"),
        ("Peugeot", "307 308", "Peugeot 307 308"),
        ("Jaguar", "L-Pace", "Jaguar L Pace"),
        ("Citroen", "C3 Cactus", "Citroën C3 Cactus"),
    ],
)
def test_what_may_be_another_car_is_ambiguous(company, model, kept):
    assert shown(company, model) == (kept, "ambiguous")


def test_the_car_of_another_brands_designation_is_suggested():
    reading = read_names("audi", "e250 cdi")
    assert reading.match is Match.UNKNOWN
    assert reading.suggestions[0] == VehicleName("mercedes benz", "classe e")


def test_the_brand_of_a_number_is_suggested():
    reading = read_names("renault", "308")
    assert reading.suggestions[0] == VehicleName("peugeot", "308")
