"""Ten tasks of a new user with the keyboard alone, in one visit, on a phone and a desktop."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from shared.i18n.languages import Language
from tests.browser.keyboard import Keyboard
from tests.browser.newcomer import LOCALES, PHONE, Newcomer
from tests.browser.test_tasks import PRINTED, shown_price, write_stock

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
DESKTOP = {"width": 1280, "height": 800}
VISITS = [
    pytest.param("en", PHONE, id="en-360"),
    pytest.param("en", DESKTOP, id="en-1280"),
    pytest.param("ar", PHONE, id="ar-360"),
    pytest.param("ar", DESKTOP, id="ar-1280"),
]


class Visitor:
    """A person with a keyboard, who reads one language."""

    def __init__(self, page: Page, language: Language) -> None:
        self.page = page
        self.keyboard = Keyboard(page)
        self.text = Newcomer(page, language).text

    def prices_and_judges(self) -> float:
        """Price a car, and judge what is asked for it."""
        page, keyboard = self.page, self.keyboard
        keyboard.reach(page.locator("#company"))
        page.keyboard.type("dac")
        expect(page.locator("#company-list [role=option]").first).to_have_text("Dacia")
        keyboard.press("ArrowDown", "Tab")
        for typed in ("Logan", "2018", "120000"):
            page.keyboard.type(typed)
            keyboard.press("Tab")
        keyboard.press("ArrowDown", "Tab", "ArrowDown")
        expect(page.locator("#fuel")).not_to_have_value("")
        expect(page.locator("#transmission")).not_to_have_value("")
        keyboard.fill(page.locator("#asking_price_mad"), "900000")
        keyboard.press("Enter")
        expect(page.locator("#resultat")).to_be_focused()
        verdict = page.locator(".verdict").get_by_role("heading")
        expect(verdict).to_have_text(self.text("Above the market"))
        return shown_price(page)

    def understands_why(self) -> None:
        """Fold the sections of the explanation."""
        summary = self.page.locator("summary", has_text=self.text("And in the next years?"))
        self.keyboard.use(summary, "Space")
        expect(self.page.locator("details[open] svg.chart")).to_be_visible()

    def shares_and_prints(self) -> None:
        """Copy the address, and print the page."""
        buttons = self.page.get_by_role("button")
        self.keyboard.use(buttons.and_(self.page.locator("#copier")))
        expect(self.page.locator("#copie")).to_have_text(self.text("Copied"))
        self.keyboard.use(buttons.and_(self.page.locator("#imprimer")), "Space")
        assert self.page.evaluate("window.isPrinted")

    def compares(self) -> None:
        """Compare the car with another one of this browser."""
        page, keyboard = self.page, self.keyboard
        keyboard.use(page.get_by_role("link", name=self.text("Another car")))
        expect(page.locator("#resultat")).to_have_count(0)
        keyboard.reach(page.locator("#company"))
        for typed in ("Peugeot", "208", "2016"):
            page.keyboard.type(typed)
            keyboard.press("Tab")
        keyboard.press("Enter")
        expect(page.locator("#resultat")).to_be_focused()
        keyboard.use(page.get_by_role("link", name=self.text("Compare")))
        keyboard.use(page.locator("#connues button"))
        keyboard.use(page.get_by_role("button", name=self.text("Compare")))
        expect(page.locator(".compare").get_by_role("columnheader")).to_have_count(2)

    def finds_again(self, price: float) -> None:
        """Open the first estimate from the list of this browser."""
        self.keyboard.use(self.page.locator(".actions a[href^='/estimations']"))
        self.keyboard.use(self.page.locator(".kept a").last)
        expect(self.page.locator("#resultat")).to_be_visible()
        assert shown_price(self.page) == price

    def values_and_corrects(self, stock: Path) -> None:
        """Value a file, download its results, and correct its three wrong rows."""
        page, keyboard = self.page, self.keyboard
        keyboard.use(page.locator(".sections a[href^='/fichiers']"))
        keyboard.choose_file(page.locator("#file"), stock)
        keyboard.use(page.get_by_role("button", name=self.text("Value it at once")))
        keyboard.reach(page.get_by_role("link", name=self.text("Results for Excel")))
        with page.expect_download() as download:
            keyboard.press("Enter")
        assert download.value.suggested_filename.endswith(".xlsx")
        link = page.get_by_role("link", name=self.text("Correct the rejected rows"))
        keyboard.reach(link, backwards=True)
        keyboard.press("Enter")
        wrong = page.locator(".field.wrong input[type=text]")
        expect(wrong).to_have_count(3)
        for at in range(3):
            keyboard.fill(wrong.nth(at), "2017")
        keyboard.use(page.get_by_role("button", name=self.text("Value the corrected rows again")))
        expect(page.locator("section.rows tr.valued")).to_have_count(7)

    def reads_the_api(self) -> None:
        """Unfold a call in the description of the API."""
        page, keyboard = self.page, self.keyboard
        page.reload()
        keyboard.use(page.locator(".sections a[href^='/docs']"))
        operation = page.locator(".opblock", has=page.locator('[data-path="/predict"]'))
        keyboard.use(operation.locator("button.opblock-summary-control"))
        expect(operation.get_by_role("button", name="Try it out")).to_be_visible()


@pytest.mark.parametrize(("language", "size"), VISITS)
def test_ten_tasks_with_the_keyboard_alone(
    open_page: OpenPage, tmp_path: Path, language: Language, size: dict[str, int]
) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    page = open_page("/", locale=LOCALES[language], viewport=size, permissions=permissions)
    page.add_init_script(PRINTED)
    visitor = Visitor(page, language)
    price = visitor.prices_and_judges()
    visitor.understands_why()
    visitor.shares_and_prints()
    visitor.compares()
    visitor.finds_again(price)
    visitor.values_and_corrects(write_stock(tmp_path, language))
    if size == PHONE:  # the description is the same at any width, and takes seconds
        visitor.reads_the_api()
