"""A person who uses the pages for the first time: acts by visible texts, in one language.

Every act is counted, so that a test can say how many a task takes.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import translate
from shared.i18n.languages import Language, direction
from shared.messages.texts import choice_name

SCREENSHOTS = Path(__file__).parents[2] / "reports" / "screenshots"
PHONE = {"width": 360, "height": 740}
MOST_ACTIONS = 12
LOCALES: dict[Language, str] = {"fr": "fr-MA", "ar": "ar-MA", "en": "en-GB"}


class Newcomer:
    """Clicks, fills, chooses and ticks what the page shows, and counts it."""

    def __init__(self, page: Page, language: Language) -> None:
        self.page, self.language = page, language
        self.actions: list[str] = []
        self.looks_at_page()

    def text(self, msgid: str, *, is_start: bool = False, **values: Any) -> re.Pattern[str]:
        """A text of the catalogue, whichever apostrophes and spaces the page shows.

        Args:
            msgid: the English text.
            is_start: whether more text may follow.
            values: of its placeholders.
        """
        words = re.escape(translate(msgid, self.language) % values)
        words = re.sub(r"['\u2019]", "['\u2019]", words)
        words = re.sub(r"(?:\\?\s)+", r"\\s+", words)
        return re.compile(rf"^\s*{words}(?!\w)" if is_start else rf"^\s*{words}\s*$")

    def label(self, field: str) -> str:
        """The name of a field of a car."""
        return CAR_FIELDS[field].label(self.language)

    def act(self, name: str, do: Callable[..., Any], *values: Any) -> None:
        """Count one action and do it."""
        self.actions.append(name)
        assert len(self.actions) <= MOST_ACTIONS, self.actions
        do(*values)

    def click(
        self, role: Any, msgid: str, within: Locator | None = None, *, is_start: bool = False
    ) -> None:
        """Click the first element of a role that has a text of the catalogue, or starts with it."""
        name = self.text(msgid, is_start=is_start)
        self.act(msgid, (within or self.page).get_by_role(role, name=name).first.click)

    def open_section(self, msgid: str) -> None:
        """Open a folded section by its heading."""
        self.act(msgid, self.page.locator("summary").filter(has_text=self.text(msgid)).click)

    def fill(self, field: str, value: str, within: Locator | None = None) -> None:
        """Type into the entry of a field."""
        where = within or self.page
        entry = where.get_by_label(self.label(field), exact=True).and_(where.locator("input"))
        self.act(f"{field}: {value}", entry.fill, value)

    def choose(self, field: str, choice: str) -> None:
        """Choose one of the values of a field."""
        box = self.page.get_by_label(self.label(field), exact=True)
        name = choice_name(choice, self.language)
        self.act(f"{field}: {choice}", lambda: box.select_option(label=name))

    def choose_file(self, msgid: str, file: Path) -> None:
        """Choose a file of the device."""
        entry = self.page.get_by_label(self.text(msgid))
        self.act(f"{msgid}: {file.name}", entry.set_input_files, file)

    def value_car(self, company: str, model: str, year: str, **others: str) -> None:
        """Fill in the form of one car, send it, and wait for the estimate."""
        for field, value in {"company": company, "model": model, "year": year, **others}.items():
            self.fill(field, value)
        self.click("button", "Estimate the price")
        expect(self.page).to_have_url(re.compile("/estimations/"))

    def looks_at_page(self) -> None:
        """The page is in the person's language and fits the window."""
        html = self.page.locator("html")
        expect(html).to_have_attribute("lang", self.language)
        if direction(self.language) == "rtl":
            expect(html).to_have_attribute("dir", "rtl")
        width, room = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= room, f"{self.page.url} is {width} px wide"

    def keeps_screenshot(self, task: str) -> None:
        """Keep what the person sees at the end, and how many actions it took."""
        folder = SCREENSHOTS / "tasks"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{task}-{self.language}"
        self.page.screenshot(path=folder / f"{name}.png", full_page=True)
        said = "".join(f"{at}. {action}\n" for at, action in enumerate(self.actions, 1))
        (folder / f"{name}.txt").write_text(said, encoding="utf-8")
