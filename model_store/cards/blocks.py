"""The format of a model card: a list of blocks, stored as JSON and as Markdown.

A block is an object with a single member, whose name is its kind: `heading`, `text`, `list` (of
texts), `table` (`header`, `rows`) or `image` (`file`, `alt`). The API renders the blocks as a page.
"""

from collections.abc import Sequence
from typing import Any

Block = dict[str, Any]


def heading(text: str) -> Block:
    """A section's title."""
    return {"heading": text}


def paragraph(text: str) -> Block:
    """A paragraph of plain text."""
    return {"text": text}


def bullets(*texts: str) -> Block:
    """A list of plain texts."""
    return {"list": list(texts)}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    """A table of plain texts."""
    return {"table": {"header": list(header), "rows": [[str(cell) for cell in r] for r in rows]}}


def image(file: str, alt: str) -> Block:
    """An image file beside the card, and its alternative text."""
    return {"image": {"file": file, "alt": alt}}


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """The card as Markdown."""
    return "\n\n".join([f"# {title}", *map(_block_markdown, blocks)]) + "\n"


def _block_markdown(block: Block) -> str:
    ((kind, content),) = block.items()
    if kind == "heading":
        return f"## {content}"
    if kind == "list":
        return "\n".join(f"- {text}" for text in content)
    if kind == "image":
        return f"![{content['alt']}]({content['file']})"
    if kind == "table":
        lines = [content["header"], ["---"] * len(content["header"]), *content["rows"]]
        cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        return "\n".join("| " + " | ".join(line) + " |" for line in cells)
    return str(content)
