"""Models and data that are named by text, as on the command line."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from fxrelay import schema

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
#: normalisation of ImageNet models
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_model(name: str, weights: str | Path | None = None) -> nn.Module:
    """Return a model in eval mode.

    Parameters
    ----------
    name : str
        ``torchvision:resnet50``, or ``package.module:function`` that returns an ``nn.Module``.
    weights : path, optional
        A safetensors file or a state dict, read with ``weights_only=True``.

    Raises
    ------
    ValueError
        If the name or the weights do not fit or cannot be read; says what is missing.
    """
    source, _, function = name.partition(":")
    if not function:
        raise ValueError(
            f"model: needs torchvision:NAME or package.module:function; got {name!r}. "
            "For example torchvision:resnet50."
        )
    if source == "torchvision":
        import fxrelay.vision  # noqa: F401

        source = "torchvision.models"
    try:
        make = getattr(importlib.import_module(source), function)
    except Exception as error:  # a module may raise anything
        raise ValueError(f"model: needs a function that exists; got {name!r} ({error}).") from error
    try:
        model = make()
    except Exception as error:
        raise ValueError(
            f"model: needs {name!r} to be a function that runs without arguments; got "
            f"{type(error).__name__}: {error}."
        ) from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: needs {name!r} to return a module; got {type(model).__name__}.")
    if weights is not None:
        _load_weights(model, Path(weights))
    return model.eval()


def _load_weights(model: nn.Module, path: Path) -> None:
    state = _read_weights(path)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"model: weights in {str(path)!r} do not fit: {error}") from error


def _read_weights(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever it likes
        plain = not isinstance(error, UnpicklingError)
        first = (str(error).splitlines() or [type(error).__name__])[0]
        first = first if plain else "which is no pickle of tensors alone"
        raise ValueError(
            f"model: needs a safetensors file or a state dict; got {str(path)!r} ({first}). Write "
            "one with torch.save(model.state_dict(), ...)."
        ) from error


@dataclass(frozen=True)
class ImageFolder:
    """Images in a folder; sub-folders, where there are any, are the classes, in order of name.

    Each item is (x, label) or x: float32 (3, size, size), resized on the shorter side, cropped in
    the centre, normalised.
    """

    files: tuple[Path, ...]
    targets: tuple[int, ...] | None
    classes: tuple[str, ...] | None
    size: int = 224
    mean: Sequence[float] = MEAN
    std: Sequence[float] = STD

    @classmethod
    def of(cls, folder: str | Path, size: int = 224) -> "ImageFolder":
        """Find the images of a folder; raise where there are none, or for a size below 1."""
        if size < 1:
            raise ValueError(f"data: needs size >= 1; got {size}. The usual one is 224.")
        root = Path(folder)
        names = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
        found = sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGES)
        if not found:
            raise ValueError(
                f"data: needs a folder with images ({', '.join(IMAGES)}); got {str(folder)!r}."
            )
        direct = [p for p in found if p.parent == root]
        if direct or not names:
            return cls(tuple(found), None, None, size)
        labels = tuple(names.index(p.relative_to(root).parts[0]) for p in found)
        return cls(tuple(found), labels, tuple(names), size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        """Read one image."""
        x = read_image(self.files[index], self.size, self.mean, self.std)
        return x if self.targets is None else (x, self.targets[index])


def read_image(
    path: Path, size: int, mean: Sequence[float] = MEAN, std: Sequence[float] = STD
) -> Tensor:
    """Return an image as float32 (3, size, size), normalised.

    Raises
    ------
    OSError
        If the file is damaged; names it.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            scale = size / min(image.size)
            shape = [max(size, round(side * scale)) for side in image.size]
            pixels = np.asarray(image.convert("RGB").resize(shape), dtype=np.float32) / 255
    except (OSError, SyntaxError, ValueError) as error:
        raise OSError(
            f"data: needs images that can be read; got {str(path)!r} ({error}). Mend or remove it."
        ) from error
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    middle, spread = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    cropped = pixels[top : top + size, left : left + size]
    return torch.from_numpy((cropped - middle) / spread).permute(2, 0, 1)


def load_data(path: str | Path, size: int = 224) -> tuple[Any, Any]:
    """Return a dataset and sample ids from an image folder or a netCDF file with ``input``.

    Raises
    ------
    ValueError
        If there is nothing to explain at `path`.
    """
    path = Path(path)
    if path.is_dir():
        folder = ImageFolder.of(path, size)
        return folder, [str(p.relative_to(path)) for p in folder.files]
    if not path.is_file():
        raise ValueError(f"data: needs a folder of images or a netCDF file; got {str(path)!r}.")
    with _opened(path) as ds:
        if schema.INPUT not in ds:
            raise ValueError(
                f"data: needs the variable '{schema.INPUT}'; got {', '.join(map(str, ds))} in "
                f"{str(path)!r}."
            )
        x = ds[schema.INPUT].values
        ids = ds[schema.SAMPLE].values if schema.SAMPLE in ds.coords else None
        return (x, ds[schema.LABEL].values) if schema.LABEL in ds else x, ids


def _opened(path: Path) -> xr.Dataset:
    try:
        return xr.open_dataset(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"data: needs a folder of images or a netCDF file; got {str(path)!r}, which is neither."
        ) from error
