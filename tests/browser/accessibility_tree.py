"""What Chromium tells a screen reader of a page, and what is wrong with it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from playwright.sync_api import Page

from shared.i18n.languages import Language
from tests.unit.api.pages.arabic_text import foreign_words_of

NAMED = frozenset(
    [
        "button", "checkbox", "combobox", "image", "link", "listbox", "meter", "navigation",
        "progressbar", "radio", "region", "searchbox", "slider", "spinbutton", "textbox",
    ]
)  # fmt: skip
"""Roles whose elements a person cannot use, or find, without a name."""
TRANSLATED = NAMED - {"image"}
"""Images of the model card are in the language of the card."""
REFERENCE = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{3}\b")
"""Of an estimate, as pages show it."""
HEADERS = frozenset({"columnheader", "rowheader"})

Node = dict[str, Any]


def tree_problems(page: Page, language: Language, names: Iterable[str] = ()) -> list[str]:
    """What a screen reader would say wrong, or not at all.

    Args:
        page: the page, as it is now.
        language: its language; names in Arabic may have no French or English words.
        names: words of the user, which may stand in a name.
    """
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    problems: list[str] = []
    level = 0
    for node in _in_order(nodes):
        role, name = _value(node, "role"), REFERENCE.sub("", _value(node, "name"))
        if role in NAMED and not name.strip():
            problems.append(f"{role} without a name")
        if role in TRANSLATED and language == "ar" and (foreign := foreign_words_of(name, names)):
            problems.append(f"{role} “{name}” is not in Arabic: {foreign}")
        if role == "heading":
            below, level = (
                level,
                next(one["value"]["value"] for one in node["properties"] if one["name"] == "level"),
            )
            if level > below + 1:
                problems.append(f"heading “{name}” of level {level} follows one of level {below}")
        if role == "table" and not _has_headers(node, nodes):
            problems.append(f"table “{name}” has no headers")
    return problems


def _value(node: Node, name: str) -> str:
    return str(node.get(name, {}).get("value", ""))


def _in_order(nodes: list[Node]) -> Iterator[Node]:
    """The nodes that are told, as they are read."""
    by_id = {node["nodeId"]: node for node in nodes}
    waiting = [nodes[0]]
    while waiting:
        node = waiting.pop()
        if not node["ignored"]:
            yield node
        children = (by_id.get(one) for one in reversed(node.get("childIds", [])))
        waiting.extend(one for one in children if one)


def _has_headers(table: Node, nodes: list[Node]) -> bool:
    by_id = {node["nodeId"]: node for node in nodes}
    waiting = list(table.get("childIds", []))
    while waiting:
        if node := by_id.get(waiting.pop()):
            if _value(node, "role") in HEADERS:
                return True
            waiting.extend(node.get("childIds", []))
    return False
