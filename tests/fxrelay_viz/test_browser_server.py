"""What happens around the page: files that vanish, browsers that go away, links in another one."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from benchmarks.browser import CHROMIUM, Visit, chromium, serving
from fxrelay_viz.closing import CLOSED, LOGGERS, SAID, expect_closing

SERVER = """
import sys
from fxrelay_viz.opening import open_workspace
from fxrelay_viz.serve import serve
serve(open_workspace([sys.argv[1]]), port=int(sys.argv[2]))
"""
LOOKS = """() => deep(".at-looks select, .at-looks button[aria-pressed=true]").map(
  e => e.value || e.innerText)"""
FAILED = "() => deep('.grid img.failed').map(i => i.title)"

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium: apt-get install chromium"
)


@pytest.fixture
def folder(tmp_path: Path, data: Any) -> Path:
    """Attributions and their analysis, in two files."""
    (tmp_path / "digits").mkdir()
    ds, tree = data
    ds.to_netcdf(tmp_path / "digits" / "lrp.nc", engine="netcdf4")
    tree.to_netcdf(tmp_path / "digits" / "lrp-spray.nc", engine="netcdf4")
    return tmp_path / "digits"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.txt"


@pytest.fixture
def address(folder: Path, log: Path) -> Iterator[str]:
    with log.open("wb") as file, serving(["-c", SERVER, str(folder)], stderr=file) as (served, _):
        yield served


def choose(one: Visit, category: str) -> None:
    one.page.locator('select[data-value="category"]').select_option(category)


@pytest.mark.browser
@needs_chromium
def test_files_that_vanish_or_are_damaged_are_messages(address: str, folder: Path, log: Path):
    with chromium() as browser:
        one = Visit(browser, address)
        one.open()
        choose(one, "digit 5")
        one.see("nav b", "digit 5")
        kept = (folder / "lrp.nc").read_bytes()
        (folder / "lrp.nc").write_bytes(kept[:5000])
        choose(one, "digit 4")
        one.page.wait_for_function(
            f"({FAILED})().some(text => text.includes('lrp.nc could not be read'))"
        )
        (folder / "lrp-spray.nc").unlink()
        choose(one, "digit 8")
        one.see("[role=alert]", "lrp-spray.nc")
        (folder / "lrp.nc").write_bytes(kept)
        one.page.locator('[data-do="home"]').first.click()
        one.page.locator(".ranking .row").first.click()
        one.wait()
        assert one.page.evaluate(FAILED) == []
        assert one.page.locator("[role=alert]").count() == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.browser
@needs_chromium
def test_a_link_shows_the_same_in_another_browser(address: str):
    with chromium() as browser:
        one = Visit(browser, address)
        one.open()
        one.tool("lasso-select")
        one.drag((0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99), steps=6)
        one.see(".count", "91 of 183")
        one.page.get_by_role("button", name="Overlay", exact=True).click()
        one.page.get_by_label("Order").select_option("extreme")
        one.page.locator(".grid .tile").nth(3).click()
        one.page.locator(".detail .large img").first.wait_for()
        link, expected = one.link(), seen(one)
    with chromium() as another:
        again = Visit(another, link)
        again.wait()
        again.page.locator(".detail .large img").first.wait_for()
        again.link()
        assert seen(again) == expected
        assert again.errors == []


def seen(one: Visit) -> dict[str, Any]:
    """Return what a person sees of selection, looks, grid and detail."""
    return {
        "count": one.page.locator(".count").first.inner_text(),
        "looks": one.page.evaluate(LOOKS),
        "images": one.page.evaluate("() => deep('.grid .tile img').map(i => i.src)"),
        "detail": one.page.locator(".detail").first.inner_text(),
        "frames": [frame[4:] for frame in one.page.evaluate("() => frames_of()")],
    }


@pytest.mark.browser
@needs_chromium
def test_pages_that_are_closed_while_loading_are_no_news(address: str, log: Path):
    with chromium() as browser:
        for wait in (0, 50, 150, 300, 450, 600, 800):
            one = Visit(browser, address)
            one.page.wait_for_timeout(wait)
            one.page.close()
        one = Visit(browser, address)
        one.open()
        for category in ("digit 1", "digit 2"):
            choose(one, category)
        one.page.close()
        again = Visit(browser, address)
        again.open()
        assert again.errors == []
    lines = [line for line in log.read_text().splitlines() if "Launching server" not in line]
    assert lines == []


@pytest.mark.parametrize(
    ("text", "error", "passes"),
    [
        (SAID, None, False),
        ("Uncaught exception", StreamClosedError(), False),
        ("Task exception was never retrieved", WebSocketClosedError(), False),
        ("Uncaught exception", OSError("disk"), True),
        ("something else", None, True),
    ],
)
def test_only_what_is_said_of_closed_pages_is_dropped(
    text: str, error: Exception | None, passes: bool
):
    expect_closing()
    expect_closing()
    told = (type(error), error, None) if error else None
    record = logging.LogRecord("any", logging.ERROR, "", 1, text, None, told)
    for name in LOGGERS:
        assert logging.getLogger(name).filters.count(CLOSED) == 1
        assert bool(logging.getLogger(name).filter(record)) == passes
