"""A headless browser that uses the viewer as a person does; for benchmarks and tests."""

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: what every page gets: a search through shadow roots, the frame of a plot, waiting for images
SCRIPT = """
window.deep = (selector, root = document) => [
  ...root.querySelectorAll(selector),
  ...[...root.querySelectorAll("*")].flatMap(e => e.shadowRoot ? deep(selector, e.shadowRoot) : []),
]
window.frames_of = () => {
  const found = [], views = Object.values(window.Bokeh?.index?.roots ?? window.Bokeh?.index ?? {})
  while (views.length) {
    const view = views.pop()
    if (view.model?.type === "Figure" && view.frame && view.el.isConnected) {
      const {x, y, width} = view.el.getBoundingClientRect(), box = view.frame.bbox
      const {x_range: across, y_range: up} = view.model
      if (width > 150) found.push([x + box.x0, y + box.y0, box.width, box.height,
                                   across.start, across.end, up.start, up.end])
    }
    views.push(...(view.child_views ?? []))
  }
  return found.sort((a, b) => a[0] - b[0])
}
window.painted = (selector, count, roots = []) => {
  const fresh = selector + ":not([data-stale])"
  const images = roots.length ? roots.flatMap(r => [...r.querySelectorAll(fresh)]) : deep(fresh)
  return images.length >= count && images.every(i => i.complete && i.naturalWidth)
}
window.begin = (event, selector, count) => {
  const old = deep(selector), roots = [...new Set(old.map(image => image.getRootNode()))]
  for (const image of old) image.dataset.stale = "1"
  window.taken = new Promise(done => {
    let start = 0
    setTimeout(() => done(NaN), 10000)
    addEventListener(event, () => { start = performance.now() }, {capture: true, once: true})
    const look = () => start && painted(selector, count, roots)
      ? done(performance.now() - start) : requestAnimationFrame(look)
    look()
  })
}
window.rests = quiet => {
  const now = JSON.stringify([location.href, frames_of()])
  if (now !== window.last) [window.last, window.since] = [now, performance.now()]
  return Bokeh.documents[0].is_idle && performance.now() - window.since > quiet
}
window.count_frames = () => {
  window.counted = {n: 0, gap: 0, start: performance.now(), last: performance.now(), on: true}
  const step = now => {
    counted.gap = Math.max(counted.gap, now - counted.last)
    counted.last = now
    counted.n++
    if (counted.on) requestAnimationFrame(step)
  }
  requestAnimationFrame(step)
}
"""
GRID = ".grid .tile img"
PREVIEW = ".preview img"


class Visit:
    """A page, and everything that it said and asked for.

    Parameters
    ----------
    browser : playwright Browser
    address : str
        "" opens a blank page.
    **options
        For the new page, such as ``color_scheme="dark"``.
    """

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.page = browser.new_page(**{"viewport": {"width": 1400, "height": 900}} | options)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.add_init_script(SCRIPT)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.started = 0.0
        if address:
            self.go(address)

    def go(self, address: str) -> None:
        """Ask for an address."""
        self.started = time.perf_counter()
        self.page.goto(address, wait_until="commit")

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, row: int = 0) -> None:
        """Open a class of the ranking, and wait until it is drawn."""
        self.page.locator(".ranking .row").nth(row).click()
        self.wait()
        self.fitted()
        self.page.wait_for_function("() => location.search.includes('view=')")

    def wait(self, images: int = 12) -> float:
        """Wait until plot and grid are drawn; return the seconds since the page was asked for."""
        self.page.wait_for_function(
            f"() => window.Bokeh?.documents?.[0]?.is_idle && frames_of().length && "
            f"painted('{GRID}', {images})",
            timeout=120_000,
            polling=50,
        )
        return time.perf_counter() - self.started

    def fitted(self, plots: int = 1) -> None:
        """Wait until there are so many plots, each with one scale on both axes."""
        self.page.wait_for_function(
            "plots => frames_of().length === plots && frames_of().every(([, , w, h, l, r, b, t]) =>"
            " Math.abs((r - l) / w * h / (t - b) - 1) < 0.01)",
            arg=plots,
        )

    def link(self, quiet: float = 600) -> str:
        """Return the address once it and the plots have not changed for so many milliseconds."""
        self.page.wait_for_function("quiet => rests(quiet)", arg=quiet, polling=50)
        return str(self.page.url)

    def place(self, across: float, down: float, plot: int = 0) -> tuple[float, float]:
        """Return the point at shares of a plot's frame, from the upper left corner."""
        x, y, width, height, *_ = self.page.evaluate("() => frames_of()")[plot]
        return x + across * width, y + down * height

    def at(self, x: float, y: float, plot: int = 0) -> tuple[float, float]:
        """Return where a point of the data is drawn."""
        left, right, bottom, top = self.page.evaluate("() => frames_of()")[plot][4:]
        return self.place((x - left) / (right - left), (top - y) / (top - bottom), plot)

    def drag(self, *corners: tuple[float, float], plot: int = 0, steps: int = 4) -> None:
        """Drag over a plot along corners, in shares of its frame: two for a box."""
        points = [self.place(*corner, plot=plot) for corner in corners]
        mouse = self.page.mouse
        mouse.move(*points[0])
        mouse.down()
        for point in points[1:]:
            mouse.move(*point, steps=steps)
        mouse.up()

    def tool(self, name: str, plot: int = 0) -> None:
        """Choose a tool of a plot, "lasso" for instance."""
        self.page.locator(f".bk-tool-icon-{name}").nth(plot).click()

    def see(self, selector: str, text: str) -> None:
        """Wait until an element has this text."""
        self.page.locator(selector, has_text=text).first.wait_for()

    def until_images(self, event: str, selector: str, count: int, act: Any) -> float:
        """Return the seconds from an event of `act` to new images, decoded."""
        self.page.evaluate("a => begin(...a)", [event, selector, count])
        act()
        return float(self.page.evaluate("() => taken")) / 1000


@contextmanager
def serving(
    arguments: Sequence[str], stderr: Any = subprocess.DEVNULL
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run Python with these arguments and a free port; give the address when it answers."""
    from fxrelay_viz.serve import free_port

    port = free_port("localhost", 0)
    command = [sys.executable, *arguments, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        yield _answering(f"http://localhost:{port}/"), process
    finally:
        process.terminate()
        process.wait(20)


def _answering(address: str) -> str:
    for _ in range(480):
        try:
            urllib.request.urlopen(address + "favicon.ico", timeout=5).close()
            return address
        except OSError:
            time.sleep(0.25)
    raise SystemExit(f"{address} does not answer")


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
