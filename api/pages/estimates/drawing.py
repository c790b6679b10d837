"""Draws an estimate as a PDF page or as a preview image; a process of its own.

python -m api.pages.estimates.drawing < content.json > estimate.pdf

All texts come translated and formatted (`api.pages.estimates.documents`). Lines are shaped by
HarfBuzz, so that Arabic letters join and lines run from the right.
"""

import importlib.util
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import orjson
from fpdf import FPDF
from fpdf.enums import Align

FONT = "dejavu"
FONT_PACKAGE, FONT_FOLDER = "matplotlib", Path("mpl-data/fonts/ttf")
"""The package brings the fonts; it is located, not imported."""
INK, MUTED, ACCENT, PAPER = (27, 31, 29), (89, 97, 93), (11, 107, 82), (246, 245, 241)
PREVIEW_SIZE = (1200, 630)
SECTION_MM = 22.0
"""Height of a heading with the first lines below it, which stay on one page."""
MARGIN_MM, QR_MM, FOOT_GAP_MM = 18.0, 34.0, 4.0
ISOLATE, END_OF_ISOLATE = "\u2066", "\u2069"
_LATIN = "A-Za-z\u00c0-\u024f"
_LATIN_NAME = re.compile(rf"[{_LATIN}](?:[{_LATIN}0-9 \u00a0.'/&+-]*[{_LATIN}0-9])?")


class Sheet(FPDF):
    """One page of texts in one direction.

    Args:
        content: what is drawn.
        unit: of all lengths.
        size: width and height, or the name of a paper.
    """

    def __init__(self, content: Mapping[str, Any], unit: str, size: Any) -> None:
        super().__init__(unit=unit, format=size)
        self.is_rtl = content["direction"] == "rtl"
        self.start = Align.R if self.is_rtl else Align.L
        self.end = Align.L if self.is_rtl else Align.R
        self.set_auto_page_break(auto=False)
        folder = font_folder()
        self.add_font(FONT, "", folder / "DejaVuSans.ttf")
        self.add_font(FONT, "B", folder / "DejaVuSans-Bold.ttf")
        self.set_text_shaping(use_shaping_engine=True, direction="rtl" if self.is_rtl else "ltr")
        self.set_lang(content["language"])
        self.set_title(content["car"])
        self.add_page()

    def line_of(self, text: str, size: float, *, bold: bool = False, colour: Any = INK) -> None:
        """A paragraph over the whole width, in points of type size."""
        self.set_font(FONT, "B" if bold else "", size)
        self.set_text_color(*colour)
        height = 1.35 * size / self.k
        if self.is_rtl:
            text = isolate_names(text)
        self.set_x(self.l_margin)
        self.multi_cell(self.epw, height, text, align=self.start, new_x="LMARGIN", new_y="NEXT")

    def pair(self, label: str, value: str, size: float) -> None:
        """A label at the start and its value in the second half; each takes the lines it needs."""
        height, half = 1.5 * size / self.k, self.epw / 2
        self.set_font(FONT, "", size)
        texts = [label, value]
        taken = max(self._height(text, half, height) for text in texts)
        if self.will_page_break(taken):
            self.add_page()
        top = self.get_y()
        left, right = self.l_margin, self.l_margin + half
        places = (right, left) if self.is_rtl else (left, right)
        for text, place, colour in zip(texts, places, (MUTED, INK), strict=True):
            self.set_text_color(*colour)
            self.set_xy(place, top)
            self.multi_cell(half, height, text, align=self.start)
        self.set_draw_color(220, 218, 209)
        self.line(self.l_margin, top + taken, self.l_margin + self.epw, top + taken)
        self.set_xy(self.l_margin, top + taken)

    def _height(self, text: str, width: float, line_height: float) -> float:
        """The height that a text takes in a column."""
        found = self.multi_cell(width, line_height, text, dry_run=True, output="HEIGHT")
        return cast("float", found)


def isolate_names(text: str) -> str:
    r"""Mark Latin names in an Arabic line, so that the numbers after them are not drawn into them.

    >>> isolate_names("Logan 1.5 dCi: 5.000") == "\u2066Logan 1.5 dCi\u2069: 5.000"
    True
    """
    return _LATIN_NAME.sub(rf"{ISOLATE}\g<0>{END_OF_ISOLATE}", text)


def font_folder() -> Path:
    """Where the fonts are; raises `ModuleNotFoundError` without their package."""
    spec = importlib.util.find_spec(FONT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(FONT_PACKAGE)
    return Path(spec.submodule_search_locations[0]) / FONT_FOLDER


def draw_pdf(content: Mapping[str, Any]) -> bytes:
    """The estimate on a page of A4; what it cannot hold is on further ones."""
    sheet = Sheet(content, "mm", "A4")
    sheet.set_margins(MARGIN_MM, MARGIN_MM)
    sheet.set_auto_page_break(auto=True, margin=MARGIN_MM)
    sheet.set_y(MARGIN_MM)
    sheet.line_of(f"{content['site']}", 9, bold=True, colour=ACCENT)
    sheet.line_of(content["title"], 9, colour=MUTED)
    sheet.ln(5)
    sheet.line_of(content["car"], 17, bold=True)
    sheet.line_of(content["price"], 26, bold=True, colour=ACCENT)
    sheet.line_of(content["interval"], 10.5)
    if content["verdict"]:
        sheet.ln(1.5)
        sheet.line_of(content["verdict"], 10.5, bold=True)
    _section(sheet, content["facts_title"], has_content=bool(content["facts"]))
    for label, value in content["facts"]:
        sheet.pair(label, value, 10)
    _section(sheet, content["explanation_title"], has_content=bool(content["explanation"]))
    for sentence in content["explanation"]:
        sheet.line_of(sentence, 10)
    _foot(sheet, content)
    return bytes(sheet.output())


def draw_preview(content: Mapping[str, Any]) -> bytes:
    """The image that messengers show: car, price, interval, date."""
    # Imported here: the PDF needs neither.
    import pypdfium2 as pdfium  # noqa: PLC0415

    width, height = PREVIEW_SIZE
    sheet = Sheet(content, "pt", PREVIEW_SIZE)
    sheet.set_margins(70, 60)
    sheet.set_fill_color(*PAPER)
    sheet.rect(0, 0, width, height, style="F")
    sheet.set_fill_color(*ACCENT)
    sheet.rect(0, height - 18, width, 18, style="F")
    sheet.set_y(56)
    sheet.line_of(content["site"], 28, bold=True, colour=ACCENT)
    sheet.ln(28)
    sheet.line_of(content["car"], _fitting(sheet, content["car"], 60), bold=True)
    sheet.line_of(content["price"], 92, bold=True, colour=ACCENT)
    sheet.ln(14)
    sheet.line_of(content["interval"], 32)
    sheet.set_y(height - 86)
    sheet.line_of(f"{content['date']} · {content['reference']}", 24, colour=MUTED)
    page = pdfium.PdfDocument(bytes(sheet.output()))[0]
    image = io.BytesIO()
    page.render(scale=1).to_pil().convert("P", palette=1, colors=64).save(
        image, "PNG", optimize=True
    )
    return image.getvalue()


def _fitting(sheet: Sheet, text: str, size: float) -> float:
    """The largest type size, up to `size`, in which a text takes one line; half of it at least."""
    sheet.set_font(FONT, "B", size)
    return max(size / 2, min(size, size * 0.98 * sheet.epw / sheet.get_string_width(text)))


def _section(sheet: Sheet, title: str, *, has_content: bool) -> None:
    if has_content:
        if sheet.will_page_break(SECTION_MM):
            sheet.add_page()
        sheet.ln(4.5)
        sheet.line_of(title, 11.5, bold=True)
        sheet.ln(1)


def _foot(sheet: Sheet, content: Mapping[str, Any]) -> None:
    """QR code, date, reference and address at the lower end of the last page."""
    top = sheet.h - MARGIN_MM - QR_MM
    if sheet.get_y() > top - FOOT_GAP_MM:
        sheet.add_page()
    # The foot has its place: nothing of it begins a page.
    sheet.set_auto_page_break(auto=False)
    left = sheet.l_margin if sheet.is_rtl else sheet.l_margin + sheet.epw - QR_MM
    rows = content["qr"]
    cell = QR_MM / len(rows)
    sheet.set_fill_color(0, 0, 0)
    for number, row in enumerate(rows):
        for column, module in enumerate(row):
            if module == "1":
                # A little wider, so that viewers show no seams.
                x, y = left + column * cell, top + number * cell
                sheet.rect(x, y, cell * 1.02, cell * 1.02, style="F")
    full, side = sheet.epw, QR_MM + 6
    sheet.set_right_margin(MARGIN_MM if sheet.is_rtl else MARGIN_MM + side)
    sheet.set_left_margin(MARGIN_MM + side if sheet.is_rtl else MARGIN_MM)
    sheet.set_y(top)
    sheet.line_of(content["date"], 9.5, bold=True)
    sheet.line_of(content["reference"], 9.5, bold=True)
    sheet.line_of(content["basis"], 8, colour=MUTED)
    sheet.ln(1)
    sheet.set_font(FONT, "", 7)
    sheet.set_text_color(*MUTED)
    # Names and addresses run from the left in every language.
    sheet.set_text_shaping(use_shaping_engine=True, direction="ltr")
    for text in (content["model"], content["address"]):
        sheet.set_x(sheet.l_margin)
        sheet.multi_cell(full - side, 3.6, text, align=sheet.start, new_x="LMARGIN", new_y="NEXT")


def main() -> None:
    """Read the content from the standard input and write the file to the standard output."""
    content = orjson.loads(sys.stdin.buffer.read())
    draw = draw_pdf if content["kind"] == "pdf" else draw_preview
    sys.stdout.buffer.write(draw(content))


if __name__ == "__main__":
    main()
