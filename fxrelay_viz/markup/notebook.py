"""Tags, notes and kept selections of a project."""

from collections.abc import Mapping
from html import escape

from fxrelay_viz.markup.basics import button, empty


def notebook(
    tags: Mapping[str, int], notes: Mapping[str, str], kept: Mapping[str, str], n_selected: int
) -> str:
    """Return what people wrote.

    Parameters
    ----------
    tags : mapping of str to int
        Tag to its number of samples.
    notes : mapping of str to str
        Sample id to note, of the open category.
    kept : mapping of str to str
        Name of a kept selection to its note.
    n_selected : int
        How many samples a new tag would mark.
    """
    on = "" if n_selected else " disabled"
    what = f"Tag the {n_selected:,} selected" if n_selected else "Select samples to tag them"
    rows = "".join(
        f"<li>{button('open-note', name, escape(name), 'link')}<p>{escape(text)}</p></li>"
        for name, text in notes.items()
    )
    listed = f'<ul class="reasons">{rows}</ul>' if rows else empty("No notes in this class.")
    return (
        f'<h2>Selections</h2><div class="chips">{_kept(kept)}<input type="text" data-do="keep" '
        'placeholder="Keep what you see as" aria-label="Keep what you see as" maxlength="64"></div>'
        f'<h2>Tags</h2><div class="chips">{_tags(tags)}<input type="text" data-do="tag-selection" '
        f'placeholder="{what}" aria-label="Tag the selected samples" '
        f'maxlength="64"{on}></div><h2>Notes</h2>{listed}'
    )


def _kept(kept: Mapping[str, str]) -> str:
    return "".join(
        button("open-kept", name, escape(name), "chip", title=note)
        + button("forget", name, "×", "icon", aria_label=f"Forget {name}")
        for name, note in kept.items()
    )


def _tags(tags: Mapping[str, int]) -> str:
    return "".join(
        button("find", f"tag:{tag}", f"{escape(tag)}<small>{count:,}</small>", "chip",
               title="Select; Shift adds, Alt subtracts")
        for tag, count in tags.items()
    )  # fmt: skip
