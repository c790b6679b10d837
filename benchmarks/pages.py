"""How soon the pages can be used: Chromium's own figures, on throttled connections and processor.

python -m benchmarks.pages --url http://127.0.0.1:8000

Each page is opened with an empty cache, as by a new visitor, and again with what the first visit
left in it. Then a car is entered in the form and sent with the Enter key.
"""

import argparse
import shutil
import statistics
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from playwright.sync_api import Browser, CDPSession, Page, ViewportSize, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PHONE = ViewportSize(width=360, height=740)
CPU_SLOWDOWN = 4
CAR = {"company": "Dacia", "model": "Logan", "year": "2018"}
PAGES = {"/": "#company", "/fichiers": "#file", "/estimations": "main a, main button"}
"""The pages that are opened, and the first element of each that is used."""
WATCH = """
const look = () => {
  if (document.querySelector(%r)) performance.mark("field");
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
TIMES = """
async () => {
  const at = (name) => performance.getEntriesByName(name)[0]?.startTime;
  const isDrawn = () => at("first-contentful-paint") && at("field");
  const isReady = () => document.readyState === "complete" && isDrawn();
  while (!isReady()) await new Promise((end) => setTimeout(end, 20));
  const [paint, field] = [at("first-contentful-paint"), at("field")];
  const [load] = performance.getEntriesByType("navigation");
  return [paint, Math.max(paint, field), load.domContentLoadedEventEnd];
}
"""


class Connection(NamedTuple):
    """What the browser is given; zeros do not limit it."""

    name: str
    latency_ms: int
    """Added to each request."""
    down_kbit_s: int
    up_kbit_s: int
    cpu_slowdown: int


CONNECTIONS = (
    Connection("loopback", 0, 0, 0, 1),
    Connection("loopback, processor / 4", 0, 0, 0, CPU_SLOWDOWN),
    Connection("slow 4G, processor / 4", 150, 1600, 750, CPU_SLOWDOWN),
    Connection("slow 3G, processor / 4", 400, 400, 400, CPU_SLOWDOWN),
)


class Visit(NamedTuple):
    """One visit of a page; times since the navigation began."""

    paint_ms: float
    """First contentful paint."""
    field_ms: float
    """The first field is shown, and takes input."""
    scripts_ms: float
    """All scripts have run: suggestions work."""
    requests: int
    kilobytes: float
    """Received, headers included, as compressed."""


class Traffic:
    """Counts what a page requests and receives; answers from the cache do not count."""

    def __init__(self, session: CDPSession) -> None:
        self.sizes: dict[str, float] = {}
        self._cached: set[str] = set()
        session.send("Network.enable")
        session.on("Network.requestServedFromCache", self._found)
        session.on("Network.loadingFinished", self._received)

    def _found(self, event: dict[str, Any]) -> None:
        self._cached.add(event["requestId"])

    def _received(self, event: dict[str, Any]) -> None:
        if event["requestId"] not in self._cached and event["encodedDataLength"]:
            self.sizes[event["requestId"]] = event["encodedDataLength"]


def throttled(page: Page, connection: Connection) -> CDPSession:
    """Limit a page to a connection."""
    session: CDPSession = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": connection.cpu_slowdown})
    kilobits = (connection.down_kbit_s, connection.up_kbit_s)
    speeds = [one * 1000 / 8 if one else -1 for one in kilobits]
    limits = {"downloadThroughput": speeds[0], "uploadThroughput": speeds[1]}
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": connection.latency_ms} | limits,
    )
    return session


def visits(browser: Browser, url: str, path: str, connection: Connection) -> tuple[Visit, Visit]:
    """A first visit of a page, and the next one."""
    context = browser.new_context(base_url=url, locale="fr-MA", viewport=PHONE)
    context.add_init_script(WATCH % PAGES[path])
    found = []
    for _ in range(2):
        page = context.new_page()
        traffic = Traffic(throttled(page, connection))
        page.goto(path)
        paint, field, scripts = page.evaluate(TIMES)
        kilobytes = sum(traffic.sizes.values()) / 1000
        found.append(Visit(paint, field, scripts, len(traffic.sizes), kilobytes))
        page.close()
    context.close()
    return found[0], found[1]


def submit_ms(browser: Browser, url: str, connection: Connection, year: int) -> float:
    """Time from the Enter key in the filled form until the price is shown."""
    page = browser.new_context(base_url=url, locale="fr-MA", viewport=PHONE).new_page()
    throttled(page, connection)
    page.goto("/")
    for name, value in (CAR | {"year": str(year)}).items():
        page.fill(f"#{name}", value)
    page.evaluate("sessionStorage.setItem('sent', Date.now())")
    page.press("#year", "Enter")
    page.wait_for_selector(".result data")
    ended = page.evaluate(
        """() => new Promise((end) => requestAnimationFrame(() => setTimeout(() => end(
          Date.now() - Number(sessionStorage.getItem("sent"))))))"""
    )
    page.context.close()
    return float(ended)


def median(values: Iterable[tuple[float, ...]]) -> list[float]:
    """Median of each column."""
    return [statistics.median(column) for column in zip(*values, strict=True)]


def report(browser: Browser, url: str, rounds: int) -> Iterable[str]:
    """The tables, line by line."""
    yield "| page | connection | visit | first paint | first field | scripts | requests | kB |"
    yield "|---|---|---|---:|---:|---:|---:|---:|"
    for path in PAGES:
        for connection in CONNECTIONS:
            pairs = [visits(browser, url, path, connection) for _ in range(rounds)]
            for name, found in zip(("first", "next"), zip(*pairs, strict=True), strict=True):
                paint, field, scripts, requests, size = median(found)
                shown = f"{paint:,.0f} ms | {field:,.0f} ms | {scripts:,.0f} ms"
                where = f"| `{path}` | {connection.name} | {name}"
                yield f"{where} | {shown} | {requests:.0f} | {size:.1f} |"
    yield ""
    yield "| connection | from the Enter key to the price |"
    yield "|---|---:|"
    for connection in CONNECTIONS:
        times = [submit_ms(browser, url, connection, 2010 + one) for one in range(rounds)]
        yield f"| {connection.name} | {statistics.median(times):,.0f} ms |"


def main() -> None:
    """Measure a running service and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the running service")
    parser.add_argument("--rounds", type=int, default=3, help="the tables show medians of them")
    args = parser.parse_args()
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit(f"benchmarks: install one of {', '.join(PROGRAMS)}")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        for line in report(browser, args.url, args.rounds):
            print(line, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
