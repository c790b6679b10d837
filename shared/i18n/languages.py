"""The languages of the service."""

from typing import Final, Literal, get_args

Language = Literal["fr", "ar", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
DEFAULT_LANGUAGE: Final[Language] = "fr"
"""The reference API answers in French."""
SOURCE_LANGUAGE: Final[Language] = "en"
"""The texts in the code are English; the catalogue translates them."""
LANGUAGE_NAMES: Final[dict[Language, str]] = {"fr": "Français", "ar": "العربية", "en": "English"}
"""Each language as it calls itself."""
ARABIC_MEMBERS: Final = (
    "aao", "abh", "abv", "acm", "acq", "acw", "acx", "acy", "adf", "aeb", "aec", "afb", "ajp",
    "apc", "apd", "arb", "arq", "ars", "ary", "arz", "auz", "avl", "ayh", "ayl", "ayn", "ayp",
    "pga", "shu", "ssh",
)  # fmt: skip
"""Members of the macrolanguage Arabic (ISO 639-3), such as Moroccan Arabic (`ary`)."""
OTHER_TAGS: Final[dict[str, Language]] = {"ara": "ar", "eng": "en", "fra": "fr", "fre": "fr"}
OTHER_TAGS.update((member, "ar") for member in ARABIC_MEMBERS)
RIGHT_TO_LEFT: Final[frozenset[Language]] = frozenset({"ar"})


def direction(language: Language) -> Literal["ltr", "rtl"]:
    """The writing direction, as HTML's attribute `dir` names it."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def as_language(tag: str) -> Language | None:
    """The language of a tag such as `ar-MA` or `ary`; None if the service does not have it.

    >>> as_language("ar-MA"), as_language("ary"), as_language("de")
    ('ar', 'ar', None)
    """
    wanted = tag.replace("_", "-").partition("-")[0].casefold()
    known = next((language for language in LANGUAGES if language == wanted), None)
    return known or OTHER_TAGS.get(wanted)


def stored_language(name: str) -> Language:
    """The language that a record names; French if this version does not have it.

    >>> stored_language("ar"), stored_language("de")
    ('ar', 'fr')
    """
    return as_language(name) or DEFAULT_LANGUAGE
