"""Update the message catalogue from the code, and compile it: `make messages`.

python -m scripts.messages           update and compile
python -m scripts.messages --check   exit with 1 if a file would change or a text is untranslated
"""

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from cli.help_texts import help_texts
from shared.i18n.catalogue import DOMAIN, LOCALE
from shared.i18n.languages import LANGUAGES, SOURCE_LANGUAGE

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "cli", "data", "launcher", "model_store", "shared", "worker")
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract")]
OPTIONS = {"**/templates/**.html": {"newstyle_gettext": "true", "silent": "false"}}
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "mark": None,
    "translate": None,
    "translate_plural": (1, 2),
    "mark_in_context": ((1, "c"), 2),
    "translate_in_context": ((1, "c"), 2),
}
NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""Dates in the files' headers would change with every update."""
TRANSLATED = tuple(language for language in LANGUAGES if language != SOURCE_LANGUAGE)


def collect() -> Catalog:
    """The texts of the code, each with the files that use it."""
    template = Catalog(domain=DOMAIN, charset="utf-8")
    for package in PACKAGES:
        found = extract_from_dir(
            ROOT / package, METHODS, OPTIONS, KEYWORDS, comment_tags=("Translators:",)
        )
        for name, _line, message, comments, context in found:
            template.add(
                message,
                locations=[(f"{package}/{name}", 0)],
                auto_comments=comments,
                context=context,
            )
    for text, file in help_texts():
        template.add(text, locations=[(file, 0)])
    return template


def updated(language: str, template: Catalog) -> Catalog:
    """The catalogue of a language, with the texts of `template` and without others."""
    path = po_file(language)
    known = Catalog(locale=language, domain=DOMAIN)
    if path.exists():
        with path.open("rb") as source:
            known = read_po(source, locale=language, domain=DOMAIN)
    known.update(template, no_fuzzy_matching=True, update_creation_date=False)
    catalog = Catalog(
        locale=language,
        domain=DOMAIN,
        header_comment=f"# Translations of the English texts of the code: {language}.",
        project="CarPricePredictor-MA",
        version="1",
        charset="utf-8",
        creation_date=NO_DATE,
        revision_date=NO_DATE,
        fuzzy=False,
    )
    for message in known:
        if message.id:
            catalog[message.id] = message
    return catalog


def po_file(language: str) -> Path:
    """Where the translations of a language are edited."""
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def render(catalog: Catalog) -> tuple[bytes, bytes]:
    """The files `.po` and `.mo` of a catalogue."""
    text, compiled = io.BytesIO(), io.BytesIO()
    write_po(text, catalog, width=100, sort_output=True, omit_header=False, include_lineno=False)
    write_mo(compiled, catalog)
    return text.getvalue(), compiled.getvalue()


def forms(message: Message) -> tuple[str, ...]:
    """The translations of a text: one for each form of the plural, or one."""
    given = message.string
    return tuple(map(str, given)) if isinstance(given, list | tuple) else (str(given or ""),)


def untranslated(catalog: Catalog) -> list[str]:
    """The texts without a translation, or with a form of the plural that has none."""
    return [str(message.id) for message in catalog if message.id and not all(forms(message))]


def main() -> int:
    """Update or check the files of every language."""
    is_check = "--check" in sys.argv[1:]
    template = collect()
    code = 0
    for language in TRANSLATED:
        catalog = updated(language, template)
        missing = untranslated(catalog)
        for text in missing:
            print(f"{language}: no translation: {text}")
        po = po_file(language)
        for path, content in zip((po, po.with_suffix(".mo")), render(catalog), strict=True):
            if path.exists() and path.read_bytes() == content:
                continue
            if is_check:
                print(f"{path.relative_to(ROOT)} is not up to date: make messages")
                code = 1
            else:
                path.write_bytes(content)
        if missing:
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
