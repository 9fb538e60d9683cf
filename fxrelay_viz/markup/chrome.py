"""What stands around the explanations: header, messages, dialogs, status line."""

from collections.abc import Mapping, Sequence
from html import escape

from fxrelay_viz.markup.basics import Choice, button, facts, select

#: longer facts give way where the line is full
MOST_SHORT = 20
KEYS: Mapping[str, str] = {
    "Drag, Lasso": "select; Shift adds, Ctrl+Shift subtracts, Alt intersects",
    "Click a point": "select it and show it in large",
    "Wheel, Pan": "zoom and move; ⤢ shows everything again",
    "Eye of a cluster": "hide it; with Shift show it alone",
    "Eigenvalue, merge tree": "click to choose the number of clusters",
    "Arrow keys": "walk over the images of the grid",
    "Enter": "open what has the focus",
    "Escape": "select nothing",
    "Ctrl+Z, Ctrl+Y": "undo, redo",
    "/": "search",
    "?": "this help",
}


def header(
    category: str, flagged: bool, projects: Sequence[Choice], query: str, formats: Mapping[str, str]
) -> str:
    """Return the bar at the top.

    Parameters
    ----------
    category : str
        The open one, or "".
    flagged : bool
        Whether the ranking flags it.
    projects : sequence of Choice
        Projects, attributions, analyses; those with one option are left out.
    query : str
        What is searched for.
    formats : mapping of str to str
        Format of an export to what it holds.
    """
    flag = '<em class="flag">flagged</em>' if flagged else ""
    crumb = f'<span class="sep">/</span><b>{escape(category)}</b>{flag}' if category else ""
    home = button("home", "", "Classes", "link", aria_label="Back to all classes")
    chosen = "".join(select(choice) for choice in projects if len(choice.options) > 1)
    what = "Find samples: id, label, tag" if category else "Find a class"
    find = (
        f'<input type="search" data-do="find" value="{escape(query)}" placeholder="{what}" '
        f'aria-label="{what}" spellcheck="false" maxlength="200">'
    )
    actions = (
        button("dialog", "share", "Share", title="Link to what you see")
        + (button("dialog", "export", "Export") if category else "")
        + _import()
        + button("theme", "", "◐", "icon", aria_label="Light or dark", title="Light or dark")
        + button("dialog", "help", "?", "icon", aria_label="Help", title="Help (?)")
    )
    return (
        f'<header><span class="brand">fxrelay</span><nav aria-label="Where you are">{home}{crumb}'
        f'</nav><div class="projects">{chosen}</div>{find}<div class="actions">{actions}</div>'
        f"</header>{_share()}{_export(formats)}{_help()}"
    )


def message(text: str) -> str:
    """Return what went wrong, or nothing."""
    if not text:
        return ""
    close = button("dismiss", "", "×", "icon", aria_label="Dismiss")
    return f'<div class="alert" role="alert"><p>{escape(text)}</p>{close}</div>'


def status(
    provenance: Mapping[str, str], more: Mapping[str, str] | None = None, recipe: str = ""
) -> str:
    """Return the line at the bottom: what made the data, and a dialog that tells all of it.

    Parameters
    ----------
    provenance, more : mappings of str to str
        What the line tells, and what only the dialog does; empty texts are left out.
    recipe : str
        The recipe of the analysis.
    """
    items = "".join(
        f'<span title="{escape(v)}" class="{"long" if len(v) > MOST_SHORT else "short"}">'
        f"<i>{escape(k)}</i> {escape(_short(v))}</span>"
        for k, v in provenance.items()
        if v
    )
    about = button("dialog", "about", "About this data", "link")
    told = facts({k: v for k, v in {**provenance, **(more or {})}.items() if v})
    return (
        f'<footer aria-label="Provenance">{about}{items}</footer>'
        f"{_dialog('about', 'About this data', told + _recipe(recipe))}"
    )


def _recipe(text: str) -> str:
    if not text:
        return ""
    copy = button("copy", "pre", "Copy the recipe")
    return (
        f"<details><summary>Recipe of the analysis</summary><pre>{escape(text)}</pre>{copy}"
        "<p><code>fxrelay analyze --recipe analysis.nc</code> repeats it.</p></details>"
    )


def _short(text: str, most: int = 44) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _import() -> str:
    return (
        '<span><input type="file" data-do="import" data-most="4194304" hidden accept=".json" '
        f'aria-label="File to import">{button("pick", "", "Import")}</span>'
    )


def _dialog(name: str, title: str, inner: str) -> str:
    close = button("close", "", "Close")
    return (
        f'<dialog class="{name}" aria-label="{title}"><h2>{title}</h2>{inner}'
        f'<div class="dialog-end">{close}</div></dialog>'
    )


def _share() -> str:
    copy = button("copy", "", "Copy the link", "main")
    text = "<p>The address of this page holds everything you see, the selection included.</p>"
    return _dialog("share", "Share", f"{text}{copy}")


def _export(formats: Mapping[str, str]) -> str:
    rows = "".join(
        f"<dt>{button('export', name, escape(name), 'main')}</dt><dd>{escape(text)}</dd>"
        for name, text in formats.items()
    )
    return _dialog("export", "Export the selection", f'<dl class="facts-list">{rows}</dl>')


def _help() -> str:
    return _dialog("help", "Gestures and keys", facts(KEYS))
