"""Token sequences (token, [feature]): the text, each token on the colour of its relevance."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from fxrelay import schema
from fxrelay_viz.pictures import Picture
from fxrelay_viz.renderers.colours import colours, strip
from fxrelay_viz.renderers.look import HOVER, LARGE, THUMBNAIL, Look
from fxrelay_viz.renderers.scene import ADVANCE, Box, Scene, Text, ink_on, shortened

#: size of the view -> width of the page, lines at most, size of the font, all in pixels
PAGES: Final = {THUMBNAIL: (192, 7, 11.0), HOVER: (320, 8, 12.0), LARGE: (640, 400, 14.0)}
MARGIN: Final = 4
LONGEST: Final = 32
#: what tokenizers put in front of a token that starts a word
STARTS: Final = ("Ġ", "▁")
CONTINUES: Final = "##"


def tokens(picture: Picture, look: Look, input_range: tuple[float, float]) -> Scene:
    """Draw the tokens as text; of a long text, in a small view, what is around the strongest."""
    relevance = picture.relevance
    extra = [d for d in relevance.dims if d != schema.TOKEN]
    values = relevance.sum(extra).values.astype(np.float64)
    width, lines, size = PAGES[look.size]
    if look.mode == "heatmap":
        inner = strip(values, look, MARGIN, MARGIN, width - 2 * MARGIN, 28)
        return Scene(width, 28 + 2 * MARGIN, tuple(inner))
    words = texts(picture.words, len(values))
    fills = colours(values, look) if look.mode != "input" else ["#ffffff"] * len(values)
    room = int((width - 2 * MARGIN) * lines / (size * ADVANCE))
    first = window(words, values, room)
    return _page(words[first:], fills[first:], first, (width, lines, size))


def texts(words: np.ndarray | None, n: int) -> list[tuple[str, bool]]:
    """Return each token's text and whether it starts a word; numbers where there are no texts."""
    if words is None or words.ndim != 1 or len(words) != n:
        return [(f"{k + 1}", True) for k in range(n)]
    given = [str(word) for word in words]
    marked = any(word.startswith(STARTS) for word in given)
    return [_text(word, k, marked) for k, word in enumerate(given)]


def window(words: Sequence[tuple[str, bool]], values: np.ndarray, room: int) -> int:
    """Return the first token to show, so that the strongest is among `room` characters."""
    ends = np.cumsum([len(word) + 1 for word, _ in words])
    if not len(ends) or ends[-1] <= room:
        return 0
    strongest = int(np.abs(values).argmax())
    if ends[strongest] <= room:
        return 0
    return int(np.searchsorted(ends, ends[strongest] - room // 2))


def _text(word: str, place: int, marked: bool) -> tuple[str, bool]:
    if word.startswith(STARTS):
        return word[1:] or " ", True
    if word.startswith(CONTINUES) and len(word) > len(CONTINUES):
        return word.removeprefix(CONTINUES), False
    return word or " ", not marked or place == 0


def _page(
    words: Sequence[tuple[str, bool]], fills: Sequence[str], first: int,
    page: tuple[int, int, float],
) -> Scene:  # fmt: skip
    width, lines, size = page
    step, gap, high = size * ADVANCE, size * 0.4, size * 1.5
    x, line = float(MARGIN), 0
    shapes: list[Box | Text] = []
    if first:
        shapes.append(Text(x, MARGIN + high / 2, "…", size=size))
        x += 2 * step
    for (word, starts), fill in zip(words, fills, strict=True):
        text = shortened(word, min(LONGEST, int((width - 2 * MARGIN) / step)))
        x += gap if starts and x > MARGIN else 0.0
        if x + len(text) * step > width - MARGIN:
            x, line = float(MARGIN), line + 1
        if line >= lines:
            shapes.append(Text(width - MARGIN, MARGIN + (lines - 0.5) * high, "…", size=size,
                               anchor="end"))  # fmt: skip
            break
        y = MARGIN + line * high
        shapes += [Box(x, y + 1, len(text) * step, high - 2, fill),
                   Text(x, y + high / 2, text, ink_on(fill), size)]  # fmt: skip
        x += len(text) * step
    return Scene(width, round(2 * MARGIN + min(line + 1, lines) * high), tuple(shapes))
