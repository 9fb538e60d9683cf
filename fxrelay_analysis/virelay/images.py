"""A folder of images as an array: found in order, brought to one size, read as they are used."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from fxrelay_analysis.virelay.projects import Project

Array = np.ndarray[Any, Any]
Pad = Callable[[Array, list[tuple[int, int]]], Array]


def _resized(image: Array, height: int, width: int) -> Array:
    from PIL import Image

    pixels = Image.fromarray(np.asarray(image * 255).round().astype(np.uint8))
    return np.asarray(pixels.resize((width, height)), np.float32) / 255


#: how an image that is too small is filled up; pixels are in [0, 1], and 1 is white
PADDED: Final[Mapping[str, Pad]] = {
    "fill_zeros": lambda x, by: np.pad(x, by),
    "fill_ones": lambda x, by: np.pad(x, by, constant_values=1),
    "edge_repeat": lambda x, by: np.pad(x, by, "edge"),
    "mirror_edge": lambda x, by: np.pad(x, by, "reflect"),
    "wrap_around": lambda x, by: np.pad(x, by, "wrap"),
}


@dataclass(frozen=True)
class Images:
    """The images of a project, an array (sample, 3, height, width) in [0, 1].

    A side that is too short is filled up or resized, one that is too long cropped in the centre
    or resized, each by the project's method; with "none" it stays. Where the border cannot be
    divided evenly the pixel goes first.
    """

    folder: Path
    files: tuple[Path, ...]
    size: tuple[int, int]
    up: str
    down: str

    @classmethod
    def of(cls, project: Project) -> "Images":
        """Find the images: every file with a dot in its name, or those that a list names.

        Raises
        ------
        ValueError
            If there are none, or listed files are missing; names them.
        """
        folder = project.file(project.value("dataset.path"))
        listed = folder.with_name(f"{folder.name}_paths.txt")
        if listed.exists():
            lines = listed.read_text(encoding="utf-8").splitlines()
            found = sorted(folder / line.strip() for line in lines if line.strip())
        else:
            found = sorted(p for p in folder.rglob("*.*") if p.is_file())
        missing = [str(p) for p in found if not p.is_file()]
        if missing or not found:
            raise ValueError(
                f"{listed if listed.exists() else folder}: needs images that exist; got "
                f"{', '.join(missing) + ', which do not' if missing else 'none'}. Mend the paths."
            )
        size = project.value("dataset.input_height"), project.value("dataset.input_width")
        up = project.value("dataset.up_sampling_method", "none")
        down = project.value("dataset.down_sampling_method", "none")
        return cls(folder, tuple(found), size, up, down)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole; with sides that stay as they are, that of the first image."""
        return (len(self.files), *self._first.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return 4

    @property
    def nbytes(self) -> int:
        """Size of the whole in bytes."""
        return int(np.prod(self.shape)) * 4

    @cached_property
    def _first(self) -> Array:
        return self._read(self.files[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Path of each image in the folder."""
        return tuple(p.relative_to(self.folder).as_posix() for p in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Array:
        """Read some images.

        Raises
        ------
        ValueError
            If their sizes differ; names the first that does.
        """
        rows, *rest = index if isinstance(index, tuple) else (index,)
        files = np.array(self.files, object)[rows]
        read = [self._read(path) for path in files]
        odd = [p for p, x in zip(files, read, strict=True) if x.shape != self.shape[1:]]
        if odd:
            raise ValueError(
                f"{odd[0]}: needs images of one size, {self.shape[1:]}; got {len(odd)} others. "
                "Set up_sampling_method and down_sampling_method."
            )
        return np.stack(read)[(slice(None), *rest)]

    def _read(self, path: Path) -> Array:
        from PIL import Image

        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"), np.float32) / 255
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(
                f"{path}: needs an image that can be read; got {error}. Mend or remove it."
            ) from error
        return np.moveaxis(self._fitted(pixels), -1, 0)

    def _fitted(self, image: Array) -> Array:
        lacking = [max(0, want - has) for want, has in zip(self.size, image.shape, strict=False)]
        if any(lacking) and self.up != "none":
            image = self._grown(image, lacking)
        height, width = (min(want, has) for want, has in zip(self.size, image.shape, strict=False))
        if self.down == "resize":
            return _resized(image, height, width) if (height, width) != image.shape[:2] else image
        if self.down == "none":
            return image
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        return image[top : top + height, left : left + width]

    def _grown(self, image: Array, lacking: list[int]) -> Array:
        if self.up == "resize":
            return _resized(image, *(n + by for n, by in zip(image.shape, lacking, strict=False)))
        return PADDED[self.up](image, [*(((n + 1) // 2, n // 2) for n in lacking), (0, 0)])


def labels_in_names(project: Project, names: Sequence[str]) -> Array | None:
    """Return the class index that each path tells, by the project's regular expression.

    Raises
    ------
    ValueError
        Names the paths that do not match, and those whose class the label map does not know.
    """
    words = project.value("dataset.label_word_net_id_regex")
    pattern = words or project.value("dataset.label_index_regex")
    if pattern is None:
        return None
    known = project.labels.words if words else {str(i): i for i in project.labels.names}
    found = [re.search(pattern, name) for name in names]
    texts = [m.group(1) if m else None for m in found]
    keys = [t if words or t is None else t.lstrip("0") or "0" for t in texts]
    wrong = [n for n, key in zip(names, keys, strict=True) if key not in known]
    if wrong:
        raise ValueError(
            f"{project.path}: needs paths whose class {pattern!r} finds in the label map; got "
            f"{', '.join(wrong[:8])}{', ...' if len(wrong) > 8 else ''} ({len(wrong)} of "
            f"{len(names)}). Mend the expression or the label map."
        )
    return np.array([known[str(key)] for key in keys], np.int64)
