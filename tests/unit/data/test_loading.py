"""Listings files are loaded in several layouts, encodings and spellings."""

import gzip
from pathlib import Path

import pytest

from data.listings.files import ListingsError
from data.listings.loading import load_listings

AVITO = (
    "Marque;Modèle;Année-Modèle;Kilométrage;Type de carburant;Boite de vitesses;"
    "Puissance fiscale;Première main;Origine;État;Nombre de portes;Prix\n"
    "Dacia;Logan;2016;100 000 - 109 999;Diesel;Manuelle;6 CV;Oui;WW au Maroc;Très bon;5;95 000 DH\n"
    "VW;Golf 7;2015;90 000 - 94 999;Essence;Automatique;8 CV;Non;Dédouanée;Excellent;5;178.000 DH\n"
)
CARDEKHO_V3 = (
    "name,year,selling_price,km_driven,fuel,seller_type,transmission,owner,mileage,engine,"
    "max_power,torque,seats\n"
    "Maruti Swift Dzire VDI,2014,450000,145500,Diesel,Individual,Manual,First Owner,23.4 kmpl,"
    "1248 CC,74 bhp,190Nm@ 2000rpm,5\n"
    "Skoda Rapid 1.5 TDI,2014,370000,120000,Diesel,Dealer,Manual,Second Owner,21.14 kmpl,"
    '1498 CC,103.52 bhp,"22.4 kgm at 1,750-2,750rpm",5\n'
)
CARDEKHO_SPLIT = (
    "name,company,model,edition,year,owner,fuel,seller_type,transmission,km_driven,mileage_mpg,"
    "engine_cc,max_power_bhp,torque_nm,seats,selling_price\n"
    "Maruti Swift Dzire VDI,Maruti,Swift,Dzire VDI,2014,First,Diesel,Individual,Manual,145500,"
    "55.04,1248,74,190,5,450000\n"
)
MUCARS = (
    "Brand,Model,Year,Condition,Mileage,Gearbox,Fiscal Power,Fuel,Equipment,Number of Doors,"
    "Origin,First Owner,Location,Sector,Price\n"
    "Dacia,Duster,2017,Very Good,100 000 - 109 999,Manual,6 CV,Diesel,\"['ABS', 'Airbags']\",5,"
    "WW in Morocco,Yes,Casablanca,Maarif,132000.0\n"
    "Kia,Sportage,2014,Excellent,Plus de 500 000,Automatic,8 CV,Electrique,[],5,"
    "Customs-cleared car,No,الرباط,Agdal,145000\n"
    "Kia,Rio,1980 ou plus ancien,Good,0 - 4 999,Manual,Moins de 4 CV,LPG,[],3,"
    "Car not yet customs-cleared,,Fès,,15000\n"
    "112,Petrol,2015,Good,50 000 - 54 999,Manual,6 CV,Petrol,[],5,,No,Agadir,,99000\n"
    "Kia,Rio,2019,New,0 - 4 999,Manual,Plus de 48 CV,Petrol,[],5,Imported New,Yes,Tanger,,\n"
)
MOTEUR = (
    "Titre;Prix;Année;Kilométrage;Carburant;Boite de vitesses;Puissance fiscale;Localisation;"
    "Publié le\n"
    "Mercedes-Benz Classe C 220 d;285 000 Dhs;2017;142 000 km;Diesel;Automatique;9 cv;Rabat;"
    "14/03/2024\n"
    "DACIA Logan;Prix à négocier;2019;50 000 - 54 999;Diesel;Manuelle;6 cv;Fès;15/03/2024\n"
)
CANONICAL = (
    "company,model,year,fuel,transmission,km_driven,condition,price_mad,listing_date,price_suspect\n"
    "Mercedes-Benz,Classe C,2018,Diesel,Automatic,90000,Très bon,350000,2024-11,0\n"
    "Renault,Clio,2015,Diesel,,,,90000,2024-12,1\n"
)


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "listings.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_marketplace_export_is_read_in_any_of_its_encodings(
    tmp_path: Path, encoding: str
) -> None:
    table, report = load_listings(written(tmp_path, AVITO, encoding))
    assert report.layout == "marketplace-export"
    first = table.iloc[0].to_dict()
    assert (first["company"], first["model"]) == ("dacia", "logan")
    assert (first["fuel"], first["transmission"]) == ("Diesel", "Manual")
    assert table["km_driven"].tolist() == [105_000, 92_500]
    assert table["price_mad"].tolist() == [95_000, 178_000]
    assert table["owner"].tolist() == ["First", "Second or more"]
    assert table["origin"].tolist() == ["WW Morocco", "Customs cleared"]
    assert table.loc[1, "company"] == "volkswagen"


def test_the_mucars_file_is_read_with_its_bands_and_arabic_cities(tmp_path: Path) -> None:
    table, report = load_listings(written(tmp_path, MUCARS))
    assert report.layout == "mucars-2024"
    assert report.dropped == {
        "without a valid year": 1,
        "without a valid company": 1,
        "without a price": 1,
    }
    assert report.unused_columns == ("Equipment", "Sector")
    assert report.blanked == {}
    duster, sportage = (table.loc[row].to_dict() for row in (0, 1))
    assert (duster["company"], duster["model"], duster["price_mad"]) == ("dacia", "duster", 132_000)
    assert (duster["km_driven"], duster["fiscal_power_cv"], duster["doors"]) == (105_000, 6, 5)
    assert (duster["condition"], duster["origin"]) == ("Very good", "WW Morocco")
    assert (duster["owner"], duster["city"]) == ("First", "casablanca")
    assert (sportage["km_driven"], sportage["fuel"]) == (500_000, "Electric")
    assert (sportage["owner"], sportage["origin"]) == ("Second or more", "Customs cleared")
    assert sportage["city"] == "rabat"


def test_a_title_is_taken_apart_where_brand_and_model_have_no_columns(tmp_path: Path) -> None:
    table, report = load_listings(written(tmp_path, MOTEUR))
    assert report.layout == "marketplace-export"
    (row,) = table.to_dict("records")
    assert (row["company"], row["model"], row["edition"]) == ("mercedes benz", "classe c", "220 d")
    assert (row["price_mad"], row["km_driven"], row["city"]) == (285_000, 142_000, "rabat")
    assert row["listing_date"] == "2024-03"
    assert report.months == ("2024-03", "2024-03")


def test_a_title_beside_brand_and_model_is_not_used_for_them(tmp_path: Path) -> None:
    text = "Titre,Marque,Modèle,Année,Prix\nÀ saisir vite,Dacia,Logan,2016,95 000\n"
    table, _ = load_listings(written(tmp_path, text))
    assert table[["company", "model"]].to_numpy().tolist() == [["dacia", "logan"]]


def test_exports_glued_together_from_two_encodings_are_read_line_by_line(tmp_path: Path) -> None:
    head, first, second = AVITO.splitlines(keepends=True)
    path = tmp_path / "glued.csv"
    path.write_bytes(head.encode() + first.encode("cp1252") + second.encode())
    table, report = load_listings(path)
    assert report.encoding == "utf-8 and cp1252, mixed"
    assert table["condition"].tolist() == ["Very good", "Excellent"]
    assert table["origin"].tolist() == ["WW Morocco", "Customs cleared"]


def test_a_listing_read_twice_counts_once_where_its_row_tells_it_apart(tmp_path: Path) -> None:
    head, first, second = AVITO.splitlines(keepends=True)
    table, report = load_listings(written(tmp_path, head + first + second + first))
    assert len(table) == 2
    assert report.dropped == {"repeated": 1}
    narrow = "Marque,Modèle,Année,Prix\n" + "Dacia,Logan,2016,95 000\n" * 3
    assert len(load_listings(written(tmp_path, narrow))[0]) == 3


def test_titles_tell_listings_apart(tmp_path: Path) -> None:
    row = "285 000 Dhs;2017;142 000 km;Diesel;Automatique;9 cv;Rabat;14/03/2024\n"
    titles = ["Mercedes-Benz Classe C 220 d", "Mercedes-Benz Classe C 250 d", "BMW X5"]
    text = MOTEUR.splitlines(keepends=True)[0] + "".join(f"{title};{row}" for title in titles * 2)
    table, report = load_listings(written(tmp_path, text))
    assert table["model"].tolist() == ["classe c", "classe c", "x5"]
    assert report.dropped == {"repeated": 3}


@pytest.mark.parametrize(
    ("torque", "newton_metres"),
    [
        ("12.7@ 2,700(kgm@ rpm)", 124.5),
        ("250Nm@ 1500-2500rpm", 250.0),
        ("380(38.7)@ 2500", 380.0),
        ("48@ 3,000+/-500(NM@ rpm)", 48.0),
        ("", None),
    ],
)
def test_every_way_in_which_cardekho_states_torque(
    tmp_path: Path, torque: str, newton_metres: float | None
) -> None:
    text = CARDEKHO_V3.replace("190Nm@ 2000rpm", f'"{torque}"')
    table, report = load_listings(written(tmp_path, text))
    found = table["torque_nm"][0]
    assert found == newton_metres or (newton_metres is None and found != found)  # noqa: PLR0124 - NaN
    assert "torque_nm" not in report.blanked


def test_a_later_edition_of_the_cardekho_file_has_the_unit_in_the_header(tmp_path: Path) -> None:
    text = CARDEKHO_V3.replace(",mileage,", ",mileage(km/ltr/kg),").replace("23.4 kmpl", '"23,4"')
    table, report = load_listings(written(tmp_path, text))
    assert report.layout == "cardekho-v3"
    assert table["mileage_mpg"].tolist() == [55.0, 49.7]


def test_the_raw_cardekho_file_gives_numbers_without_their_units(tmp_path: Path) -> None:
    table, report = load_listings(written(tmp_path, CARDEKHO_V3))
    assert report.layout == "cardekho-v3"
    first = table.iloc[0]
    assert (first["company"], first["model"], first["edition"]) == ("maruti", "swift", "dzire vdi")
    assert first["engine_cc"] == 1248
    assert first["mileage_mpg"] == 55.0
    assert table["torque_nm"].tolist() == [190.0, 219.7]
    assert first["price_mad"] == pytest.approx(450_000 * 0.13)


def test_rupees_are_converted_by_the_files_own_convention(tmp_path: Path) -> None:
    table, report = load_listings(written(tmp_path, CARDEKHO_SPLIT))
    assert report.layout == "cardekho-split"
    assert table["price_mad"].tolist() == pytest.approx([58_500])


def test_a_rupee_file_in_another_currency_is_refused_and_its_cells_are_dropped(
    tmp_path: Path,
) -> None:
    header, row = CARDEKHO_SPLIT.splitlines()
    mixed = "\n".join([header, row, row.replace("450000", "5000 EUR"), ""])
    table, report = load_listings(written(tmp_path, mixed))
    assert report.dropped == {"in another currency": 1}
    assert table["price_mad"].tolist() == [450_000 * 0.13]
    with pytest.raises(ListingsError, match="prices are in USD"):
        load_listings(written(tmp_path, f"{header},currency\n{row},USD\n"))
    with pytest.raises(ListingsError, match="several currencies"):
        load_listings(written(tmp_path, f"{header},currency\n{row},INR\n{row},MAD\n"))
    table, _ = load_listings(written(tmp_path, f"{header},currency\n{row},INR\n"))
    assert table["price_mad"].tolist() == [450_000 * 0.13]


def test_the_canonical_layout_keeps_dates_and_suspicions_and_packs_as_gzip(tmp_path: Path) -> None:
    path = tmp_path / "listings.csv.gz"
    path.write_bytes(gzip.compress(CANONICAL.encode()))
    table, report = load_listings(path)
    assert report.layout == "canonical"
    assert table["listing_date"].tolist() == ["2024-11", "2024-12"]
    assert table["price_suspect"].tolist() == [False, True]
    assert table["condition"].tolist() == ["Very good", None]
    assert table["km_driven"].isna().tolist() == [False, True]


def test_rows_without_price_or_car_are_dropped_and_counted_by_reason(tmp_path: Path) -> None:
    text = (
        "Marque,Modèle,Année,Prix,Kilométrage\n"
        "Dacia,Logan,2016,95 000,x\n"
        "Dacia,Logan,2016,Prix à négocier,101000\n"
        "Dacia,Logan,1890,95 000,102000\n"
        ",X99,2016,95 000,103000\n"
        "Dacia,Logan,2016,5,104000\n"
    )
    table, report = load_listings(written(tmp_path, text))
    assert len(table) == report.rows_kept == 1
    assert report.rows_read == 5
    assert report.dropped == {
        "without a price": 1,
        "without a valid year": 1,
        "without a valid company": 1,
        "with an impossible price": 1,
    }
    assert report.blanked == {"km_driven": 1}


def test_a_price_a_digit_off_is_flagged(tmp_path: Path) -> None:
    rows = [f"Dacia,Logan,{2010 + i % 8},{80_000 + 5_000 * (i % 8)}" for i in range(60)]
    rows[7] = "Dacia,Logan,2017,1150000"
    table, report = load_listings(
        written(tmp_path, "company,model,year,price_mad\n" + "\n".join(rows) + "\n")
    )
    assert report.suspects == 1
    assert report.suspect_rows == (9,)
    assert bool(table["price_suspect"][7])
    assert "1 suspicious price (rows 9)" in report.summary()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"company,model,year\nDacia,Logan,2016\n", "no column for price_mad; .* is called"),
        (b"company,model,year,price_mad\n", "no rows"),
        (
            b"company,model,year,price_mad\nDacia,Logan,2016,on request\n",
            r"none .* \(1 without a price\)",
        ),
        (b"\x1f\x8b\x08\x00damaged", "damaged gzip"),
        (b"PK\x03\x04\x00\x00\x00", "workbook stops before its end"),
        (b"a;b;c\n1;2;3\n", "no column for company, model, year; found: a, b, c"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(ListingsError, match=message):
        load_listings(path)


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(ListingsError, match="No such file"):
        load_listings(tmp_path / "nowhere.csv")
    with pytest.raises(ListingsError, match="directory"):
        load_listings(tmp_path)
