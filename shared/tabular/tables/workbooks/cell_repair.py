"""Changes cells of a sheet's XML that python-calamine refuses or reads unlike a person.

- Error values become blank: calamine knows seven of them, and refuses a sheet with another one,
  or with a number that is none. Such a piece of a sheet is repaired and read again.
- Formulas without a saved value are counted. A program that computes nothing saves none, or saves
  a zero and asks for a new calculation.
- Numbers whose format shows a foreign currency or a unit become texts with it.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from xml.sax.saxutils import escape

from shared.tabular.tables.cells import cell_text


class CellRepair:
    """Repairs the cells of one sheet.

    Args:
        units: currency or unit by the number of the cell style that shows it.
        is_calculated_on_load: whether the workbook asks for all its formulas to be computed: saved
            zeros are then no values.
    """

    def __init__(self, units: Mapping[int, str], *, is_calculated_on_load: bool) -> None:
        self._units = units
        self._is_calculated_on_load = is_calculated_on_load
        self._prefix = b""
        self._has_formulas = False
        self.missing_values = 0
        """Formulas without a value so far."""

    def prepare(self, prefix: bytes) -> None:
        """Set the prefix of the sheet's elements, with its colon, before the first repair."""
        self._prefix = prefix

    def repair(self, rows: bytes) -> bytes:
        """The XML of rows, with repaired cells."""
        # Such a search takes a fiftieth of the time that reading the rows takes. A formula that
        # several cells share has its text in the first of them.
        self._has_formulas = self._has_formulas or b"</%bf>" % self._prefix in rows
        if self._has_formulas:
            rows, count = self._missing_value.subn(rb"\1/>", rows)
            self.missing_values += count
        return self._styled.sub(self._with_unit, rows) if self._units else rows

    def repair_refused(self, rows: bytes) -> bytes:
        """The XML of rows that calamine refuses, without error values and unknown types."""
        return self._number.sub(rb"\1", self._error.sub(rb"\1\2/>", rows))

    @cached_property
    def _error(self) -> re.Pattern[bytes]:
        pattern = rb"""(<Pc(?=\s)[^<>]*?)\st=["']e["']([^<>/]*)>.{0,9999}?</Pc\s*>"""
        return self._pattern(pattern)

    @cached_property
    def _number(self) -> re.Pattern[bytes]:
        """The type of a number, or an unknown one. Without it calamine takes a text, too."""
        known = rb"""(?!(?:b|d|e|inlineStr|s|str)["'])"""
        return self._pattern(rb"""(<Pc(?=\s)[^<>]*?)\st=["']""" + known + rb"""[^"'<>]*["']""")

    @cached_property
    def _missing_value(self) -> re.Pattern[bytes]:
        value = rb"<Pv\s*/>|<Pv>\s*</Pv>"
        if self._is_calculated_on_load:
            value += rb"|<Pv>0</Pv>"
        formula = rb"<Pf(?:\s[^<>]*)?(?:/>|(?<!/)>[^<]*</Pf>)"
        return self._pattern(
            rb"(<Pc(?:\s[^<>]*)?)>\s*" + formula + rb"\s*(?:" + value + rb")?\s*</Pc>"
        )

    @cached_property
    def _styled(self) -> re.Pattern[bytes]:
        styles = b"|".join(b"%d" % style for style in self._units)
        return self._pattern(
            rb"""<Pc(?=\s)(?![^<>]*\st=["'](?!n))([^<>]*?)\ss=["'](%b)["']([^<>/]*)>"""
            rb"\s*((?:<Pf[\s>][^<]*</Pf>|<Pf[^<>]*/>)?)\s*<Pv>([^<]*)</Pv>\s*</Pc>" % styles
        )

    def _pattern(self, pattern: bytes) -> re.Pattern[bytes]:
        return re.compile(pattern.replace(b"P", self._prefix), re.DOTALL)

    def _with_unit(self, cell: re.Match[bytes]) -> bytes:
        before, style, after, _, value = cell.groups()
        try:
            number = cell_text(float(value))
        except ValueError:
            return cell[0]
        text = escape(f"{number} {self._units[int(style)]}").encode()
        attributes = re.sub(rb"""\st=["']n["']""", b"", before + after)
        return b'<%bc%b t="str"><%bv>%b</%bv></%bc>' % (
            self._prefix, attributes, self._prefix, text, self._prefix, self._prefix,
        )  # fmt: skip
