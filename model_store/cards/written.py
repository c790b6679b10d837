"""The language in which a version's card can be read; needs neither numpy nor matplotlib."""

from collections.abc import Iterator

from model_store.registry.manifest import ModelVersion, card_data_file
from shared.i18n.languages import LANGUAGES, SOURCE_LANGUAGE, Language


def written_languages(version: ModelVersion) -> Iterator[Language]:
    """The languages in which the card of a version was written."""
    return (each for each in LANGUAGES if card_data_file(each) in version.files)


def written_language(version: ModelVersion, wanted: Language) -> Language:
    """The language of a version's card that is nearest to the wanted one.

    Cards of earlier releases are in English, or in English and French: readers of Arabic get the
    French one. English stands for a version without a card, too.
    """
    found = list(written_languages(version))
    return next(
        (each for each in (wanted, "fr") if each in found and wanted != SOURCE_LANGUAGE),
        SOURCE_LANGUAGE,
    )
