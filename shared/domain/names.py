"""Folding of texts and names; Arabic names of brands and models."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

CACHED_MAX_CHARS = 80
"""Longer texts are no names and are not cached."""
CACHED_TEXTS = 32_768
_NOT_ALPHANUMERIC = re.compile(r"[^0-9a-z]+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_STRETCH_MARK = "\N{ARABIC TATWEEL}"
_DECIMAL_SIGN = re.compile("\N{ARABIC DECIMAL SEPARATOR}([0-9]*)")
_MARKS = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u2212": "-",
    "\N{TRADE MARK SIGN}": "", "\N{SERVICE MARK}": "", "\N{REGISTERED SIGN}": "",
})  # fmt: skip
_EXPONENT = re.compile(r"(?<=\d)[\u00b2\u00b3\u00b9\u2070-\u2079]")
_GROUP_SIGN = "\N{ARABIC THOUSANDS SEPARATOR}"
Meaning = TypeVar("Meaning")


def by_spelling(spellings: Mapping[Meaning, str]) -> dict[str, Meaning]:
    """What each spelling means, from the comma-separated spellings of each meaning.

    >>> by_spelling({"volkswagen": "vw, volks"})
    {'vw': 'volkswagen', 'volks': 'volkswagen'}
    """
    return {one: meaning for meaning, text in spellings.items() for one in text.split(", ")}


def clean_text(text: str) -> str:
    """Remove what cannot be seen, and write digits and spaces as in ASCII.

    Invisible characters (zero width, direction marks, soft hyphens, byte order marks) are removed;
    digits of all scripts, superscripts and full-width letters become plain ones, except the
    exponent of a number; every kind of space becomes a space, a curved apostrophe a straight
    one. The Arabic decimal sign becomes a point, the thousands sign an apostrophe.

    >>> clean_text("12\u200b0\u00a0000"), clean_text("\u0662\u066b\u0665 cm³")
    ('120 000', '2.5 cm3')
    """
    if text.isascii():
        return text
    if _LATIN.fullmatch(text) is None:
        return _clean_any(text)
    return _NOT_ASCII.sub(lambda found: _CLEAN_LATIN[found[0]], text)


# The rules of a field clean and fold a text several times, one after the other.
@lru_cache(maxsize=64)
def _clean_any(text: str) -> str:
    """As `clean_text`, for all characters."""
    text = _EXPONENT.sub(r"^\g<0>", text).translate(_MARKS)
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN_CHARACTERS)
    if _GROUP_SIGN in plain:
        plain = plain.replace(_GROUP_SIGN, "'")
    return _DECIMAL_SIGN.sub(_write_decimals, plain)


def _write_decimals(found: re.Match[str]) -> str:
    """The decimals behind a point; never three of them, which would look like a group."""
    return f".{found[1]}0" if len(found[1]) == 3 else f".{found[1]}"  # noqa: PLR2004


def _plain_character(character: str) -> str:
    """The ASCII digit or space of a digit or space; nothing for an invisible character."""
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category in {"Zs", "Zl", "Zp"}:
        return " "
    return "" if category == "Cf" or character in _INVISIBLE_LETTERS else character


_INVISIBLE_LETTERS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00\ufe01\ufe02\ufe0e\ufe0f"
)
"""Characters without a shape that Unicode does not class as format characters."""

MAX_MAPPED_CHARACTERS = 4096


class _CharacterMap(dict[int, str]):
    """A table for `str.translate` that is filled as characters occur.

    Args:
        replace: gives what stands for a character.
    """

    def __init__(self, replace: Callable[[str], str]) -> None:
        super().__init__()
        self._replace = replace

    def __missing__(self, code: int) -> str:
        text = self._replace(chr(code))
        if len(self) < MAX_MAPPED_CHARACTERS:
            self[code] = text
        return text


_PLAIN_CHARACTERS = _CharacterMap(_plain_character)
_WITHOUT_MARKS = _CharacterMap(lambda one: "" if unicodedata.combining(one) else one)


def plain_text(text: str) -> str:
    """As `clean_text`, in lower case, without accents and with single spaces.

    >>> plain_text(" Prix à  débattre ")
    'prix a debattre'
    """
    return " ".join(_lower_plain(text).split())


def fold(text: str) -> str:
    """Convert to lower case without accents; other characters become single spaces.

    >>> fold("  Citroën C4-Picasso ")
    'citroen c4 picasso'
    """
    return _fold_short(text) if len(text) <= CACHED_MAX_CHARS else _fold(text)


def _fold(text: str) -> str:
    if text.isascii():  # no accents to remove: takes a third of the time
        return _NOT_ALPHANUMERIC.sub(" ", text.lower()).strip()
    return _NOT_ALPHANUMERIC.sub(" ", _lower_plain(text)).strip()


def fold_script(text: str) -> str:
    """As `fold`, for texts in other scripts, whose letters and digits are kept.

    Vowel signs, the tatweel and the variants of alif, which many writers do not distinguish, are
    removed.

    >>> fold_script("دَاسِيـا"), fold_script("أودي")
    ('داسيا', 'اودي')
    """
    return _NOT_A_LETTER.sub(" ", _plain_letters(text)).strip()


_DECIMAL = re.compile(r"(?<!\d)(?<!\d[.,])(\d[.,]\d{1,2}|\d+[.,]0+)(?![.,]?\d)")
"""An engine size, as "1.6" or "1,6"; a whole number as spreadsheets write it."""
_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")
"""A whole number as spreadsheets write it: "208.0"."""
_PLUS = re.compile(
    r"(?<=[^\W_])(?:\+(?=\s|$)|\s?\+(?=\s*$|\s?2\b|\s\d[.,]\d|\s[a-z]?[dt][cds]?i\b))"
)
"""A plus that belongs to a name: behind the word, or before the end, a number or an engine."""
_LETTER_VARIANTS = str.maketrans(
    {
        "ى": "ي",
        "ی": "ي",
        "ة": "\N{ARABIC LETTER HEH}",
        "ک": "ك",
        "گ": "ك",
        "ڭ": "ك",
        "ݣ": "ك",
        "ڤ": "ف",
        "پ": "ب",
    }
    | {_STRETCH_MARK: None}
)
"""Letters of Arabic that writers, or keyboards of other languages, use for one another."""


def fold_name(text: str) -> str:
    """As `fold`, for a brand or a model: decimals stay one word, letters of other scripts stay.

    >>> fold_name("Golf 1,6 TDI"), fold_name("ID.4"), fold_name("208.0"), fold_name("CS35+")
    ('golf 1.6 tdi', 'id 4', '208', 'cs35 plus')
    >>> fold_name("Qashqai+2")
    'qashqai plus 2'
    >>> fold_name("رونو كليو ٤")
    'رونو كليو 4'
    """
    return _fold_name_short(text) if len(text) <= CACHED_MAX_CHARS else _fold_name(text)


def _fold_name(text: str) -> str:
    text = text.lower() if text.isascii() else _plain_letters(text)
    parts = _DECIMAL.split(_PLUS.sub(" plus ", text))
    parts[::2] = [_NOT_A_LETTER.sub(" ", part).strip() for part in parts[::2]]
    parts[1::2] = [decimal.replace(",", ".") for decimal in parts[1::2]]
    name = " ".join(part for part in parts if part)
    whole = _WHOLE_NUMBER.fullmatch(name)
    return name if whole is None else whole[1]


def _plain_letters(text: str) -> str:
    """Lower case without accents and invisible characters, with digits 0 to 9."""
    plain = _lower_plain(text)
    return plain if plain.isascii() else plain.translate(_LETTER_VARIANTS)


def _lower_plain(text: str) -> str:
    """As `clean_text`, in lower case and without accents."""
    if text.isascii():
        return text.lower()
    if _LATIN.fullmatch(text) is None:
        return _lower_any(text)
    return _NOT_ASCII.sub(lambda found: _FOLDED_LATIN[found[0]], text).lower()


@lru_cache(maxsize=64)
def _lower_any(text: str) -> str:
    return _without_accents(_clean_any(text))


def _without_accents(text: str) -> str:
    """Convert to lower case, decompose (NFKD) and remove the combining marks."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    if plain.isascii():
        return plain
    # Again: the decomposition may be a capital ("\N{MATHEMATICAL BOLD CAPITAL A}" becomes "A").
    return unicodedata.normalize("NFKD", plain.casefold()).translate(_WITHOUT_MARKS)


_LATIN_LETTERS = "".join(map(chr, (
    0xA0, 0xAB, 0xB0, 0xBB, *range(0xC0, 0x180), *range(0x2010, 0x2020), 0x2026, 0x202F, 0x20AC,
)))  # fmt: skip
"""Letters and signs of European languages beyond ASCII: those that do not depend on their
neighbours, so that each can be replaced by itself."""
_LATIN = re.compile(f"[\0-\x7f{_LATIN_LETTERS}]*")
_NOT_ASCII = re.compile(r"[^\0-\x7f]")
_CLEAN_LATIN = {letter: _clean_any(letter) for letter in _LATIN_LETTERS}
_FOLDED_LATIN = {letter: _without_accents(text) for letter, text in _CLEAN_LATIN.items()}


_fold_short = lru_cache(maxsize=CACHED_TEXTS)(_fold)
_fold_name_short = lru_cache(maxsize=CACHED_TEXTS)(_fold_name)


ARABIC_BRANDS = by_spelling(
    {
        "toyota": "تويوتا, طويوطا, طيوطا, تيوتا",
        "dacia": "داسيا, داتشيا",
        "renault": "رونو, رينو",
        "peugeot": "بيجو, بوجو",
        "citroen": "سيتروين, ستروين, سيتروان",
        "volkswagen": "فولكسفاغن, فولكسفاجن, فولكس فاكن, فولكسواكن, "
        "فولسفاكن, فولزفاكن, فولكسفاكن, فولس فاكن",
        "mercedes benz": "مرسيدس, مرسديس, مرسيدس بنز, ميرسيديس, مرسيديس, ميرسيدس",
        "bmw": "بي ام دبليو, بي ام",
        "audi": "اودي, او دي",
        "ford": "فورد",
        "fiat": "فيات, فياط",
        "hyundai": "هيونداي, هيوندا, هونداي",
        "kia": "كيا",
        "nissan": "نيسان",
        "opel": "اوبل",
        "skoda": "سكودا",
        "seat": "سيات",
        "honda": "هوندا",
        "mitsubishi": "ميتسوبيشي",
        "suzuki": "سوزوكي",
        "mazda": "مازدا",
        "jeep": "جيب",
        "land rover": "لاند روفر",
        "porsche": "بورش",
        "volvo": "فولفو",
        "jaguar": "جاكوار, جاغوار",
        "mini": "ميني",
        "alfa romeo": "الفا روميو",
        "chery": "شيري",
        "chevrolet": "شيفروليه",
        "isuzu": "ايسوزو",
        "lexus": "لكزس",
        "tesla": "تسلا",
        "ferrari": "فيراري",
        "lamborghini": "لامبورغيني",
    }
)

ARABIC_MODELS = by_spelling(
    {
        "logan": "لوغان, لوكان, لوجان",
        "duster": "داستر, دستر, دوستر",
        "sandero": "سانديرو",
        "dokker": "دوكر",
        "lodgy": "لودجي",
        "clio": "كليو",
        "megane": "ميغان, ميكان",
        "kangoo": "كونغو, كانغو",
        "express": "اكسبريس",
        "golf": "غولف, كولف, جولف",
        "polo": "بولو",
        "passat": "باسات",
        "tiguan": "تيغوان",
        "touareg": "طوارق",
        "corolla": "كورولا",
        "yaris": "ياريس",
        "prado": "برادو",
        "focus": "فوكس, فوكوس",
        "fiesta": "فيستا",
        "kuga": "كوغا",
        "partner": "بارتنر",
        "berlingo": "برلينغو, بيرلينغو",
        "accent": "اكسنت",
        "tucson": "توسان, توكسون",
        "sportage": "سبورتاج",
        "picanto": "بيكانتو",
        "uno": "اونو",
        "punto": "بونتو",
        "doblo": "دوبلو",
        "tipo": "تيبو",
        "qashqai": "قشقاي, كشكاي, قاشقاي, كاشكاي",
        "octavia": "اوكتافيا",
        "ibiza": "ايبيزا",
        "leon": "ليون",
        "stepway": "ستيبواي",
        "jogger": "جوغر",
        "spring": "سبرينغ",
        "captur": "كابتور",
        "symbol": "سيمبول",
        "trafic": "ترافيك",
        "master": "ماستر",
        "twingo": "توينغو, توينجو",
        "laguna": "لاغونا, لاجونا",
        "scenic": "سينيك",
        "kadjar": "كادجار",
        "koleos": "كوليوس",
        "caddy": "كادي",
        "touran": "توران",
        "jetta": "جيتا",
        "bora": "بورا",
        "transit": "ترانزيت",
        "ranger": "رانجر, رينجر",
        "mondeo": "مونديو, موندييو",
        "rav4": "راف 4, راف فور",
        "hilux": "هايلكس, هيلوكس",
        "land cruiser": "لاند كروزر",
        "auris": "اوريس",
        "avensis": "افنسيس",
        "i10": "اي 10",
        "i20": "اي 20",
        "i30": "اي 30",
        "santa fe": "سانتافي, سانتا في",
        "elantra": "النترا, الانترا",
        "creta": "كريتا",
        "rio": "ريو",
        "sorento": "سورينتو",
        "cerato": "سيراتو",
        "juke": "جوك",
        "micra": "ميكرا",
        "x trail": "اكستريل, اكس تريل",
        "navara": "نافارا",
        "civic": "سيفيك",
        "accord": "اكورد",
        "jazz": "جاز",
        "swift": "سويفت",
        "vitara": "فيتارا",
        "fabia": "فابيا",
        "superb": "سوبيرب",
        "corsa": "كورسا",
        "astra": "استرا",
        "insignia": "انسيغنيا, انسيجنيا",
        "ducato": "دوكاتو",
        "fiorino": "فيورينو",
        "panda": "باندا",
        "palio": "باليو",
        "siena": "سيينا",
        "boxer": "بوكسر",
        "c3": "سي 3",
        "c4": "سي 4",
        "range rover": "رنج روفر, رانج روفر, رينج روفر",
        "range rover evoque": "ايفوك, رانج روفر ايفوك, رينج روفر ايفوك",
        "range rover sport": "رانج روفر سبورت, رينج روفر سبورت, رنج روفر سبورت",
        "discovery": "ديسكفري, ديسكوفري",
        "cherokee": "شيروكي",
        "grand cherokee": "جراند شيروكي, غراند شيروكي",
        "wrangler": "رانجلر",
        "compass": "كومباس",
        "lancer": "لانسر",
        "pajero": "باجيرو",
        "cayenne": "كايين",
        "macan": "ماكان",
        "panamera": "باناميرا",
        "classe c": "كلاس سي, سي كلاس",
        "classe e": "كلاس اي, اي كلاس",
        "classe s": "كلاس اس, كلاس س, اس كلاس",
    }
)

ARABIC_CITIES = by_spelling(
    {
        "casablanca": "الدار البيضاء, كازابلانكا",
        "rabat": "الرباط",
        "marrakech": "مراكش",
        "tanger": "طنجة",
        "fes": "فاس",
        "agadir": "أكادير",
        "meknes": "مكناس",
        "kenitra": "القنيطرة",
        "temara": "تمارة",
        "sale": "سلا",
        "tetouan": "تطوان",
        "mohammedia": "المحمدية",
        "el jadida": "الجديدة",
        "nador": "الناظور",
        "oujda": "وجدة",
        "beni mellal": "بني ملال",
        "safi": "آسفي",
        "khouribga": "خريبكة",
        "settat": "سطات",
        "berrechid": "برشيد",
        "khemisset": "الخميسات",
        "larache": "العرائش",
        "taza": "تازة",
        "laayoune": "العيون",
        "essaouira": "الصويرة",
    }
)
