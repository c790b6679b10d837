"""The model card describes a version and contains no data of single listings."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from string import Formatter

import numpy as np
import pytest

from model_store.cards.card import write_card
from model_store.cards.languages import CardTexts
from model_store.cards.texts import CONTEXT, LICENCES, LIMITS, TEXTS, USE
from model_store.registry.bundle import save_bundle
from model_store.registry.manifest import ModelVersion
from model_store.training.card_predictions import by_age, by_brand, by_estimate, by_level
from model_store.training.train import TrainedModel
from shared.i18n.catalogue import translate_in_context
from shared.i18n.languages import LANGUAGES, Language
from tests.unit.model_store import small_models


@pytest.fixture(scope="module")
def card(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A version's folder with its card, and the card's text."""
    measured = dataclasses.replace(trained, metrics=small_models.SCORES)
    path = tmp_path_factory.mktemp("card")
    version = save_bundle(
        measured, path, lambda made: write_card(made, small_models.card_predictions())
    )
    return path / version.id, (path / version.id / "card.md").read_text()


def test_it_names_version_data_scores_use_limits_and_licences(card: tuple[Path, str]) -> None:
    folder, text = card
    version = ModelVersion.read(folder)
    for said in (
        version.id,
        str(version.training["digest"]),
        version.libraries["scikit-learn"],
        version.data_as_of,
        "20,000 MAD",
        "## Intended use",
        "## Limits",
        "asking prices",
        "## Licences",
    ):
        assert said in text


def test_every_image_of_the_card_is_a_png_file_beside_it(card: tuple[Path, str]) -> None:
    folder, text = card
    shown = re.findall(r"!\[.+\]\((.+)\)", text)
    assert len(shown) == 7
    french = re.findall(r"!\[.+\]\((.+)\)", (folder / "card-fr.md").read_text())
    assert len(french) == 7
    assert re.findall(r"!\[.+\]\((.+)\)", (folder / "card-ar.md").read_text()) == french
    assert {*shown, *french} == {path.name for path in folder.glob("*.png")}
    for name in (*shown, *french):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert name in ModelVersion.read(folder).files


@pytest.mark.parametrize(
    ("growth", "said"),
    [
        (
            {"source": "measured", "origins": ["2024-03", "2024-09"], "listings": 12_345,
             "data_until": "2026-01", "width_by_months": {"0": 1.0, "12": 1.105}},
            {"en": ("up to 2024-03, 2024-09, on 12,345 listings", "since 2026-01", "| 12 | 1.10 |"),
             "fr": ("jusqu'à 2024-03, 2024-09", "depuis 2026-01", "| 12 | 1,10 |")},
        ),
        (
            {"source": "reference", "reason": "the listings have no dates",
             "reason_code": "no-dates", "width_by_months": {"12": 1.2}},
            {"en": ("not measured on these listings: they have no dates.", "since 2026-06"),
             "fr": ("non mesuré sur ces annonces\u202f: elles n'ont pas de dates.",)},
        ),
        (
            {"source": "reference", "reason": "all listings are of one month (2025-03)",
             "reason_code": "one-month", "month": "2025-03", "width_by_months": {"12": 1.2}},
            {"en": ("all are of one month (2025-03)",),
             "fr": ("toutes sont du même mois (2025-03)",)},
        ),
        (
            {"source": "reference", "reason": "the listings are generated",
             "width_by_months": {"12": 1.2}},
            {"en": ("the manifest says why",), "fr": ("le manifeste de la version dit pourquoi",)},
        ),
    ],
)  # fmt: skip
def test_the_card_says_how_intervals_widen_with_the_age_of_the_data(
    trained: TrainedModel, tmp_path: Path, growth: dict[str, object], said: dict[str, list[str]]
) -> None:
    training = {**trained.training, "interval_growth": growth}
    version = save_bundle(
        dataclasses.replace(trained, metrics=small_models.SCORES, training=training),
        tmp_path,
        lambda made: write_card(made, small_models.card_predictions(400)),
    )
    for file, language in (("card.md", "en"), ("card-fr.md", "fr")):
        text = (tmp_path / version.id / file).read_text()
        assert [one for one in said[language] if one not in text] == []


def test_the_card_mentions_generated_training_data(trained: TrainedModel, tmp_path: Path) -> None:
    def text_of(name: str) -> str:
        training = {**trained.training, "name": name}
        made = dataclasses.replace(trained, metrics=small_models.SCORES, training=training)
        version = save_bundle(
            made, tmp_path, lambda made: write_card(made, small_models.card_predictions(400))
        )
        return (tmp_path / version.id / "card.md").read_text()

    assert "GENERATED" in text_of("reference market")
    assert "GENERATED" not in text_of("stock.csv")


@pytest.mark.parametrize("name", ["card", "card-fr", "card-ar"])
def test_json_and_markdown_have_the_same_content(card: tuple[Path, str], name: str) -> None:
    folder, _ = card
    text = (folder / f"{name}.md").read_text()
    content = json.loads((folder / f"{name}.json").read_text())
    assert text.startswith(f"# {content['title']}\n")
    for block in content["blocks"]:
        if "heading" in block:
            assert f"## {block['heading']}" in text


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_every_text_is_translated_with_the_same_values(language: Language) -> None:
    def values(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name)

    for english in (*TEXTS.values(), *USE, *LIMITS, *LICENCES):
        translated = translate_in_context(CONTEXT, english, language)
        assert values(english) == values(translated), english
        assert translated != english or english in {"R²", "{mae} MAD ({mape})", "{time} UTC",
                                                    "information", "Licences"}, english  # fmt: skip


def test_the_arabic_card_is_arabic_with_the_blocks_of_the_french_one(
    card: tuple[Path, str],
) -> None:
    """Latin letters are those of names: of formats, libraries, columns and brands."""
    folder, _ = card
    french, arabic = (
        json.loads((folder / f"{name}.json").read_text())["blocks"]
        for name in ("card-fr", "card-ar")
    )
    note = {"text": CardTexts("ar")("french-plots")}
    assert [list(one) for one in french] == [list(one) for one in arabic if one != note]
    assert arabic.count(note) == 1
    text = (folder / "card-ar.md").read_text()
    words = set(re.findall(r"[A-Za-zÀ-ÿ]{3,}", re.sub(r"\([a-z-]+\.png\)|`.*?`", "", text)))
    french_text = (folder / "card-fr.md").read_text()
    names = {"carprice", "evaluate", "docs", "market", "LICENSE", "MIT", "SHA", "ridge", "out",
             "bag", "RandomForestRegressor"}  # fmt: skip
    kept = {word for word in words - names if word not in french_text}
    assert kept == set()
    assert not words & {"the", "les", "des", "annonces", "prix", "marque", "erreur", "price"}
    assert "20.000 درهم" in text
    assert re.search(r"\d,\d+%", text)


def test_numbers_of_an_arabic_card_are_written_as_in_morocco() -> None:
    arabic = CardTexts("ar")
    assert arabic.number(1234567.5, 1) == "1.234.567,5"
    assert arabic.percent(-3.14, signed=True) == "\u22123,1%"
    assert arabic.group("over 1,200") == "أكثر من 1.200"
    assert arabic("title", version="2026-11-30T1-4b") == (
        "بطاقة النموذج \u20662026-11-30T1-4b\u2069"
    )
    assert arabic.group("model unknown") == "موديل غير معروف"
    assert arabic.split("out of bag, something new") == CardTexts("ar").say(
        "described in the version's manifest, field metrics.split"
    )


def test_the_french_card_has_the_blocks_of_the_english_one_and_none_of_its_texts(
    card: tuple[Path, str],
) -> None:
    folder, _ = card
    english, french = (
        json.loads((folder / f"{name}.json").read_text())["blocks"] for name in ("card", "card-fr")
    )
    assert [list(block) for block in english] == [list(block) for block in french]
    for one, other in zip(english, french, strict=True):
        if "table" in one:
            assert len(one["table"]["rows"]) == len(other["table"]["rows"])
        elif "list" in one:
            assert not set(one["list"]) & set(other["list"])
        elif one != {"heading": "Licences"}:
            assert one != other
    text = re.sub(r"\(card-[a-z-]+\.png\)|out-of-bag", "", (folder / "card-fr.md").read_text())
    assert not re.search(r"\b(the|of|and|listings|error|brand|age \(years\)|up to)\b", text)
    assert "20\u202f000 MAD" in text
    assert re.search(r"\d,\d+\u202f%", text)


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("out of bag, baseline cross-fitted, field dropout on", "validation croisée"),
        ("out of bag, something new", "manifeste"),
    ],
)
def test_a_method_of_measurement_is_translated_whole_or_referred_to(split: str, said: str) -> None:
    french = CardTexts("fr").split(split)
    assert said in french
    assert "something new" not in french
    assert CardTexts("en").split(split) == split


def test_labels_of_groups_and_columns_are_french() -> None:
    texts = CardTexts("fr")
    labels = [texts.group(label) for label in ("up to 45", "over 1,200", "model unknown", "dacia")]
    assert labels == ["jusqu'à 45", "plus de 1\u202f200", "modèle inconnu", "dacia"]
    columns = [texts.column(name) for name in ("km_driven", "effect_model", "baseline_log", "new")]
    assert columns == [
        "Kilométrage", "effet\u202f: Modèle", "prix de la régression", "new",
    ]  # fmt: skip
    found = small_models.card_predictions(3000)
    for group in (*by_age(found), *by_estimate(found), *by_level(found), *by_brand(found)):
        assert "to " not in texts.group(group.label)


def test_numbers_have_a_minus_sign_and_zero_has_none() -> None:
    english, french = CardTexts("en"), CardTexts("fr")
    assert english.percent(-3.14, signed=True) == "\u22123.1 %"
    assert french.percent(-3.14, signed=True) == "\u22123,1\u202f%"
    for texts in (english, french):
        for nothing in (-0.04, 0.04, -0.0, 0.0):
            assert texts.percent(nothing, signed=True).startswith("0"), nothing
    assert french.percent(0.06, signed=True) == "+0,1\u202f%"


@pytest.mark.parametrize("language", LANGUAGES)
def test_ranges_have_a_dash_and_brands_their_makers_spelling(language: Language) -> None:
    texts = CardTexts(language)
    assert texts.group("45-60") == "45\u201360"
    assert texts.group("Mercedes-Benz") == "Mercedes-Benz"
    found = small_models.card_predictions(300)
    found = dataclasses.replace(found, company=np.full(300, "mercedes benz", dtype=object))
    assert [group.label for group in by_brand(found)] == ["Mercedes-Benz"]


def test_groups_of_fewer_than_ten_listings_are_left_out() -> None:
    found = small_models.card_predictions(300)
    brands = by_brand(found)
    assert [group.label for group in brands] == ["Dacia", "Renault"]
    assert all(
        group.listings >= 10
        for groups in (brands, by_age(found), by_estimate(found), by_level(found))
        for group in groups
    )


def test_metrics_of_a_group_are_computed_from_its_listings() -> None:
    found = small_models.card_predictions()
    (whole,) = by_level(found)
    error = found.price_mad / found.actual_mad - 1
    assert whole.listings == 3000
    assert whole.median_ape == pytest.approx(100 * np.median(np.abs(error)), abs=0.05)
    assert whole.bias == pytest.approx(100 * np.median(error), abs=0.05)
    inside = np.abs(np.log(found.actual_mad / found.price_mad)) <= 0.3 * 6 / 8
    assert whole.coverage_90 == pytest.approx(inside.mean(), abs=0.05)
    assert sum(group.listings for group in by_estimate(found)) == 3000


def test_plots_are_drawn_only_when_a_card_is_written() -> None:
    code = (
        "import sys, cli.training.train, model_store.cards.card;"
        "sys.exit(bool({'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
