"""Contact sheets: titled blocks of inputs, heatmaps and overlays, one block per group."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from PIL import Image, ImageDraw, ImageFont

from fxrelay import schema
from fxrelay.files import write_atomically
from fxrelay.heatmap.cmaps import Cmap, palette, resolve
from fxrelay.heatmap.images import heatmap, input_limits, limits, overlay, to_image

Drawer = Callable[[np.ndarray, np.ndarray, str | Cmap, dict[str, Any]], np.ndarray]

INK, SOFT, RULE, PAPER = "#1d2330", "#6b7280", "#d9dce2", "#ffffff"
MARGIN, GUTTER, GAP, CAPTION = 36, 84, 6, 18
TITLE, HEADING, TEXT, SMALL = 26, 17, 13, 11


def _inputs(data: np.ndarray, relevance: np.ndarray, cmap: str | Cmap, k: dict) -> np.ndarray:
    return to_image(data, vmin=k["input_range"][0], vmax=k["input_range"][1])


def _heatmaps(data: np.ndarray, relevance: np.ndarray, cmap: str | Cmap, k: dict) -> np.ndarray:
    return heatmap(relevance, cmap, **k["scale"])


def _overlays(data: np.ndarray, relevance: np.ndarray, cmap: str | Cmap, k: dict) -> np.ndarray:
    return overlay(data, relevance, cmap, input_range=k["input_range"], **k["scale"])


#: what a row of a contact sheet can show; the first and the last need inputs
ROWS: Final[Mapping[str, Drawer]] = {
    "input": _inputs,
    "heatmap": _heatmaps,
    "overlay": _overlays,
}


def contact_sheet(
    ds: xr.Dataset,
    groups: Mapping[str, Sequence[Any]],
    *,
    rows: Sequence[str] = ("input", "heatmap", "overlay"),
    columns: int = 12,
    size: int = 64,
    cmap: str | Cmap = "bwr",
    percentile: float = 100.0,
    shared: bool = False,
    title: str = "",
    subtitle: str = "",
) -> Image.Image:
    """Draw the first samples of each group: a title, tiles with captions, one colour bar.

    Parameters
    ----------
    ds : Dataset
        Attribution Dataset, `relevance` with dims (sample, channel, y, x); `input`, `label` and
        `prediction` are used where present. It may be lazy: only the samples shown are read.
    groups : mapping of str to sample ids
        Heading to the ids of its samples, in the order to show.
    rows : sequence of {"input", "heatmap", "overlay"}
        Rows of each block; those that need inputs are left out of a Dataset without `input`.
    columns : int, >= 1
        Samples shown per group.
    size : int, pixels
        Smallest height and width of a tile; small images grow by a whole factor, without blurring.
    cmap, percentile, shared
        As in `heatmap`; `shared` scales the whole sheet alike, so that tiles can be compared.
    title, subtitle : str
        Text above the blocks.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    ValueError
        For unknown rows, an empty sheet, or sample ids that are not in `ds` (names all of them).
    """
    blocks = _select(ds, groups, columns)
    rows = _rows_to_draw(ds, rows)
    ids = [i for block in blocks.values() for i in block]
    shown = ds[[n for n in _USED if n in ds]].sel({schema.SAMPLE: ids})
    shown = shown.compute(scheduler="synchronous")  # netCDF: never from two threads
    relevance = shown[schema.RELEVANCE].transpose(*_IMAGE).values
    data = shown[schema.INPUT].transpose(*_IMAGE).values if schema.INPUT in shown else relevance
    scale: dict[str, Any] = {"percentile": percentile}
    if shared:
        low, high = limits(relevance, cmap, percentile=percentile, shared=True)
        scale = {"vmin": float(low.min()), "vmax": float(high.max())}
    k = {"scale": scale, "input_range": input_limits(data)}
    tiles = {row: _tiles(ROWS[row](data, relevance, cmap, k), size) for row in rows}
    classes = ds[schema.CLASS].values if schema.CLASS in ds.coords else None
    captions = [_caption(shown.isel({schema.SAMPLE: n}), classes) for n in range(len(ids))]
    totals = {name: len(groups[name]) for name in blocks}
    sheet = _Sheet(tiles, captions, max(map(len, blocks.values())))
    return sheet.draw(blocks, totals, (title, subtitle), cmap, scale)


def grid(
    images: np.ndarray, columns: int | None = None, gap: int = 1, fill: int = 255
) -> np.ndarray:
    """Put a batch of images side by side.

    Parameters
    ----------
    images : uint8 array, shape (n, y, x, 3)
    columns : int, optional
        Images per row; about a square by default.
    gap : int, pixels
        Space between images.
    fill : int, 0..255
        Grey value of the space.

    Returns
    -------
    uint8 array, shape (rows * (y + gap) - gap, columns * (x + gap) - gap, 3)
    """
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise ValueError(
            f"grid: needs images of shape (n, y, x, 3), n >= 1; got {images.shape}. "
            "Make them with heatmap, overlay or to_image."
        )
    n, height, width, _ = images.shape
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    rows = -(-n // columns)
    out = np.full((rows * (height + gap), columns * (width + gap), 3), fill, dtype=np.uint8)
    for position, image in enumerate(images):
        y, x = (position // columns) * (height + gap), (position % columns) * (width + gap)
        out[y : y + height, x : x + width] = image
    return out[: out.shape[0] - gap, : out.shape[1] - gap]


def save(image: Image.Image | np.ndarray, path: str | Path) -> Path:
    """Write an image as PNG, whole or not at all."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))


_USED = (schema.RELEVANCE, schema.INPUT, schema.LABEL, schema.PREDICTION)
_IMAGE = (schema.SAMPLE, schema.CHANNEL, schema.Y, schema.X)


def _select(
    ds: xr.Dataset, groups: Mapping[str, Sequence[Any]], columns: int
) -> dict[str, list[Any]]:
    if ds[schema.RELEVANCE].ndim != 4 or columns < 1 or not any(len(g) for g in groups.values()):
        raise ValueError(
            f"contact_sheet: needs relevance with dims {_IMAGE}, columns >= 1 and at least one "
            f"sample; got {ds[schema.RELEVANCE].dims}, {columns} and {len(groups)} groups with "
            f"{sum(map(len, groups.values()))} samples. Select one target with ds.isel(target=0)."
        )
    index = ds[schema.SAMPLE].to_index()
    unknown = [i for ids in groups.values() for i in list(ids)[:columns] if i not in index]
    if unknown:
        raise ValueError(
            f"contact_sheet: needs sample ids of the Dataset; got {len(unknown)} others: "
            f"{', '.join(map(str, unknown[:10]))}. Take ids from ds['{schema.SAMPLE}']."
        )
    return {name: list(ids)[:columns] for name, ids in groups.items() if len(ids)}


def _rows_to_draw(ds: xr.Dataset, rows: Sequence[str]) -> list[str]:
    unknown = [row for row in rows if row not in ROWS]
    if unknown or not rows:
        raise ValueError(
            f"contact_sheet: needs rows in {tuple(ROWS)}; got {tuple(rows)}. "
            f"{'Drop ' + ', '.join(unknown) if unknown else 'Name one'}."
        )
    return [row for row in rows if row == "heatmap" or schema.INPUT in ds] or ["heatmap"]


def _tiles(images: np.ndarray, size: int) -> list[Image.Image]:
    height, width = images.shape[1:3]
    factor = max(1.0, np.ceil(size / max(height, width)))
    if max(height, width) > 2 * size:
        factor = 2 * size / max(height, width)
    shape = (round(width * factor), round(height * factor))
    kind = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    return [Image.fromarray(np.ascontiguousarray(image)).resize(shape, kind) for image in images]


def _caption(sample: xr.Dataset, classes: np.ndarray | None) -> str:
    known = [sample[n].item() for n in (schema.LABEL, schema.PREDICTION) if n in sample]
    names = [str(classes[k]) if classes is not None else str(k) for k in known]
    text = f"{sample[schema.SAMPLE].item()}"
    if len(names) == 2 and names[0] != names[1]:
        return f"{text}: {names[0]} as {names[1]}"
    return text


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


class _Sheet:
    """Where things go on the page; `draw` puts them there."""

    def __init__(
        self, tiles: dict[str, list[Image.Image]], captions: list[str], columns: int
    ) -> None:
        self.tiles, self.captions = tiles, captions
        self.width, self.height = next(iter(tiles.values()))[0].size
        self.across = max(columns * (self.width + GAP), 420)
        self.block = HEADING + 16 + len(tiles) * (self.height + GAP) + CAPTION + 20

    def draw(
        self,
        blocks: dict[str, list[Any]],
        totals: dict[str, int],
        titles: tuple[str, str],
        cmap: str | Cmap,
        scale: dict[str, Any],
    ) -> Image.Image:
        """Draw title, blocks and colour bar on a fresh page."""
        top = MARGIN + (TITLE + 12) * bool(titles[0]) + (TEXT + 12) * bool(titles[1])
        size = (2 * MARGIN + GUTTER + self.across, top + len(blocks) * self.block + 64)
        page = Image.new("RGB", size, PAPER)
        pen = ImageDraw.Draw(page)
        pen.text((MARGIN, MARGIN - 8), titles[0], fill=INK, font=_font(TITLE))
        if titles[1]:
            pen.text((MARGIN, top - TEXT - 16), titles[1], fill=SOFT, font=_font(TEXT))
        first = 0
        for name, ids in blocks.items():
            self._block(page, pen, top, name, range(first, first + len(ids)), totals[name])
            top, first = top + self.block, first + len(ids)
        _colour_bar(page, (MARGIN + GUTTER, top + 8), cmap, scale)
        return page

    def _block(
        self,
        page: Image.Image,
        pen: ImageDraw.ImageDraw,
        top: int,
        name: str,
        members: range,
        total: int,
    ) -> None:
        heading = _font(HEADING)
        pen.line([(MARGIN, top), (page.width - MARGIN, top)], fill=RULE)
        pen.text((MARGIN, top + 8), name, fill=INK, font=heading)
        count = f"{total} samples" + (f", first {len(members)}" if len(members) < total else "")
        after = MARGIN + pen.textlength(name, font=heading) + 12
        pen.text((after, top + 8 + HEADING - TEXT), count, fill=SOFT, font=_font(TEXT))
        top += HEADING + 20
        for row, images in self.tiles.items():
            middle = top + (self.height - TEXT) // 2
            pen.text((MARGIN, middle), row, fill=SOFT, font=_font(TEXT))
            for column, member in enumerate(members):
                x = MARGIN + GUTTER + column * (self.width + GAP)
                page.paste(images[member], (x, top))
                pen.rectangle((x - 1, top - 1, x + self.width, top + self.height), outline=RULE)
            top += self.height + GAP
        self._captions(pen, top, members)

    def _captions(self, pen: ImageDraw.ImageDraw, top: int, members: range) -> None:
        for column, member in enumerate(members):
            x = MARGIN + GUTTER + column * (self.width + GAP) + self.width // 2
            text, font = self.captions[member], _font(SMALL)
            while len(text) > 3 and pen.textlength(text, font=font) > self.width + GAP - 2:
                text = text[:-3].rstrip(". ") + ".."
            pen.text((x, top), text, fill=SOFT, font=font, anchor="ma")


def _colour_bar(
    page: Image.Image, at: tuple[int, int], cmap: str | Cmap, scale: dict[str, Any]
) -> None:
    width, height, (x, y) = 240, 12, at
    strip = Image.fromarray(np.broadcast_to(palette(cmap), (height, 256, 3)).copy())
    page.paste(strip.resize((width, height)), at)
    pen, font = ImageDraw.Draw(page), _font(SMALL)
    pen.rectangle((x - 1, y - 1, x + width, y + height), outline=RULE)
    signed, top = resolve(cmap).signed, scale.get("vmax")
    most = "max" if top is None else f"{top:.3g}"
    ticks = {0.0: f"-{most}", 0.5: "0", 1.0: f"+{most}"} if signed else {0.0: "0", 1.0: most}
    for share, text in ticks.items():
        pen.text((x + share * width, y + height + 4), text, fill=SOFT, font=font, anchor="ma")
    note = "relevance, each image on its own scale" if top is None else "relevance, one scale"
    pen.text((x + width + 28, y - 1), note, fill=SOFT, font=font)
