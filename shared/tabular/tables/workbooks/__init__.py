"""Reads Excel workbooks: parts, sheets, cells, merged cells and number formats."""
