"""Listings files are of the kinds that batches read, and implausible listings are refused."""

import datetime as dt
import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zstandard

from data.listings.cells import parse_month, parse_months
from data.listings.files import ListingsError
from data.listings.loading import load_listings, load_listings_of
from data.listings.plausibility import check_prices
from data.listings.table import current_month, latest_month
from data.market.generator import generate
from data.market.reference import ReferenceMarket

CARS = pd.DataFrame(
    {
        "Marque": ["Dacia", "Renault", "VW", "Mercedes-Benz"] * 3,
        "Modèle": ["Logan", "Clio", "Golf 7 GTI", "Classe C"] * 3,
        "Année": [2015, 2016, 2017, 2018] * 3,
        "Kilométrage": [150_000, 140_000, 130_000, 120_000] * 3,
        "Prix": [80_000, 90_000, 170_000, 260_000] * 3,
        "Date de publication": ["2026-05-03", "2026-05-20", "2026-06-01", "2026-06-30"] * 3,
    }
)
"""Listings with fewer columns than make equal rows repetitions."""


@pytest.fixture(scope="module")
def market_listings() -> pd.DataFrame:
    return generate(ReferenceMarket.load(), 400, seed=4)


@pytest.fixture(scope="module")
def many_listings() -> pd.DataFrame:
    return generate(ReferenceMarket.load(), 8_000, seed=3)


def xlsx(table: pd.DataFrame, *, first_row: int = 0) -> bytes:
    target = io.BytesIO()
    table.to_excel(target, index=False, startrow=first_row, engine="xlsxwriter")
    return target.getvalue()


def parquet(table: pd.DataFrame) -> bytes:
    return bytes(table.to_parquet(index=False))


def json_text(table: pd.DataFrame, *, lines: bool) -> bytes:
    return str(table.to_json(orient="records", lines=lines, force_ascii=False)).encode()


def csv_text(table: pd.DataFrame, encoding: str = "utf-8") -> bytes:
    return str(table.to_csv(index=False)).encode(encoding)


FILES = {
    "cars.xlsx": xlsx(CARS),
    "titled.xlsx": xlsx(CARS, first_row=3),
    "cars.parquet": parquet(CARS),
    "cars.jsonl": json_text(CARS, lines=True),
    "cars.json": json_text(CARS, lines=False),
    "cars.csv.zst": zstandard.compress(csv_text(CARS)),
    "cars.json.gz": gzip.compress(json_text(CARS, lines=True)),
    "arabic.csv": csv_text(
        CARS.rename(columns={"Marque": "الماركة", "Modèle": "الموديل", "Prix": "الثمن"})
    ),
    "german.csv": csv_text(
        CARS.rename(
            columns={"Marque": "Hersteller", "Modèle": "Modell", "Année": "Baujahr"}
        ).rename(columns={"Kilométrage": "Laufleistung", "Prix": "Verkaufspreis"})
    ),
    "titled.csv": b"Export du 1er juillet\n\n" + csv_text(CARS),
    "mac.csv": csv_text(CARS, "mac-roman"),
    "miles.csv": csv_text(
        CARS.assign(Kilométrage=(CARS["Kilométrage"] / 1.609344).round()).rename(
            columns={"Kilométrage": "Mileage (mi)"}
        )
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_listings(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    table, report = load_listings(path)
    assert report.rows_kept == len(CARS), report
    assert table["company"].tolist()[:4] == ["dacia", "renault", "volkswagen", "mercedes benz"]
    assert table["model"].tolist()[:4] == ["logan", "clio", "golf 7", "classe c"]
    assert table["year"].tolist() == CARS["Année"].tolist()
    np.testing.assert_allclose(table["km_driven"], CARS["Kilométrage"], atol=1)
    assert table["price_mad"].tolist() == CARS["Prix"].tolist()
    assert table["listing_date"].tolist()[:4] == ["2026-05", "2026-05", "2026-06", "2026-06"]
    assert report.unused_columns == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x05\x06" + bytes(18), "Expected CSV, Excel"),
        (csv_text(CARS.rename(columns={"Prix": "Prix (EUR)"})), "are in EUR"),
        (csv_text(CARS.assign(Prix=CARS["Prix"].map("{} €".format))), "are in EUR"),
        (csv_text(CARS.assign(Devise="USD")), "are in USD"),
        (csv_text(CARS.rename(columns={"Prix": "Prix (kDH)"})), "count in thousands"),
        (
            csv_text(
                CARS.rename(columns={"Marque": "company", "Modèle": "model", "Année": "year"})
                .rename(columns={"Prix": "price_mad"})
                .assign(low_mad=1, high_mad=2)
            ),
            "own estimate",
        ),
        (csv_text(CARS).split(b"\n", 1)[1], "no header row"),
        (csv_text(CARS.assign(Prix2=1).rename(columns={"Prix2": "Marque "})), "Marque"),
    ],
)
def test_a_file_that_does_not_state_asking_prices_in_dirhams_says_so(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(content)
    with pytest.raises(ListingsError, match=message) as raised:
        load_listings(path)
    assert "?" not in str(raised.value), "options of an upload"


def test_each_row_is_read_in_the_unit_that_it_states(tmp_path: Path) -> None:
    is_miles = np.arange(len(CARS)) % 2 == 1
    km = CARS["Kilométrage"]
    written = km.where(~is_miles, (km / 1.609344).round())
    table = CARS.assign(Kilométrage=written, Unité=np.where(is_miles, "mi", "km"))
    columns = [*table.columns[:4], "Unité", *table.columns[4:-1]]
    path = tmp_path / "cars.csv"
    path.write_bytes(csv_text(table[columns]))
    found, report = load_listings(path)
    np.testing.assert_allclose(found["km_driven"], km, atol=1)
    assert report.unused_columns == ()


@pytest.mark.parametrize("header", ["currency", "devise"])
def test_a_currency_column_counts_beside_price_mad_too(tmp_path: Path, header: str) -> None:
    """Euros were trained on as dirhams."""
    rows = [
        f"dacia,logan,{2010 + at},{50_000 + 1_000 * at},Diesel,{90_000 + 500 * at},{currency}"
        for at, currency in enumerate(["MAD", "EUR", "MAD", "MAD", "EUR", "MAD"])
    ]
    path = tmp_path / "listings.csv"
    head = f"company,model,year,km_driven,fuel,price_mad,{header}"
    path.write_text("\n".join([head, *rows]))
    table, report = load_listings(path)
    assert report.dropped == {"in another currency": 2}
    assert report.unused_columns == ()
    assert len(table) == 4
    path.write_text("\n".join([head, *(row.replace("MAD", "EUR") for row in rows)]))
    with pytest.raises(ListingsError, match=r"in another currency|in EUR"):
        load_listings(path)


def test_a_price_cell_in_another_currency_is_told_as_such(tmp_path: Path) -> None:
    rows = [f"dacia,logan,{2010 + at},{50_000 + at},Diesel,{90_000 + at}" for at in range(5)]
    path = tmp_path / "listings.csv"
    head = "company,model,year,km_driven,fuel,price_mad"
    path.write_text("\n".join([head, *rows, "dacia,logan,2016,60000,Diesel,9500 EUR"]))
    _, report = load_listings(path)
    assert report.dropped == {"in another currency": 1}


def test_prices_of_single_rows_in_another_currency_are_dropped_and_counted(tmp_path: Path) -> None:
    prices = [f"{price} DH" for price in CARS["Prix"]]
    prices[2] = "17000 €"
    path = tmp_path / "cars.csv"
    path.write_bytes(csv_text(CARS.assign(Prix=prices)))
    table, report = load_listings(path)
    assert len(table) == len(CARS) - 1
    assert report.dropped == {"in another currency": 1}


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1 / 10.8, "euros"),
        (1 / 0.13, "rupees"),
        (100.0, "centimes"),
        (5.0, "not in dirhams"),
        (2.1, "not in dirhams"),
        (1 / 2.7, "dirhams of the Emirates"),
        (1 / 3.3, "Tunisian dinars"),
    ],
)
def test_prices_at_another_level_than_the_market_are_refused_with_a_guess(
    tmp_path: Path, market_listings: pd.DataFrame, factor: float, message: str
) -> None:
    path = tmp_path / "cars.csv"
    scaled = market_listings["price_mad"] * factor
    market_listings.assign(price_mad=scaled).to_csv(path, index=False)
    with pytest.raises(ListingsError, match=message):
        load_listings(path)


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_prices_at_a_doubtful_level_are_kept_with_a_warning(
    tmp_path: Path, market_listings: pd.DataFrame, factor: float
) -> None:
    path = tmp_path / "cars.csv"
    scaled = market_listings["price_mad"] * factor
    market_listings.assign(price_mad=scaled).to_csv(path, index=False)
    other = tmp_path / "others.csv"
    market_listings.assign(year=market_listings["year"] - 1).to_csv(other, index=False)
    _, report = load_listings_of([path, other])
    (doubt,) = report.doubts
    found = re.search(r"cars.csv: prices are ([.\d]+) times", doubt)
    assert found is not None
    assert float(found[1]) == pytest.approx(factor, rel=0.05)
    assert report.summary().count("times those of the reference market") == 1
    assert report.files[1].doubts == ()
    assert "doubts" not in report.files[1].to_json()


def test_prices_of_other_cars_are_refused_and_a_part_in_a_near_currency_is_told(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    path = tmp_path / "cars.csv"
    prices = market_listings["price_mad"]
    shuffled = np.random.default_rng(2).permutation(prices)
    market_listings.assign(price_mad=shuffled).to_csv(path, index=False)
    with pytest.raises(ListingsError, match="do not follow the cars"):
        load_listings(path)
    chance = np.random.default_rng(3).random(len(prices))
    for share, is_refused in ((0.15, False), (0.4, True)):
        mixed = prices.where(chance > share, prices / 2.7)
        market_listings.assign(price_mad=mixed).to_csv(path, index=False)
        if is_refused:
            with pytest.raises(ListingsError, match="several currencies"):
                load_listings(path)
        else:
            (doubt,) = load_listings(path)[1].doubts
            assert "another currency" in doubt


def test_a_part_of_the_prices_of_other_cars_is_told_with_its_share(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    """Half of the prices were of other cars, and a quarter was said to be doubtful."""
    path = tmp_path / "cars.csv"
    prices = market_listings["price_mad"].to_numpy()
    rng = np.random.default_rng(2)
    rows = rng.permutation(len(prices))[: len(prices) // 2]
    half = prices.copy()
    half[rows] = half[rng.permutation(rows)]
    assert check_prices("cars", market_listings).doubts == ()
    doubts = check_prices("cars", market_listings.assign(price_mad=half)).doubts
    (share,) = (int(each[1]) for doubt in doubts if (each := re.search(r"about (\d+)%", doubt)))
    assert 40 <= share <= 60
    market_listings.assign(price_mad=half).to_csv(path, index=False)
    assert "are of other cars" in load_listings(path)[1].summary()


@pytest.mark.parametrize("rows", [60, 200])
def test_shuffled_prices_of_a_single_model_are_told_or_refused(
    many_listings: pd.DataFrame, rows: int
) -> None:
    """Its prices are all alike: few are twice what they should be."""
    cars = many_listings[many_listings["model"] == "logan"].head(rows)
    assert len(cars) == rows
    assert check_prices("logan", cars).doubts == ()
    shuffled = np.random.default_rng(5).permutation(cars["price_mad"])
    mixed = cars.assign(price_mad=shuffled)
    if rows >= 100:
        with pytest.raises(ListingsError, match=r"logan: .*about \d+% of those .* other cars"):
            check_prices("logan", mixed)
    else:
        assert any("are of other cars" in doubt for doubt in check_prices("logan", mixed).doubts)


def test_true_prices_follow_the_cars_in_any_file(many_listings: pd.DataFrame) -> None:
    """Also of one brand, model or year, or of few cars."""
    tables = [
        *(many_listings[many_listings["company"] == name] for name in ("kia", "land rover")),
        *(many_listings[many_listings["model"] == name] for name in ("clio", "x5")),
        *(many_listings[many_listings["year"] == year] for year in (2005, 2024)),
        *(many_listings.sample(size, random_state=size) for size in (20, 30, 50, 100)),
    ]
    for table in tables:
        assert len(table) >= 20
        assert not any("of other cars" in doubt for doubt in check_prices("x", table).doubts)


def test_a_small_file_whose_prices_do_not_follow_the_cars_is_doubted(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    """Forty cars are too few to refuse; two typing errors among thirty are no doubt."""
    path = tmp_path / "cars.csv"
    few = market_listings.head(40)
    shuffled = np.random.default_rng(2).permutation(few["price_mad"])
    few.assign(price_mad=shuffled).to_csv(path, index=False)
    table, report = load_listings(path)
    assert len(table) == 40
    assert any("do not follow the cars" in doubt for doubt in report.doubts)
    market_listings.head(40).assign(price_mad=few["price_mad"] / 10.8).to_csv(path, index=False)
    with pytest.raises(ListingsError, match="seem to be in euros"):
        load_listings(path)
    small = market_listings.head(30)
    wrong = small["price_mad"].where(np.arange(30) > 1, small["price_mad"] * 2.5)
    small.assign(price_mad=wrong).to_csv(path, index=False)
    assert load_listings(path)[1].doubts == ()


CANONICAL = CARS.set_axis(
    ["company", "model", "year", "km_driven", "price_mad", "listing_date"], axis=1
)


def test_a_single_price_in_another_currency_beside_blanks_is_dropped(tmp_path: Path) -> None:
    """The name of the column says what the others are in."""
    path = tmp_path / "cars.csv"
    is_first = np.arange(len(CARS)) == 0
    for word in ("EUR", "UAE dirham", "dinar"):
        path.write_bytes(csv_text(CANONICAL.assign(devise=np.where(is_first, word, ""))))
        table, report = load_listings(path)
        assert len(table) == len(CARS) - 1
        assert dict(report.dropped) == {"in another currency": 1}


@pytest.mark.parametrize("header", ["price_mad", "prix (MAD)", "prix"])
def test_prices_beside_an_unknown_currency_are_dropped_whatever_the_header_states(
    tmp_path: Path, header: str
) -> None:
    """Kuwaiti dinars were trained on as dirhams; only a blank leaves the currency to the header."""
    path = tmp_path / "cars.csv"
    for word in ("KWD", "OMR", "XYZ", "riyal", "د.إ"):
        currency = ["MAD"] * len(CARS)
        currency[1], currency[3:5] = "", [word, word]
        table = CANONICAL.assign(devise=currency).rename(columns={"price_mad": header})
        path.write_bytes(csv_text(table))
        found, report = load_listings(path)
        unclear = 3 if header == "prix" else 2
        assert dict(report.dropped) == {"in an unclear currency": unclear}
        assert len(found) == len(CARS) - unclear


def test_the_canonical_layout_reads_currencies_and_units_as_a_batch_does(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(csv_text(CANONICAL.assign(currency="AED")))
    with pytest.raises(ListingsError, match="prices are in AED"):
        load_listings(path)
    is_foreign = np.arange(len(CARS)) % 4 == 0
    in_miles = (CARS["Kilométrage"] / 1.609344).round()
    path.write_bytes(
        csv_text(
            CANONICAL.assign(
                devise=np.where(is_foreign, "EUR", "MAD"), km_driven=in_miles, km_driven_unit="mi"
            )
        )
    )
    table, report = load_listings(path)
    assert report.layout == "canonical"
    assert report.dropped == {"in another currency": 3}
    assert report.unused_columns == ()
    np.testing.assert_allclose(table["km_driven"], CARS["Kilométrage"][~is_foreign], atol=1)


@pytest.mark.parametrize("is_foreign", ["some", "all"])
def test_cells_of_the_canonical_layout_in_another_currency_are_told(
    tmp_path: Path, is_foreign: str
) -> None:
    path = tmp_path / "cars.csv"
    prices = [f"{price} AED" for price in CARS["Prix"]]
    if is_foreign == "some":
        prices[3:] = map(str, CARS["Prix"][3:])
        path.write_bytes(csv_text(CANONICAL.assign(price_mad=prices)))
        assert load_listings(path)[1].dropped == {"in another currency": 3}
        return
    path.write_bytes(csv_text(CANONICAL.assign(price_mad=prices)))
    with pytest.raises(ListingsError, match="12 in another currency"):
        load_listings(path)


def test_the_price_column_of_the_canonical_layout_is_price_mad(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(csv_text(CANONICAL.assign(price=1.0, currency="MAD")))
    table, _ = load_listings(path)
    assert table["price_mad"].tolist() == CARS["Prix"].tolist()


def test_prices_in_thousands_are_refused_with_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_bytes(csv_text(CARS.assign(Prix=CARS["Prix"] / 1000)))
    with pytest.raises(ListingsError, match=r"impossible price.*1,000 to 100,000,000 MAD"):
        load_listings(path)


def test_prices_in_two_currencies_are_refused_and_typing_errors_are_flagged(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    chance = np.random.default_rng(1).random(len(market_listings))
    path = tmp_path / "cars.csv"
    half = market_listings["price_mad"].where(chance > 0.4, market_listings["price_mad"] / 10.8)
    market_listings.assign(price_mad=half).to_csv(path, index=False)
    with pytest.raises(ListingsError, match="several currencies or scales"):
        load_listings(path)
    wrong = market_listings["price_mad"].where(chance > 0.1, market_listings["price_mad"] * 10)
    without_marks = market_listings.drop(columns="price_suspect").assign(price_mad=wrong)
    without_marks.to_csv(path, index=False)
    table, report = load_listings(path)
    assert len(table) == len(market_listings)
    assert report.suspects > 0.05 * len(table)


def test_listings_of_the_future_are_dropped_and_counted(tmp_path: Path) -> None:
    today = dt.datetime.now(dt.UTC).date()
    # Two months later: in Morocco, an hour ahead, the next month may have begun.
    later = today.replace(day=1) + dt.timedelta(days=65)
    dates = [str(today), str(later), *["2026-05-01"] * (len(CARS) - 2)]
    path = tmp_path / "cars.csv"
    path.write_bytes(csv_text(CARS.assign(**{"Date de publication": dates})))
    table, report = load_listings(path)
    assert report.dropped == {"listed in the future": 1}
    assert len(table) == len(CARS) - 1
    path.write_bytes(csv_text(CARS.assign(**{"Date de publication": "2099-01-01"})))
    with pytest.raises(ListingsError, match=r"none of its 12 rows .*12 listed in the future"):
        load_listings(path)


def test_a_folder_and_repeated_files_are_one_table_without_repetitions(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    market_listings.head(300).to_csv(tmp_path / "a.csv", index=False)
    market_listings.tail(200).to_parquet(tmp_path / "b.parquet", index=False)
    (tmp_path / "README.md").write_text("not listings")
    (tmp_path / ".hidden.csv").write_text("x")
    table, report = load_listings_of([tmp_path])
    repeated = report.dropped["repeated"]
    assert 50 < repeated <= 100
    assert len(table) == report.rows_kept == 500 - repeated
    assert [each.file for each in report.files] == ["a.csv", "b.parquet"]
    assert report.to_json()["files"][0]["rows_kept"] == 300
    again, _ = load_listings_of([tmp_path / "b.parquet", tmp_path / "a.csv"])
    assert len(again) == len(table)
    alone, single = load_listings_of([tmp_path / "a.csv"])
    assert (len(alone), single.files) == (300, ())
    assert "files" not in single.to_json()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ListingsError, match="no files of listings"):
        load_listings_of([empty])


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2024-03-17", "2024-03"),
        ("2024/3", "2024-03"),
        ("17.03.2024", "2024-03"),
        ("17/03/24", "2024-03"),
        ("03/2024", "2024-03"),
        ("20240317", "2024-03"),
        ("202403", "2024-03"),
        ("2024-03-17T08:30:00Z", "2024-03"),
        ("17/03/2024 08:30", "2024-03"),
        ("17 mars 2024", "2024-03"),
        ("March 17, 2024", "2024-03"),
        ("mars 2024", "2024-03"),
        ("1710633600", "2024-03"),
        ("1710633600000", "2024-03"),
        ("hier", None),
        ("2024", None),
        ("2024-13", None),
        ("mars avril 2024", None),
        ("", None),
    ],
)
def test_months_of_dates(text: str, month: str | None) -> None:
    assert parse_month(text) == month


def test_a_column_proves_that_the_month_is_written_first() -> None:
    assert parse_months(["03/04/2024", "03/17/2024"]) == ["2024-03", "2024-03"]
    assert parse_months(["03/04/2024", "17/03/2024"]) == ["2024-04", "2024-03"]
    assert parse_months(["03/04/2024", "13/13/2024"]) == ["2024-04", None]


def test_a_date_before_its_car_or_before_1995_is_unreadable(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    count = len(market_listings)
    dates = ["1905-03", "2017-12", "2018-01", "1994-12", *["2026-05"] * (count - 4)]
    years = [2019.0] * 3 + [1990.0] + market_listings["year"].tolist()[4:]
    table = market_listings.assign(listing_date=dates, year=years)
    table.to_csv(tmp_path / "cars.csv", index=False)
    found, report = load_listings(tmp_path / "cars.csv")
    assert report.rows_kept == len(table)
    assert report.blanked["listing_date"] == 3
    assert report.months == ("2018-01", "2026-05")
    assert found["listing_date"].isna().sum() == 3


def test_one_wrong_year_does_not_move_undated_listings(market_listings: pd.DataFrame) -> None:
    table = market_listings.assign(listing_date=None, year=2024.0)
    table.loc[0, "year"] = 2027.0
    assert latest_month(table) == "2024-01"
    assert latest_month(table.head(9).assign(year=2020.0)) == "2020-01"
    assert latest_month(table.assign(year=2999.0)) == current_month()


def test_typing_errors_are_found_in_files_that_mark_some_prices(
    tmp_path: Path, market_listings: pd.DataFrame
) -> None:
    table = market_listings.assign(price_suspect=False)
    table.loc[0, "price_suspect"] = True
    table.loc[5:9, "price_mad"] *= 10
    table.to_csv(tmp_path / "cars.csv", index=False)
    found, report = load_listings(tmp_path / "cars.csv")
    assert report.layout == "canonical"
    assert found["price_suspect"][[0, 5, 6, 7, 8, 9]].all()
    assert report.suspects < 20


def test_equal_files_and_links_are_read_once_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "cars"
    folder.mkdir()
    text = csv_text(CARS)
    (folder / "a.csv").write_bytes(text)
    (folder / "b.csv").write_bytes(text)
    (folder / "c.csv.gz").write_bytes(gzip.compress(text))
    (folder / "d.csv").symlink_to(folder / "a.csv")
    (folder / "e.csv").write_bytes(csv_text(CARS.iloc[::-1]))
    alone, _ = load_listings(folder / "a.csv")
    table, report = load_listings_of([folder])
    assert len(table) == len(alone) == len(CARS), "few columns, and each row is in several files"
    assert report.not_read == (
        "d.csv (the same file as a.csv)",
        "b.csv (the same content as a.csv)",
        "c.csv.gz (the same content as a.csv)",
    )
    assert "not read  d.csv (the same file as a.csv), b.csv" in report.summary()
    twice, single = load_listings_of([folder / "a.csv", folder / "a.csv"])
    assert (len(twice), single.not_read) == (len(alone), ("a.csv (the same file as a.csv)",))
    assert single.to_json()["not_read"]


def test_a_folder_names_what_it_does_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_text(CARS))
    (tmp_path / "README.txt").write_text("Export of our garage. Ask Ali.\n")
    (tmp_path / "b").write_bytes(csv_text(CARS.assign(Prix=CARS["Prix"] + 1_000)))
    (tmp_path / "photo.jpg").write_bytes(b"xx")
    (tmp_path / "sub").mkdir()
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    table, report = load_listings_of([tmp_path])
    assert len(table) == 2 * len(CARS), "a table without a suffix is read"
    assert sorted(report.not_read) == [
        "README.txt (no table of cars)",
        "gone.csv (a link to a file that is missing)",
        "photo.jpg (not a kind of table)",
        "sub (a folder: name it by itself)",
    ]
    (tmp_path / "note.csv").write_text("Export of our garage. Ask Ali.\n")
    with pytest.raises(ListingsError, match=r"note\.csv: no column for"):
        load_listings_of([tmp_path])


@pytest.mark.parametrize(
    ("name", "advice"),
    [("c.xls", "save it as .xlsx"), ("d.csv.bz2", "pack it with gzip"), ("e.ZIP", "unpack it")],
)
def test_a_folder_with_a_table_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, advice: str
) -> None:
    (tmp_path / "a.csv").write_bytes(csv_text(CARS))
    (tmp_path / name).write_bytes(b"xx")
    with pytest.raises(ListingsError, match=f"cannot be read: {name}: .*{advice}"):
        load_listings_of([tmp_path])


def test_the_file_of_json_has_the_same_report_as_others(tmp_path: Path) -> None:
    path = tmp_path / "cars.json"
    path.write_bytes(FILES["cars.json"])
    _, report = load_listings(path)
    assert report.encoding == "json"
    assert json.loads(json.dumps(report.to_json()))["layout"] == "marketplace-export"
