"""The story of a person who looks for a Clever Hans, in a real browser."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

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
SERVER = """
import sys
from fxrelay_viz import samples, serve
serve(*samples.digits(poisoned=3), port=int(sys.argv[1]))
"""
FRAME = """() => {
  const views = Object.values(Bokeh.index.roots ?? Bokeh.index)
  while (views.length) {
    const view = views.pop()
    if (view.model?.type === "Figure" && view.frame && view.el.isConnected &&
        view.el.getBoundingClientRect().width > 300) {
      const {x, y} = view.el.getBoundingClientRect(), box = view.frame.bbox
      return [x + box.x0, y + box.y0, box.width, box.height]
    }
    views.push(...(view.child_views ?? []))
  }
}"""
CLIPPED = """() => {
  const out = [], seen = root => {
    for (const el of root.querySelectorAll("*")) {
      const box = el.getBoundingClientRect()
      if (box.width && (box.right > innerWidth + 1 || box.left < -1)) out.push(el.className)
      if (el.shadowRoot) seen(el.shadowRoot)
    }
  }
  seen(document)
  return out
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    out = f"http://localhost:{port}/"
    for _ in range(240):
        try:
            urllib.request.urlopen(out + "favicon.ico", timeout=5).close()
            break
        except OSError:
            time.sleep(0.25)
    yield out
    process.terminate()
    process.wait(10)


class Visit:
    """A page, and everything that it said and asked for."""

    def __init__(self, browser: Any, address: str):
        self.page = browser.new_page(viewport={"width": 1400, "height": 900})
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)
        self.page.goto(address)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Drag over the plot, in shares of its frame from the upper left corner."""
        x, y, width, height = self.page.evaluate(FRAME)
        mouse = self.page.mouse
        mouse.move(x + start[0] * width, y + start[1] * height)
        mouse.down()
        mouse.move(x + (start[0] + stop[0]) / 2 * width, y + stop[1] / 2 * height, steps=4)
        mouse.move(x + stop[0] * width, y + stop[1] * height, steps=4)
        mouse.up()

    def see(self, selector: str, text: str) -> None:
        self.page.locator(selector, has_text=text).first.wait_for()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def test_find_the_clever_hans(browser: Any, address: str, tmp_path):
    visit = Visit(browser, address)
    page = visit.page
    page.locator(".ranking .row").first.wait_for()
    assert page.locator(".ranking .row").count() == 10
    assert "digit 3" in page.locator(".ranking .row").first.inner_text()
    assert "flagged" in page.locator(".ranking .row").first.inner_text()
    page.screenshot(path=tmp_path / "ranking.png")

    page.locator(".ranking .row").first.click()
    visit.see(".bar-line", "whole class")
    page.wait_for_function(FRAME)
    page.wait_for_function("() => Bokeh.documents[0].is_idle")
    assert page.evaluate(CLIPPED) == []

    visit.drag((0.02, 0.02), (0.5, 0.98))
    visit.see(".count", "91 of 183")
    visit.see(".pager", "1–24 of 91")
    first = page.locator(".grid .tile").all_inner_texts()
    assert len(first) == 24
    page.wait_for_function(
        "n => [...document.querySelectorAll('*')].flatMap(function walk(e) {"
        " return e.shadowRoot ? [...e.shadowRoot.querySelectorAll('*')].flatMap(walk) : [e] })"
        ".filter(e => e.matches('.grid img') && e.complete && e.naturalWidth).length === n",
        arg=24,
    )
    page.screenshot(path=tmp_path / "selection.png")

    page.get_by_label("Next page").click()
    visit.see(".pager", "25–48 of 91")
    assert set(first).isdisjoint(page.locator(".grid .tile").all_inner_texts())

    page.locator(".grid .tile").nth(2).click()
    page.locator(".detail img").first.wait_for()
    assert page.locator(".detail img").count() == 3
    visit.see(".detail dd", "digit 3")
    page.screenshot(path=tmp_path / "detail.png")

    link = page.url
    assert len(link) < 2000
    again = Visit(browser, link)
    again.see(".count", "91 of 183")
    again.see(".pager", "25–48 of 91")
    again.page.close()

    assert visit.errors == again.errors == []
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    foreign = [url for url in (*visit.requests, *again.requests) if not url.startswith(own)]
    assert foreign == []
    page.close()


def test_gestures_join_and_the_pointer_shows_a_sample(browser: Any, address: str):
    visit = Visit(browser, address)
    page = visit.page
    page.locator(".ranking .row").nth(1).click()
    visit.see(".bar-line", "whole class")
    page.wait_for_function(FRAME)
    page.wait_for_function("() => Bokeh.documents[0].is_idle")
    total = page.locator(".chip small").first.inner_text()
    page.locator(".chip").first.click()
    visit.see(".count", f"{total} of 179")
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator('[aria-pressed="true"]', has_text="Add").wait_for()
    page.locator(".chip").nth(1).click()
    visit.see(".count", "179 of 179")
    page.get_by_role("button", name="Undo", exact=True).click()
    visit.see(".count", f"{total} of 179")
    page.get_by_role("button", name="Replace", exact=True).click()
    page.locator('[aria-pressed="true"]', has_text="Replace").wait_for()
    page.locator(".bk-tool-icon-lasso-select").click()
    x, y, width, height = page.evaluate(FRAME)
    page.mouse.move(x + 5, y + 5)
    page.mouse.down()
    for across, down in ((0.98, 0.01), (0.98, 0.98), (0.01, 0.98)):
        page.mouse.move(x + across * width, y + down * height, steps=3)
    page.mouse.up()
    visit.see(".count", "179 of 179")
    for share in (0.3, 0.4, 0.5, 0.6, 0.7):
        for down in (0.3, 0.5, 0.7):
            page.mouse.move(x + share * width, y + down * height)
            page.wait_for_timeout(60)
    page.locator(".detail img").first.wait_for()
    page.locator(".brand").hover()
    page.get_by_label("Back to all classes").click()
    page.locator(".ranking .row").first.wait_for()
    assert visit.errors == []
    page.close()
