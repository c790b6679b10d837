"""Latin names of brands and models written in Arabic."""

from functools import cache

from shared.domain.names import ARABIC_BRANDS, ARABIC_MODELS, by_spelling

_MAX_WORDS = 3
_PARTS = by_spelling(
    {
        "volkswagen": "فولكس فاغن, فولكس فاجن, فولكس واجن, فولكس واغن, فولكس, فولكسواجن",
        "mg": "ام جي",
        "sport": "سبورت, اسبورت, سبور",
        "cross": "كروس",
        "grand": "جراند, غراند, كراند, قراند",
        "picasso": "بيكاسو",
        "aircross": "ايركروس, اير كروس",
        "velar": "فيلار",
        "vogue": "فوغ, فوج",
        "evoque": "ايفوك, ايفوج",
        "stepway": "ستيب واي, ستبواي",
        "plus": "بلس, بلوس",
        "verso": "فيرسو",
        "tepee": "تيبي",
        "cactus": "كاكتوس",
        "allspace": "اولسبيس",
        "land cruiser": "لاندكروزر, لاند كروز",
        "fiesta": "فييستا",
        "ecosport": "ايكو سبورت, ايكوسبورت",
        "captur": "كابتشر, كابشر",
        "cooper": "كوبر",
        "c elysee": "سي اليزيه, سي اليزي, سيليزي",
        "c hr": "سي اتش ار",
        "cr v": "سي ار في",
        "classe": "الفيه, فيه, كلاس",
        "generation": "الجيل, جيل",
        "electrique": "كهرباييه, كهربايي, الكهرباييه, كهرباء",
        "1": "الاول, الاولي, الاوله",
        "2": "الثاني, الثانيه",
        "3": "الثالث, الثالثه",
        "4": "الرابع, الرابعه",
        "5": "الخامس, الخامسه",
        "6": "السادس, السادسه",
        "7": "السابع, السابعه",
        "8": "الثامن, الثامنه",
    }
)
"""Words of names, and names in other spellings than those of `shared.domain.names`."""
_LETTERS = by_spelling(
    {"a": "ايه", "c": "سي", "f": "اف", "m": "ام", "q": "كيو", "r": "ار", "s": "اس", "x": "اكس"}
)
"""Letters by their names; "اي" is left out, as it may be an A, an E or an I."""
_NO_NAMES = frozenset({
    "ابيض", "ابواب", "احمر", "ازرق", "اسود", "اصلي", "اوبشن", "اوتوماتيك", "اوتوماتيكي", "باب",
    "بنزين", "بيضاء", "جديد", "جديده", "جيد", "جيده", "حاله", "حصان", "درهم", "دفع", "ديزل",
    "رباعي", "رمادي", "سنه", "سوداء", "سياره", "عام", "عاديه", "فل", "فول", "كامله", "كهرباء",
    "كيلومتر", "للبيع", "مازوت", "مانويل", "محرك", "مستعمل", "مستعمله", "مغربيه", "ممتاز",
    "ممتازه", "موديل", "ناضيه", "نظيف", "نظيفه", "هايبرد", "هيبريد", "وارد", "يدوي",
})  # fmt: skip
"""Words of listings that do not belong to a name."""


def to_latin(text: str) -> str:
    """Replace the known Arabic names in a folded text; other words stay.

    >>> to_latin("رونو كليو 4"), to_latin("clio 4"), to_latin("كورولا كروس")
    ('renault clio 4', 'clio 4', 'corolla cross')
    """
    if text.isascii():
        return text
    names = _latin_names()
    words, latin = text.split(" "), []
    while words:
        for length in range(min(_MAX_WORDS, len(words)), 0, -1):
            written = " ".join(words[:length])
            if length == 1 or written in names:
                latin.append(names.get(written, written))
                del words[:length]
                break
    return " ".join(latin)


def may_name(word: str) -> bool:
    """Whether a word that `to_latin` left may be a part of a name that is not known in Arabic."""
    return not word.isascii() and "\u0600" <= word[0] <= "\u06ff" and word not in _NO_NAMES


@cache
def _latin_names() -> dict[str, str]:
    return _LETTERS | _PARTS | ARABIC_MODELS | ARABIC_BRANDS
