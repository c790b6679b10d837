"""Written names of brands and models are read with a stated certainty."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.names import fold_name
from shared.domain.reading import MAX_SUGGESTIONS, Match, NamesMissing, VehicleName
from shared.vehicles.catalogue import catalogue
from shared.vehicles.names import (
    canonical_brand,
    display_names,
    is_generation,
    read_names,
    suggest,
)
from shared.vehicles.several import member_or_generation

BRANDS = sorted(catalogue().brands)
CARS = [(brand.name, model) for brand in catalogue().brands.values() for model in brand.models]


def read(company, model):
    return read_names(company and fold_name(company), model and fold_name(model))


def shown(company, model):
    reading = read(company, model)
    return " ".join(display_names(reading.company, reading.model)), str(reading.match)


def suggested(company, model):
    return [f"{car.company} {car.model}" for car in read(company, model).suggestions]


def _may_be_two(company, model):
    """Whether a generation is written like two models: "a3 4"."""
    return bool(member_or_generation(catalogue().brands[company], model))


def test_every_name_of_the_catalogue_is_exact_and_can_be_read_as_it_is_shown():
    for car in CARS:
        reading = read_names(*car)
        if not _may_be_two(*car):
            assert (reading.company, reading.model, reading.match) == (*car, Match.EXACT)
            assert reading.suggestions == ()
        again = read(*display_names(*car))
        assert (again.company, again.model) == car


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Kia", "CEE'D", "Kia Ceed"),
        ("Toyota", "C.HR", "Toyota C-HR"),
        ("Hyundai", "Santafe", "Hyundai Santa Fe"),
        ("skoda", "OCTAVIA", "Skoda Octavia"),
        ("Škoda", "Superb", "Skoda Superb"),
        ("Peugeot", "5008.0", "Peugeot 5008"),
        ("Peugeot", "3.008", "Peugeot 3008"),
        ("Mazda", "6", "Mazda 6"),
        ("Renault", "Laguna3", "Renault Laguna 3"),
        ("Jeep\u200b", "Com\u00adpass", "Jeep Compass"),
        ("Citroën", "C15", "Citroën C15"),
    ],
)
def test_case_accents_spaces_and_punctuation_do_not_count(company, model, car):
    assert shown(company, model) == (car, "exact")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("VW", "Polo", "Volkswagen Polo"),
        ("Mercedes", "E 250 CDI Avantgarde", "Mercedes-Benz Classe E"),
        ("Mercedes", "GLA220d", "Mercedes-Benz Classe GLA"),
        ("Mercedes-Benz", "S-Klasse", "Mercedes-Benz Classe S"),
        ("Mercedes-Benz", "AMG A45", "Mercedes-Benz Classe A"),
        ("BMW", "520 d Pack M", "BMW Série 5"),
        ("BMW", "1er", "BMW Série 1"),
        ("BMW", "X3 M Sport", "BMW X3"),
        ("BMW", "218d Active Tourer", "BMW Série 2 Active Tourer"),
        ("Volkswagen", "Golf VI", "Volkswagen Golf 6"),
        ("Volkswagen", "golf mk5 gti", "Volkswagen Golf 5"),
        ("Volkswagen", "Golf 2,0 TDI", "Volkswagen Golf"),
        ("Volkswagen", "Polo 1.4", "Volkswagen Polo"),
        ("Seat", "Ibiza 5 portes", "Seat Ibiza"),
        ("Fiat", "500 Dolcevita", "Fiat 500"),
        ("Fiat", "500 L Trekking", "Fiat 500L"),
        ("Peugeot", "208 Allure", "Peugeot 208"),
        ("Peugeot", "nouvelle 308", "Peugeot 308"),
        ("Peugeot", "Peugeot 2008", "Peugeot 2008"),
        ("Mazda", "Mazda6 sedan", "Mazda 6"),
        ("Audi", "A4 35 TDI", "Audi A4"),
        ("Audi", "Q5 S line", "Audi Q5"),
        ("Land Rover", "Velar R-Dynamic", "Land Rover Range Rover Velar"),
        ("Range Rover", "Autobiography", "Land Rover Range Rover"),
        ("Range Rover", "Velar", "Land Rover Range Rover Velar"),
        ("Range Rover", None, "Land Rover Range Rover"),
        ("Mini", "John Cooper Works", "Mini Cooper"),
        ("Mini", "Cooper S Countryman", "Mini Countryman"),
        ("Citroen", "DS 5", "DS Automobiles DS 5"),
        ("Citroen", "C4 Grand Picasso", "Citroën C4 Picasso"),
        ("Renault", "Lodgy Stepway", "Dacia Lodgy"),
        ("Renault", "Grand Scenic", "Renault Scénic"),
        ("Dacia", "Sandero Stepway", "Dacia Sandero"),
        ("Dacia Duster", "Duster", "Dacia Duster"),
        ("Dacia Duster", "1.5 dci", "Dacia Duster"),
        ("Mercedes Classe E", "220 CDI", "Mercedes-Benz Classe E"),
        (None, "Ford Focus Titanium 2.0", "Ford Focus"),
        (None, "2017 Opel Astra", "Opel Astra"),
        (None, "Range Rover Sport HSE", "Land Rover Range Rover Sport"),
        (None, "نيسان قشقاي 2019", "Nissan Qashqai"),
    ],
)
def test_other_names_and_words_of_the_version_lead_to_the_model(company, model, car):
    assert shown(company, model) == (car, "alias")
    assert suggested(company, model) == []


def test_one_text_may_hold_brand_and_model():
    assert shown(None, "Hyundai Tucson") == ("Hyundai Tucson", "exact")
    assert shown("KIA RIO", None) == ("Kia Rio", "exact")
    assert shown("Alfa", "Romeo Stelvio") == ("Alfa Romeo Stelvio", "exact")
    assert shown(None, "Tucson Hyundai") == ("Hyundai Tucson", "exact")


def test_arabic_names_are_read_as_latin_ones():
    assert shown("تويوتا", "كورولا") == ("Toyota Corolla", "exact")
    assert shown("مرسيدس", "كلاس سي") == ("Mercedes-Benz Classe C", "exact")
    assert shown("بيجو", "٣٠٨") == ("Peugeot 308", "exact")


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("هيونداي", "غراند اي 10", "Hyundai Grand i10"),
        ("تويوتا", "كورولا فيرسو", "Toyota Corolla Verso"),
        ("سيتروين", "سي 5 ايركروس", "Citroën C5 Aircross"),
        ("لاند روفر", "ديسكوفري سبورت", "Land Rover Discovery Sport"),
        ("سوزوكي", "كراند فيتارا", "Suzuki Grand Vitara"),
        ("فولكس واجن", "جولف بلس", "Volkswagen Golf Plus"),
        ("بي ام دبليو", "اكس 6", "BMW X6"),
        ("أودي", "كيو 7", "Audi Q7"),
        ("مرسيدس", "الفئة E", "Mercedes-Benz Classe E"),
    ],
)
def test_a_longer_name_in_arabic_is_not_dropped(company, model, car):
    assert shown(company, model) == (car, "exact")


def test_arabic_words_that_may_belong_to_a_longer_name_leave_it_ambiguous():
    assert shown("تويوتا", "ياريس كذا") == ("Toyota Yaris", "ambiguous")
    assert {"toyota yaris", "toyota yaris cross"} <= set(suggested("تويوتا", "ياريس كذا"))
    assert shown("هيونداي", "كذا i10") == ("Hyundai i10", "ambiguous")
    assert shown("تويوتا", "ياريس ديزل للبيع") == ("Toyota Yaris", "alias")
    assert shown("داسيا", "دوكر كذا") == ("Dacia Dokker", "alias")  # no name is longer


@pytest.mark.parametrize(
    ("company", "model", "suggestions"),
    [
        ("Audi", "Q3/Q5", ["audi q3", "audi q5"]),
        ("BMW", "X1 ou X3", ["bmw x1", "bmw x3"]),
        ("Hyundai", "Accent i20", ["hyundai accent", "hyundai i20"]),
        ("Citroën", "Berlingo, C1", ["citroen berlingo", "citroen c1"]),
    ],
)
def test_two_models_are_ambiguous_also_if_called_by_letter_and_number(company, model, suggestions):
    assert shown(company, model)[1] == "ambiguous"
    assert set(suggestions) <= set(suggested(company, model))


@pytest.mark.parametrize(
    ("model", "car"),
    [
        ("GL A 200", "Mercedes-Benz Classe GLA"),
        ("C L S 350", "Mercedes-Benz Classe CLS"),
        ("SL K", "Mercedes-Benz Classe SLK"),
        ("GL 320", "Mercedes-Benz Classe GL"),
        ("CL 500", "Mercedes-Benz Classe CL"),
    ],
)
def test_letters_of_a_class_may_stand_apart(model, car):
    assert shown("Mercedes", model) == (car, "alias")


def test_a_series_may_be_called_a_class():
    assert shown("BMW", "Klasse 5") == ("BMW Série 5", "alias")
    assert shown("بي ام دبليو", "الفئة 3") == ("BMW Série 3", "alias")


@pytest.mark.parametrize(
    ("company", "model", "other"),
    [
        ("Opel", "Corsa ou Clio 4", "renault clio 4"),
        ("Toyota", "Yaris vs Polo", "volkswagen polo"),
    ],
)
def test_another_brands_model_behind_or_leaves_the_car_ambiguous(company, model, other):
    assert shown(company, model)[1] == "ambiguous"
    assert other in suggested(company, model)


def test_a_last_word_that_begins_a_brands_name_names_no_other_car():
    assert shown("Tesla", "Model 3 Standard Range") == ("Tesla Model 3", "alias")


def test_a_plural_is_a_slip_of_the_longer_name():
    assert shown("Mitsubishi", "Pajero Sports") == ("Mitsubishi Pajero Sport", "corrected")
    assert shown("Range Rover", "Sports HSE")[0] == "Land Rover Range Rover Sport"


def test_a_brand_under_which_others_list_the_car_may_stand_before_the_model():
    assert shown("Dacia", "Renault Sandero") == ("Dacia Sandero", "alias")
    assert shown(None, "Dacia Renault Logan") == ("Dacia Logan", "alias")
    assert shown("Dacia", "Logan ou Renault Duster")[1] == "ambiguous"


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Renault", "Meganne", "Renault Mégane"),
        ("Toyota", "Coroola GLI", "Toyota Corolla"),
        ("Land Rover", "Range Rover Vellar", "Land Rover Range Rover Velar"),
        ("Land Rover", "Range Rover Spotr HSE", "Land Rover Range Rover Sport"),
        ("Volkswagen", "Glof 7 GTD", "Volkswagen Golf 7"),
        ("Jeep", "Grand Cheroke Overland", "Jeep Grand Cherokee"),
        ("Citroen", "C5 Aircros", "Citroën C5 Aircross"),
        ("Nissan", "Xtrial", "Nissan X-Trail"),
        ("Honda", "Jaz sport", "Honda Jazz"),
        ("Toyota", "Land Criuser", "Toyota Land Cruiser"),
        ("Volkswagen", "Tigguan Allspacce", "Volkswagen Tiguan Allspace"),
        (None, "Lannd Rover Range Rover", "Land Rover Range Rover"),
        ("Renualt", "Captur", "Renault Captur"),
        ("Hyndai", "Acent", "Hyundai Accent"),
        ("Adui", "A6", "Audi A6"),
        ("Mada", "6", "Mazda 6"),
        ("Duster", "Dacia", "Dacia Duster"),
        ("Divers", "Skoda Fabia", "Skoda Fabia"),
        (None, "Picanto", "Kia Picanto"),
        (None, "Peugoet 508", "Peugeot 508"),
        ("Yaris", None, "Toyota Yaris"),
    ],
)
def test_a_slip_is_corrected_if_one_name_is_near(company, model, car):
    assert shown(company, model) == (car, "corrected")


@pytest.mark.parametrize(
    ("company", "model", "kept", "meant"),
    [
        ("Peugeot", "509", "Peugeot 509", "peugeot 508"),
        ("Citroen", "C9", "Citroën C9", "citroen c3"),
        ("Volkswagen", "Golf 88", "Volkswagen Golf", "volkswagen golf 8"),
        ("Volkswagen", "gol 6", "Volkswagen Gol 6", "volkswagen golf 6"),
        ("Volkswagen", "passat c", "Volkswagen Passat C", "volkswagen passat cc"),
        ("BMW", "5", "BMW 5", "bmw serie 5"),
        ("Mercedes", "Classe Q", "Mercedes-Benz Classe Q", "mercedes benz classe c"),
        ("Mercedes", "Classee B", "Mercedes-Benz Classee B", "mercedes benz classe b"),
        ("Dacia", "Logan Sandero", "Dacia Logan Sandero", "dacia sandero"),
        ("Renault", "Dacia Sandero", "Renault Dacia Sandero", "dacia sandero"),
        ("Opel", "Fiat Tipo", "Opel Fiat Tipo", "fiat tipo"),
        ("Kia", "Ria", "Kia Ria", "kia rio"),
        ("Citroen", "C8 Picasso", "Citroën C8 Picasso", "citroen c4 picasso"),
        ("Hyundai", "Grand i11", "Hyundai Grand I11", "hyundai grand i10"),
        ("Dacia", "Loagn Sandero", "Dacia Loagn Sandero", "dacia sandero"),
    ],
)
def test_what_may_mean_several_cars_is_kept_and_the_cars_are_suggested(company, model, kept, meant):
    assert shown(company, model) == (kept, "ambiguous")
    assert meant in suggested(company, model)


def test_the_name_of_another_brands_model_is_suggested_and_the_brand_is_kept():
    assert shown("Seat", "Qashqai") == ("Seat Qashqai", "unknown")
    assert suggested("Seat", "Qashqai")[0] == "nissan qashqai"
    assert suggested("Nowhere", "Twingo") == ["renault twingo"]
    assert suggested("Toyota", "Porsche")[0].startswith("porsche ")


@pytest.mark.parametrize(
    ("company", "model", "longer", "shorter"),
    [
        ("Mitsubishi", "Pajero Sprt", "mitsubishi pajero sport", "mitsubishi pajero"),
        ("Land Rover", "Range Rover Vela P250", "land rover range rover velar", None),
        ("Citroën", "Xsara Pica", "citroen xsara picasso", "citroen xsara"),
        ("Toyota", "Yaris Crs 1.5", "toyota yaris cross", "toyota yaris"),
        ("Volkswagen", "Golf Sports Van", "volkswagen golf sportsvan", None),
    ],
)
def test_an_abbreviated_longer_name_is_not_taken_for_a_version(company, model, longer, shorter):
    reading = read(company, model)
    known = f"{reading.company} {reading.model}"
    assert known == longer or (
        reading.match is Match.AMBIGUOUS and {longer, shorter} <= set(suggested(company, model))
    )


@pytest.mark.parametrize("version", ["GTD", "SRT", "Carat", "TDI", "Sport", "Spirit"])
def test_short_words_of_versions_are_no_abbreviations(version):
    assert shown("Volkswagen", f"Golf {version}") == ("Volkswagen Golf", "alias")


def test_a_listed_car_of_another_brand_behind_a_name_leaves_it_open():
    text = "Sandero ou Peugeot 208"
    assert shown("Dacia", text)[1] == "ambiguous"
    assert suggested("Dacia", text) == ["dacia sandero", "peugeot 208"]


@pytest.mark.parametrize(
    ("company", "model", "car"),
    [
        ("Yaris", "Yaris", "Toyota Yaris"),
        ("Koleos", "Koleos 2 Intens", "Renault Koleos 2"),
        ("Golf 6", "Golf", "Volkswagen Golf 6"),
        ("Punto", "Punto", "Fiat Punto"),
    ],
)
def test_a_model_in_both_texts_is_read_once(company, model, car):
    assert shown(company, model) == (car, "corrected")


@pytest.mark.parametrize(
    ("company", "model"),
    [
        ("Kia", "Picantto"),
        ("Peugeot", "409"),
        ("VW", "Pasat"),
        ("Land Rover", "Discvery"),
        ("Seat", "Zzyx"),
    ],
)
def test_a_brand_before_the_model_does_not_hide_its_slip(company, model):
    assert read(company, f"{company} {model}") == read(company, model)


def test_unknown_names_stay_as_they_are_written():
    reading = read("Nowhere", "Zeta 3 Lux")
    assert (reading.company, reading.model) == ("nowhere", "zeta 3 lux")
    assert (reading.match, reading.suggestions) == (Match.UNKNOWN, ())
    assert display_names("nowhere", "zeta 3 lux") == ("Nowhere", "Zeta 3 Lux")


@pytest.mark.parametrize(
    ("company", "model", "field"),
    [
        (None, None, "company"),
        ("", "", "company"),
        (None, "wonderful thing", "company"),
        (None, "250", "company"),
        (None, "Grand Cheroke", "company"),
        ("Ford", None, "model"),
        ("Ford", "Ford", "model"),
        (None, "Ford", "model"),
        ("Nobody", None, "model"),
    ],
)
def test_a_missing_name_is_named(company, model, field):
    with pytest.raises(NamesMissing) as missing:
        read(company, model)
    assert missing.value.field == field


@settings(max_examples=1500, deadline=None)
@given(
    company=st.one_of(st.none(), st.sampled_from(BRANDS), st.text(max_size=20)),
    words=st.lists(
        st.one_of(
            st.sampled_from([model for _, model in CARS]),
            st.sampled_from(["sport", "7", "77", "ii", "1.6", "d", "classe", "serie", "portes"]),
            st.text("abcdeilorst 0123", max_size=7),
        ),
        max_size=5,
    ),
)
def test_a_known_brand_is_never_changed_and_a_reading_is_final(company, words):
    try:
        reading = read(company, " ".join(words))
    except NamesMissing:
        return
    assert reading.company
    assert reading.model
    assert len(reading.suggestions) <= MAX_SUGGESTIONS
    assert {(car.company, car.model) for car in reading.suggestions} <= set(CARS)
    if company in catalogue().brands and words:
        pairs = {pair for pair, _ in catalogue().rebadged.items()}
        moved = any(brand == company for brand, _ in pairs)
        assert reading.company == company or moved
    if reading.match in {Match.EXACT, Match.ALIAS, Match.CORRECTED}:
        is_final = read_names(reading.company, reading.model).match is Match.EXACT
        assert is_final or _may_be_two(reading.company, reading.model)


def test_generations_are_models_of_their_own():
    assert is_generation("volkswagen", "golf 7")
    assert not is_generation("tesla", "model 3")
    assert not is_generation("nobody", "golf 7")


@pytest.mark.parametrize(
    ("written", "brand"),
    [
        ("range rover", "land rover"),
        ("peugot", "peugeot"),
        ("mercedess", "mercedes benz"),
        ("hyunday", "hyundai"),
        ("renualt", "renault"),
        ("mini cooper", "mini"),
        ("mercedes", "mercedes benz"),
        ("kin", "kin"),
        ("lynk co", "lynk co"),
        ("nobody", "nobody"),
    ],
)
def test_brands_have_one_name(written, brand):
    assert canonical_brand(written) == brand


def test_models_are_suggested_while_the_name_is_typed():
    assert suggest("Renault", "cl")[0] == VehicleName("renault", "clio")
    assert suggest("VW", "tigaun")[0] == VehicleName("volkswagen", "tiguan")
    assert VehicleName("kia", "sportage") in suggest(None, "sportag")
    most_listed = suggest("Dacia", "", limit=3)
    assert len(most_listed) == 3
    assert VehicleName("dacia", "logan") in most_listed
    assert suggest("Nobody", "x") == ()
