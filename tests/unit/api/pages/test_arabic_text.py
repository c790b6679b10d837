"""The helper that finds French and English words finds them, and nothing else."""

import pytest

from tests.unit.api.pages.arabic_text import assert_arabic, foreign_words

PAGE = '<html lang="ar" dir="rtl"><body>{}</body></html>'


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<p>الثمن المقدر: 187.300 درهم</p>", []),
        ("<p>Dacia Sandero بمحرك بنزين</p>", []),
        ("<p>Prix de départ</p>", ["Prix", "de", "départ"]),
        ("<p>سيارة new</p>", ["new"]),
        ('<a lang="en" title="English">In English</a><p>نص</p>', []),
        ('<p lang="fr">Prix <br> estimé <b>x</b></p><p>Voiture</p>', ["Voiture"]),
        ("<p><code>carprice train</code> Bonjour</p>", ["Bonjour"]),
        ('<img alt="Courbe des prix">', ["Courbe", "des", "prix"]),
        ('<input placeholder="Rechercher"><svg aria-label="Plot"><path d="M1"/></svg>',
         ["Rechercher", "Plot"]),
        ("<p>voitures.csv و ?columns=company:#1 و https://example.ma/prix</p>", []),
        ('<meta name="description" content="Estimez">', ["Estimez"]),
        ("<p>Mehdi</p>", ["Mehdi"]),
    ],
)  # fmt: skip
def test_words_of_other_languages_are_found(body: str, found: list[str]) -> None:
    assert foreign_words(PAGE.format(body)) == found


def test_what_the_test_entered_is_allowed() -> None:
    assert_arabic(PAGE.format("<p>Ma voiture</p>"), names=["Ma voiture"])


def test_a_page_that_is_not_marked_as_arabic_is_none() -> None:
    with pytest.raises(AssertionError):
        assert_arabic('<html lang="fr"><body>نص</body></html>')
