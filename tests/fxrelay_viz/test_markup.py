from html.parser import HTMLParser

import numpy as np
import pytest

from fxrelay.heatmap import CMAPS
from fxrelay_viz import markup
from fxrelay_viz.data import Rank
from fxrelay_viz.palette import colouring

EVIL = "</button><script>alert(1)</script><img src=x onerror='alert(1)' \">&amp;"


class Tags(HTMLParser):
    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


EVERY = {
    "header": lambda text: markup.header({text: text}, text, text),
    "ranking": lambda text: markup.ranking([Rank(text, 1.0)], {text: [text]}, 0, 10),
    "tools": lambda text: markup.tools([text], text, 1, 2, True),
    "clusters": lambda text: markup.clusters(colouring(np.array([text])), np.array([True]), None),
    "legend": lambda text: markup.legend(colouring(np.array([text])), text),
    "grid": lambda text: markup.grid([markup.Card(text, text, text, text, text)], 0, 1, 24),
    "detail": lambda text: markup.detail({text: text}, {text: text}, wrong="x"),
    "looks": lambda text: markup.looks({text: text}, text, ""),
    "verdict": lambda text: markup.verdict(Rank(text, 1.0, 1, 2, 1, 1, True)),
}


@pytest.mark.parametrize("part", EVERY)
def test_text_of_the_data_is_never_markup(part: str):
    evil, tame = Tags(EVERY[part](EVIL)), Tags(EVERY[part]("x"))
    assert evil.tags == tame.tags
    assert evil.names == tame.names
    assert EVIL in evil.text or part == "verdict"


def test_ranking_marks_the_flagged_and_pages():
    ranks = [Rank(f"class {n}", 9.0 - n, 10, 3, 1, 4, n == 0) for n in range(9)]
    html = markup.ranking(ranks, {}, 1, 4)
    assert "class 4" in html
    assert "class 3" not in html
    assert "5–8 of 9" in html
    assert "1 flagged" in html
    assert markup.ranking(ranks, {}, 0, 20).count('<em class="flag">') == 1


def test_pager_stops_at_both_ends():
    assert 'class="disabled" data-do="page" data-value="0"' in markup.pager(0, 50, 24, "page")
    assert 'class="disabled" data-do="page" data-value="2"' in markup.pager(2, 50, 24, "page")
    assert "49–50 of 50" in markup.pager(2, 50, 24, "page")


@pytest.mark.parametrize("cmap", CMAPS)
def test_colour_bar_has_ticks(cmap: str):
    html = markup.colour_bar(cmap, 0.125)
    assert "+0.12" in html if CMAPS[cmap].signed else ">0.12<" in html
