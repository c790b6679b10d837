"""A person who has a keyboard only: Tab, Enter, Space, arrows and what is typed."""

from pathlib import Path

from playwright.sync_api import Locator, Page

MOST_STOPS = 120
"""A page that needs more presses of Tab keeps the focus to itself."""
FOCUSED = """
(one) => {
  if (document.activeElement !== one) return "not focused";
  const { outlineStyle, outlineWidth } = getComputedStyle(one);
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) return "no visible focus";
  const box = one.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height / 2, 20)];
  const shown = document.elementFromPoint(Math.min(Math.max(x, 0), innerWidth - 1), y);
  return shown && (one.contains(shown) || shown.contains(one)) ? "" : "covered, or out of view";
}
"""
TARGET = "(one) => { window.keyboardTarget = one; }"
PROGRESS = """
() => {
  const one = document.activeElement;
  window.keyboardStops ??= new Map();
  window.keyboardStops.set(one, (window.keyboardStops.get(one) ?? 0) + 1);
  const said = `${one.tagName} ${one.id} ${(one.innerText ?? "").slice(0, 40)}`;
  const { outlineStyle, outlineWidth } = getComputedStyle(one);
  const isOutlined = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  const visits = window.keyboardStops.get(one);
  return [one === window.keyboardTarget, isOutlined || one === document.body, visits, said];
}
"""


class Keyboard:
    """Presses keys, and fails where the focus is not seen or cannot go on."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # Dialogues are taken over from now on: the browser is told of it without an answer.
        page.on("filechooser", lambda _: None)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def reach(self, target: Locator, *, backwards: bool = False) -> None:
        """Press Tab until a control has the focus; it has to be seen at each stop.

        Args:
            target: the control; the first one that matches.
            backwards: whether it stands before what has the focus.
        """
        target.first.wait_for()
        target.first.evaluate(TARGET)
        for _ in range(MOST_STOPS):
            self.press("Shift+Tab" if backwards else "Tab")
            is_there, is_shown, visits, said = self.page.evaluate(PROGRESS)
            assert is_shown, f"no visible focus: {said}"
            assert visits < 4 or is_there, f"the focus stays at {said}"
            if is_there:
                break
        found = target.first.evaluate(FOCUSED)
        assert not found, f"{target}: {found}"

    def use(self, target: Locator, key: str = "Enter") -> None:
        """Go to a control and press a key on it."""
        self.reach(target)
        self.press(key)

    def fill(self, target: Locator, text: str) -> None:
        """Go to a field and replace what it holds."""
        self.reach(target)
        self.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def choose_file(self, target: Locator, file: Path) -> None:
        """Open the dialogue of a file entry with the space bar, and choose a file there."""
        self.reach(target)
        with self.page.expect_file_chooser() as chooser:
            self.press("Space")
        chooser.value.set_files(file)
