"""The story of a person who looks for a Clever Hans, in a real browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import CHROMIUM, GRID, PREVIEW, Visit, chromium, serving

SERVER = """
import sys
from fxrelay_viz import samples, serve
serve(*samples.digits(poisoned=3), port=int(sys.argv[1]))
"""
CLIPPED = """() => deep("*").filter(e => {
  const box = e.getBoundingClientRect()
  return box.width && (box.right > innerWidth + 1 || box.left < -1)
}).map(e => e.className)"""
NAMELESS = """() => deep("button, select, input:not([hidden]), textarea, img").filter(e =>
  e.checkVisibility() && !(e.innerText || e.ariaLabel || e.title || e.alt ||
  e.closest("label")?.innerText || (e.tagName === "IMG" && e.hasAttribute("alt")))
).map(e => e.outerHTML)"""
FOCUSED = """() => {
  let element = document.activeElement
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement
  return `${element?.dataset?.do ?? ""}:${element?.dataset?.value ?? ""}`
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

Visitor = Callable[..., Visit]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(["-c", SERVER]) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright")
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visitor]:
    """Open pages; at the end none had an error, and no request left the machine."""
    visits: list[Visit] = []

    def new(link: str = address, **options: Any) -> Visit:
        visits.append(Visit(browser, link, **options))
        return visits[-1]

    yield new
    own = (address, address.replace("http", "ws"), "data:", "blob:")
    for one in visits:
        assert one.errors == []
        assert [url for url in one.requests if not url.startswith(own)] == []
        one.page.close()


@pytest.fixture
def opened(visit: Visitor) -> Visit:
    """Open the most suspicious class, and select nothing."""
    one = visit()
    one.open()
    one.page.keyboard.press("Escape")
    selected(one, "0 of 183")
    return one


def selected(one: Visit, text: str) -> None:
    one.see(".count", text)


def test_find_the_clever_hans(visit: Visitor, tmp_path: Path):
    one = visit()
    page = one.page
    page.locator(".ranking .row").first.wait_for()
    assert page.locator(".ranking .row").count() == 10
    first = page.locator(".ranking .row").first.inner_text()
    assert "digit 3" in first
    assert "flagged" in first
    one.open()
    selected(one, "91 of 183")
    one.see(".verdict", "91 of 183 samples, stands")
    assert page.locator(".verdict figure img").count() == 3
    page.keyboard.press("Escape")
    one.see(".bar-line", "Whole class")

    assert page.locator(".bk-tool-icon-wheel-zoom").is_visible()
    one.tool("lasso-select")
    one.drag((0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99), steps=6)
    selected(one, "91 of 183")
    one.see(".pager", "1–24 of 91")
    page.wait_for_function(f"() => painted('{GRID}', 24)")
    tiles = page.locator(".grid .tile").all_inner_texts()
    page.get_by_label("Next page").click()
    one.see(".pager", "25–48 of 91")
    assert set(tiles).isdisjoint(page.locator(".grid .tile").all_inner_texts())

    page.locator(".grid .tile").nth(2).click()
    page.locator(".detail .large img").first.wait_for()
    assert page.locator(".detail .large img").count() == 3
    one.see(".detail dd", "digit 3")
    name = page.locator(".detail b").first.inner_text()
    page.locator(".detail .strip .tile").nth(1).click()
    page.locator(".detail b", has_text=name).wait_for(state="hidden")
    page.screenshot(path=tmp_path / "detail.png")

    link, shown = one.link(), page.locator(".grid .tile").all_inner_texts()
    assert len(link) < 2000
    again = visit(link)
    selected(again, "91 of 183")
    again.see(".pager", "25–48 of 91")
    again.link()
    assert again.page.locator(".grid .tile").all_inner_texts() == shown
    assert again.page.locator(".detail b").first.inner_text() == page.locator(
        ".detail b"
    ).first.inner_text()  # fmt: skip


def test_the_first_gesture_is_not_lost(visit: Visitor):
    one = visit()
    one.page.locator(".ranking .row").first.click()
    one.page.wait_for_function("() => frames_of().length")
    one.drag((0.02, 0.02), (0.5, 0.98))
    selected(one, "91 of 183")


def test_gestures_join(opened: Visit):
    page = opened.page
    opened.drag((0.02, 0.02), (0.5, 0.98))
    selected(opened, "91 of 183")
    page.keyboard.down("Shift")
    opened.drag((0.5, 0.02), (0.98, 0.98))
    page.keyboard.up("Shift")
    selected(opened, "183 of 183")
    page.get_by_role("button", name="Subtract", exact=True).click()
    page.locator('[aria-pressed="true"]', has_text="Subtract").wait_for()
    opened.drag((0.02, 0.02), (0.5, 0.98))
    selected(opened, "92 of 183")
    page.get_by_role("button", name="Undo", exact=True).click()
    selected(opened, "183 of 183")
    page.get_by_role("button", name="Redo", exact=True).click()
    selected(opened, "92 of 183")
    page.get_by_role("button", name="Invert", exact=True).click()
    selected(opened, "91 of 183")


def test_the_pointer_shows_a_sample(opened: Visit):
    for across in (0.08, 0.09, 0.1, 0.11, 0.12):
        for down in (0.4, 0.45, 0.5, 0.55):
            opened.page.mouse.move(*opened.place(across, down))
            opened.page.wait_for_timeout(80)
    opened.page.locator(PREVIEW).nth(1).wait_for()
    opened.see(".preview", "prediction")


def test_keys(opened: Visit):
    page = opened.page
    page.locator(".chip").first.click()
    selected(opened, "92 of 183")
    page.keyboard.press("Escape")
    selected(opened, "0 of 183")
    page.keyboard.press("Control+z")
    selected(opened, "92 of 183")
    page.keyboard.press("Control+y")
    selected(opened, "0 of 183")
    page.locator(".grid .tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.locator(".detail .large img").first.wait_for()
    assert page.evaluate(FOCUSED).startswith("show:")
    page.keyboard.press("/")
    assert page.evaluate(FOCUSED) == "find:"
    page.keyboard.type("id:1059")
    selected(opened, "1 of 183")
    page.keyboard.press("?")
    assert page.locator("dialog.help[open]").count() == 0
    page.get_by_label("Help").first.click()
    page.locator("dialog.help[open]").wait_for()
    page.keyboard.press("Escape")


def test_what_made_the_data_is_told(opened: Visit):
    page = opened.page
    page.locator(".chip").first.click()
    selected(opened, "92 of 183")
    page.get_by_role("button", name="About this data").click()
    page.locator("dialog.about[open]").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog.about[open]").wait_for(state="hidden")
    selected(opened, "92 of 183")


def test_from_the_ranking_with_keys_alone(visit: Visitor):
    one = visit()
    one.page.locator(".ranking .row").first.wait_for()
    one.page.keyboard.press("/")
    one.page.keyboard.type("digit 7")
    one.page.wait_for_function("() => deep('.ranking .row').length === 1")
    for _ in range(12):
        one.page.keyboard.press("Tab")
        if one.page.evaluate(FOCUSED) == "open:digit 7":
            break
    one.page.keyboard.press("Enter")
    one.see("nav b", "digit 7")


def test_what_a_screen_reader_needs(opened: Visit):
    page = opened.page
    page.locator(".grid .tile").first.click()
    page.locator(".detail .large img").first.wait_for()
    for tab in ("Why", "Clusters", "Compare", "Notes", "Sample"):
        page.get_by_role("group", name="What to show").get_by_text(tab).click()
        page.locator('[aria-pressed="true"]', has_text=tab).wait_for()
        assert page.evaluate(NAMELESS) == []
    assert page.get_by_role("status").count() == 1
    assert page.get_by_role("searchbox").count() == 1
    assert page.get_by_role("navigation").count() == 1
    assert page.get_by_role("img", name="Colour bar").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(700, 900), (1024, 768), (1920, 1080)])
def test_nothing_is_cut_off(visit: Visitor, scheme: str, size: tuple[int, int], tmp_path: Path):
    one = visit(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    one.page.locator(".ranking .row").first.wait_for()
    assert one.page.evaluate(CLIPPED) == []
    one.open()
    assert one.page.evaluate(CLIPPED) == []
    ground = one.page.evaluate("() => getComputedStyle(deep('header')[0]).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    one.page.get_by_label("Light or dark").click()
    other = one.page.evaluate("() => getComputedStyle(deep('header')[0]).backgroundColor")
    assert other != ground
    one.page.screenshot(path=tmp_path / "page.png")


def test_a_cluster_is_hidden_and_shown_alone(opened: Visit, visit: Visitor):
    page = opened.page
    page.get_by_label("Hide Cluster 0").click()
    selected(opened, "0 of 91")
    opened.see(".bar-line", "Shown clusters")
    page.keyboard.press("Escape")
    page.get_by_label("Contours").select_option("colour")
    opened.drag((0.02, 0.02), (0.98, 0.98))
    selected(opened, "91 of 91")
    again = visit(opened.link())
    selected(again, "91 of 91")
    page.get_by_text("Show all").click()
    selected(opened, "183 of 183")
    page.get_by_label("Hide Cluster 1").click(modifiers=["Shift"])
    selected(opened, "91 of 91")
    page.get_by_label("Hide Cluster 1").click(modifiers=["Shift"])
    selected(opened, "183 of 183")


def test_the_scatter_matrix_chooses_the_axes(opened: Visit):
    page = opened.page
    page.get_by_label("Embedding").select_option("spectral")
    cell = page.get_by_label("Axis 2 across, axis 4 up")
    cell.click()
    page.locator('.matrix [aria-pressed="true"]', has_text="2·4").wait_for()
    assert [page.locator(f'select[data-value="{n}"]').input_value() for n in "xy"] == ["1", "3"]


def test_two_embeddings_are_linked(opened: Visit):
    page = opened.page
    page.get_by_label("Second plot").select_option("spectral")
    opened.fitted(plots=2)
    opened.drag((0.02, 0.02), (0.5, 0.98), plot=1)
    selected(opened, "91 of 183")
    assert page.evaluate(CLIPPED) == []


def test_a_histogram_is_brushed_and_the_spectrum_chooses_k(opened: Visit):
    page = opened.page
    page.get_by_label("Histograms").select_option("prediction")
    page.locator(".histogram .bars button").first.click()
    page.wait_for_function("() => !deep('.count')[0].innerText.startsWith('0 ')")
    page.get_by_role("button", name="3 clusters", exact=False).click()
    page.wait_for_function("() => deep('.at-legend .chip, .chips .chip').length >= 3")


def test_what_goes_out_comes_back(opened: Visit, visit: Visitor, tmp_path: Path):
    page = opened.page
    page.locator(".chip").first.click()
    selected(opened, "92 of 183")
    page.get_by_role("button", name="Export", exact=True).click()
    with page.expect_download() as download:
        page.locator('dialog.export [data-value="state"]').click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert json.loads(file.read_text())["version"] == 1
    again = visit()
    again.page.locator(".ranking .row").first.wait_for()
    again.page.locator("input[type=file]").set_input_files(file)
    selected(again, "92 of 183")
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[]")
    again.page.locator("input[type=file]").set_input_files(wrong)
    again.see("[role=alert]", "import: needs JSON")
    selected(again, "92 of 183")
    again.page.get_by_label("Dismiss").click()
    again.page.locator("[role=alert]").wait_for(state="hidden")


def test_a_damaged_link_says_so(visit: Visitor, address: str):
    one = visit(address + "?view=v1-broken")
    one.see("[role=alert]", "damaged or cut off")
    one.page.locator(".ranking .row").first.wait_for()
    assert one.page.locator(".ranking .row").count() == 10
