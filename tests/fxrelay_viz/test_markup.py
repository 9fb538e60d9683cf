from html.parser import HTMLParser

import numpy as np
import pytest

from fxrelay.heatmap import CMAPS
from fxrelay_viz import insight, markup
from fxrelay_viz.category import Rank
from fxrelay_viz.markup import Card, Choice, Comparison, Detail, Summary, Verdict
from fxrelay_viz.markup.basics import pager
from fxrelay_viz.merging import End, Joint
from fxrelay_viz.palette import colouring
from fxrelay_viz.reasons import Reason

EVIL = "</button><script>alert(1)</script><img src=x onerror='alert(1)' \">&amp;"


class Tags(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.rows: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.rows.append((tag, dict(attrs)))
        self.names |= {name for name, _ in attrs}
        self.text += " ".join(str(value) for _, value in attrs)

    def handle_data(self, data):
        self.text += data


def card(text: str) -> Card:
    return Card(text, text, text, text, text)


def choice(text: str) -> Choice:
    return Choice(text, "set", {text: text, "": "other"}, text, text)


def summary(text: str) -> Summary:
    return Summary(text, text, text, text, [card(text)], {text: text}, True)


def histogram(text: str) -> insight.Histogram:
    return insight.histogram(text, np.array([text, text]), np.array([True, False]))


EVERY = {
    "header": lambda t: markup.header(t, True, [choice(t)], t, {t: t}),
    "message": lambda t: markup.message(t),
    "status": lambda t: markup.status({t: t}, {t: t}, t),
    "ranking": lambda t: markup.ranking([Rank(t, 1.0)], {t: [t]}, 0, 10),
    "choices": lambda t: markup.choices({t: [choice(t)]}),
    "tools": lambda t: markup.tools({t: t}, t, 1, 2, True, False),
    "clusters": lambda t: markup.clusters(colouring(np.array([t])), np.array([True]), None),
    "legend": lambda t: markup.legend(colouring(np.array([t])), t),
    "scale": lambda t: markup.legend(colouring(np.linspace(0, 1, 5)), t),
    "histograms": lambda t: markup.histograms([histogram(t)], choice(t)),
    "range": lambda t: markup.histograms(
        [insight.histogram(t, np.linspace(0, 1, 9), np.zeros(9, bool))], choice(t)
    ),
    "looks": lambda t: markup.looks({t: t}, t, "", 0.5, [choice(t)], [choice(t)]),
    "grid": lambda t: markup.grid([card(t)], 0, 1, 24, "auto", "Selection", True),
    "preview": lambda t: markup.preview(card(t), [t], True, "auto", t),
    "detail": lambda t: markup.detail(
        Detail(t, t, {t: t}, {t: t}, (t,), [(t, 1.0, 1.0)], *[[card(t)]] * 4, [t], t), "auto"
    ),
    "summaries": lambda t: markup.summaries([summary(t)], "auto"),
    "comparison": lambda t: markup.comparison(
        [summary(t)] * 2, [insight.Difference(t, t, t, 0.5)],
        Comparison((t, t), [(card(t), card(t))]), [choice(t)], "auto", t,
    ),
    "notebook": lambda t: markup.notebook({t: 1}, {t: t}, {t: t}, 2),
    "verdict": lambda t: markup.verdict(
        Verdict(t, True, t, {t: t}, {t: [card(t)]}, [Reason(t, t, t)]), "auto"
    ),
    "dendrogram": lambda t: markup.dendrogram(
        [Joint(1, 1.0, (End(0.0, 0.0, 0), End(1.0, 0.0, 1)))], [(2, 0.0, 1.0)], 2, lambda n: t
    ),
    "axes": lambda t: markup.axes({(0, 1): t}, (0, 1), t),
}  # fmt: skip


@pytest.mark.parametrize("part", EVERY)
def test_text_of_the_data_is_never_markup(part: str):
    evil, tame = Tags(EVERY[part](EVIL)), Tags(EVERY[part]("x"))
    assert evil.tags == tame.tags
    assert evil.names == tame.names
    assert EVIL in evil.text


@pytest.mark.parametrize("part", EVERY)
def test_controls_have_names_and_images_have_texts(part: str):
    html = EVERY[part]("word")
    for tag, attrs in Tags(html).rows:
        if tag == "img":
            assert attrs.get("alt") is not None
        if tag == "input" and "hidden" not in attrs:
            assert attrs.get("aria-label") or f"<span>word</span><{tag}" in html or "Blend" in html
        if tag == "button":
            assert attrs["type"] == "button"
            assert attrs["data-do"]
        if tag == "svg" and "aria-hidden" not in attrs:
            assert attrs["role"] == "img"
            assert attrs["aria-label"]


def test_ranking_marks_the_flagged_and_pages():
    ranks = [Rank(f"class {n}", 9.0 - n, 10, 3, 1, 4, n == 0) for n in range(9)]
    html = markup.ranking(ranks, {}, 1, 4)
    assert "class 4" in html
    assert "class 3" not in html
    assert "5–8 of 9" in html
    assert "1 of 9 classes is flagged. " in html
    assert markup.ranking(ranks, {}, 0, 20).count('<em class="flag">') == 1
    assert markup.ranking(ranks, {}, 0, 20, "CLASS 7").count("<button") == 1
    assert "No class has this" in markup.ranking(ranks, {}, 0, 20, "zebra")


def test_pager_stops_at_both_ends():
    assert pager(0, 50, 24, "page").count("aria-disabled") == 1
    assert pager(1, 50, 24, "page").count("aria-disabled") == 0
    assert pager(2, 50, 24, "page").count("aria-disabled") == 1
    assert "49–50 of 50" in pager(2, 50, 24, "page")


@pytest.mark.parametrize("cmap", CMAPS)
def test_colour_bar_has_ticks(cmap: str):
    html = markup.colour_bar(cmap, 0.125)
    assert ">0.12<" in html
    assert (">−0.12<" in html) == CMAPS[cmap].signed
    assert ">max<" in markup.colour_bar(cmap, None)


def test_spectrum_offers_the_numbers_that_the_clustering_has():
    html = markup.spectrum(np.array([0.0, 0.1, 0.7, 0.8]), 2, [2, 3], [(2, 0.6)])
    rows = [attrs for tag, attrs in Tags(html).rows if tag == "button"]
    assert [row.get("aria-disabled") for row in rows] == ["true", None, None, "true"]
    assert [row["aria-pressed"] for row in rows] == ["false", "true", "false", "false"]
    assert rows[1]["class"] == "inside best"
    assert "largest gap after 2" in html
    assert markup.spectrum(np.zeros(0), None, [], []) == ""


def test_a_selector_keeps_a_value_that_is_no_option():
    html = markup.choices({"x": [Choice("a", "set", {"1": "one", "2": "two"}, "9")]})
    assert '<option value="9" selected>9</option>' in html
    assert markup.choices({"x": [Choice("a", "set", {"1": "one"}, "1")]}) == (
        '<div class="choices"></div>'
    )


def test_nothing_to_see():
    assert markup.message("") == ""
    assert markup.preview(None) == ""
    assert "No samples here" in markup.grid([], 0, 0, 24, "auto")
    assert "no clusters" in markup.summaries([], "auto")
    assert "no two clusters" in markup.comparison([], [], None, [], "auto")
    assert "Click a point" in markup.detail(Detail(), "auto")
