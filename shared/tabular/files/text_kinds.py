"""Recognises text formats other than CSV by how they begin: HTML, XML, RTF, web archives."""

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_COMMENTS = re.compile(r"(?:\s|\x00|\ufeff|<!--.*?-->)*", re.DOTALL)
_HTML = re.compile(
    r"<(?:!doctype\s+html|(?:html|head|body|table|meta|title|style|script|link|base|div|span|p|br"
    r"|font|center|h[1-6]|form|tr|thead|tbody)(?=[\s/>]))",
    re.IGNORECASE,
)
_XML = re.compile(r"<(?:\?xml\b|!doctype\b)", re.IGNORECASE)
_ELEMENTS = re.compile(r"<([A-Za-z_][\w.:-]*)(?:\s+[\w.:-]+\s*=[^<>]*)?\s*>\s*<[A-Za-z_!?]")
"""An element that begins with another one. Names in a header such as `<DATE>,<TIME>` do not."""
_ROOT = re.compile(r"<([A-Za-z_][\w.:-]*)")
SQL_HEAD_CHARS = 4_000
_SPREADSHEET_XML = "urn:schemas-microsoft-com:office:spreadsheet"
_WEB_ARCHIVE = re.compile(r"(?:[\w-]+:.*\r?\n)*content-type:\s*multipart/related", re.IGNORECASE)
_SYLK = re.compile(r"ID;P[A-Z0-9]+(?:;\w+)*\r?\n(?:P;P|B;[XY]\d|C;[XY]\d|F;[PWXY]|O;[LPDE])")
"""Its second record, too: a CSV may have a header `ID;PRIX`."""
_DIF = re.compile(r"TABLE\r?\n0,1\r?\n\"")


_SQL = re.compile(
    r"(?:--.*\r?\n|#.*\r?\n|/\*(?:[^*]|\*(?!/))*\*/;?|\s"
    r"|(?:SET|USE|DROP|LOCK|BEGIN|START|PRAGMA)\b[^;]*;)*"
    r"(?:INSERT\s+(?:IGNORE\s+)?INTO|REPLACE\s+INTO"
    r"|CREATE\s+(?:TEMPORARY\s+)?(?:TABLE|DATABASE|SCHEMA)|COPY\s+\S+\s*\([^)]*\)\s+FROM\s+stdin)\s*[\s;]",
    re.IGNORECASE,
)
"""A dump of a database: statements, after comments and settings."""
_JSON = re.compile(
    r"""(?>(?:\s|//[^\n]*\n|/\*.*?\*/)*)  # comments, although JSON has none; read in one way only
    (?:[A-Za-z_$][\w$.]*\s*\(\s*(?=[\[{]))?  # a call around it: JSONP
    (?:\{\s*["}]|\[\s*\]\s*$|\[\s*[\[{]\s*["}\[]
    |\[\s*(?:"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)\s*[,\]]
    |(?:-?\d+(?:\.\d+)?|true|false|null)\s*$)""",
    re.DOTALL | re.VERBOSE,
)
"""An object, a list, or a single value."""


def is_json(first: bytes) -> bool:
    r"""Whether a text is JSON, by its first bytes.

    >>> is_json(b'[{"make": "Kia"}]'), is_json(b'cars([{"make": "Kia"}]);'), is_json(b"12")
    (True, True, True)
    >>> is_json(b"[make];[model]"), is_json(b"// make,model\\nKia,Rio"), is_json(b"12,13")
    (False, False, False)
    """
    return _JSON.match(_decoded(first).lstrip("\ufeff")) is not None


def foreign_text_kind(first: bytes) -> str | None:
    r"""The name of a text format other than CSV; None if the text may be a CSV.

    Blank lines, a byte order mark and comments may precede the first tag.

    >>> foreign_text_kind(b"\xef\xbb\xbf\n\n<!DOCTYPE html><html>")
    'HTML'
    >>> foreign_text_kind(b"<Marque>;<Annee>") is None
    True

    Args:
        first: the first bytes of the file, some thousands if it is that long.
    """
    text = _decoded(first)
    start = _COMMENTS.match(text)
    text = text[start.end() :] if start else text
    if text.startswith("<"):
        return _markup_kind(text)
    if text.startswith("{\\rtf"):
        return "RTF"
    if _SQL.match(text[:SQL_HEAD_CHARS]):
        return "SQL"
    if _WEB_ARCHIVE.match(text[:2_000]):
        return "MHTML"
    if _SYLK.match(text[:200]):
        return "SYLK (.slk)"
    return "DIF" if _DIF.match(text[:200]) else None


def _markup_kind(text: str) -> str | None:
    """The kind of a text that begins with `<`."""
    if _HTML.match(text):
        return "HTML"
    if _XML.match(text) is None and _ELEMENTS.match(text) is None:
        return None
    if _SPREADSHEET_XML in text:
        return "SpreadsheetML (Excel 2003 XML)"
    root = _ROOT.search(text)
    return "HTML" if root is not None and root[1].lower() == "html" else "XML"


def _decoded(first: bytes) -> str:
    """The first bytes as text; only their ASCII letters have to be right."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if first.startswith(mark):
            return first[len(mark) :].decode(encoding, "replace")
    if first[1:2] == b"\0":
        return first.decode("utf-16-le", "replace")
    if first[:1] == b"\0":
        return first.decode("utf-16-be", "replace")
    return first.decode("latin-1")
