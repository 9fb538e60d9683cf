"""Which samples a text finds: by id, class, tag, note, or any variable."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from fxrelay import schema
from fxrelay_viz.category import Category
from fxrelay_viz.notes import NOTE, TAGS

#: what may stand before a colon -> the variables that are searched
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": (schema.SAMPLE,),
    "label": (schema.LABEL,),
    "prediction": (schema.PREDICTION,),
    "tag": (TAGS,),
    "note": (NOTE,),
}
#: without a field all of these are searched
EVERYWHERE: Final = (schema.SAMPLE, schema.LABEL, schema.PREDICTION, TAGS, NOTE)
CLASSES: Final = (schema.LABEL, schema.PREDICTION)
LONGEST: Final = 200


def search(category: Category, text: str) -> np.ndarray:
    """Mask the samples that a text finds; upper and lower case are alike.

    ``cat`` finds it in classes, tags, notes and text variables, and the sample of this id;
    ``label:cat``, ``id:17``, ``tag:odd``, ``note:...`` or ``NAME:...`` search one variable.

    Parameters
    ----------
    category : Category
    text : str

    Returns
    -------
    bool array, shape (n,)
        All False for an empty text.
    """
    text = text.strip()[:LONGEST]
    field, colon, rest = text.partition(":")
    known = field.strip() in FIELDS or field.strip() in category.columns
    if colon and known:
        names: tuple[str, ...] = FIELDS.get(field.strip(), (field.strip(),))
        needle = rest.strip().casefold()
    else:
        names, needle = (*EVERYWHERE, *_texts(category)), text.casefold()
    mask = np.zeros(len(category.ids), dtype=bool)
    if needle:
        for name in dict.fromkeys(names):
            mask |= _found(category, name, needle)
    return mask


def _texts(category: Category) -> list[str]:
    return [n for n in category.columns if category.columns[n].dtype.kind in "OUS"]


def _found(category: Category, name: str, needle: str) -> np.ndarray:
    if name == schema.SAMPLE:
        return _in_values(category.ids, needle, exact=category.ids.dtype.kind not in "OUS")
    values = category.columns.get(name)
    if values is None:
        return np.zeros(len(category.ids), dtype=bool)
    if name in CLASSES and len(category.classes):
        hits = [k for k, text in enumerate(category.classes) if needle in text.casefold()]
        return np.isin(values, hits)
    return _in_values(values, needle, exact=values.dtype.kind not in "OUS")


def _in_values(values: np.ndarray, needle: str, exact: bool) -> np.ndarray:
    kinds, codes = np.unique(values.astype(str) if not exact else values, return_inverse=True)
    fits: Callable[[str], bool] = needle.__eq__ if exact else (lambda text: needle in text)
    hits = np.fromiter((fits(str(kind).casefold()) for kind in kinds.tolist()), dtype=bool)
    out: np.ndarray = hits[codes]
    return out
