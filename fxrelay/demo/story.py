"""The main job on real data: plant a Clever Hans, train, explain, analyse, catch it, look at it.

This module composes the three packages as a user would; nothing imports it but the command line
and the benchmark.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import xxhash
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import fxrelay
from fxrelay import schema
from fxrelay.demo.data import CLASSES, Digits, digits, plant
from fxrelay.demo.model import DigitNet, accuracy, train
from fxrelay.files import writable_folder, write_atomically, write_netcdf
from fxrelay.heatmap import contact_sheet, save

COMPOSITE = "epsilon_plus_flat"
#: version of the network and its training; raise it when either changes
TRAINING = 1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What one run of the demo is about.

    Attributes
    ----------
    seed : int
        Decides the artefact's places and the network's first weights.
    label : int or None
        The poisoned class; None is the clean control.
    share : float in (0, 1]
        Share of that class that carries the artefact.
    per_class : int in 11..500
        Images of each digit; the analysis needs 11 of a class.
    epochs : int
        Passes over the training images.
    """

    seed: int = 0
    label: int | None = 7
    share: float = 0.5
    per_class: int = 500
    epochs: int = 8

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        kind = "clean" if self.label is None else f"class{self.label}-share{self.share:g}"
        size = "" if self.per_class == 500 else f"-n{self.per_class}"
        return f"{kind}-seed{self.seed}{size}-epochs{self.epochs}"


@dataclass(frozen=True)
class Outcome:
    """What the analysis found, against what was planted.

    Attributes
    ----------
    accuracy : float
        Share of test images that the network gets right.
    flagged : tuple of str
        Classes that the analysis accuses.
    first : str
        The most suspicious class, with its `suspicion`.
    size, purity, recall
        Of its suspicious cluster against the planted truth; NaN for a clean control.
    """

    accuracy: float
    flagged: tuple[str, ...]
    first: str
    suspicion: float
    size: int
    purity: float
    recall: float


@dataclass(frozen=True)
class Run:
    """The results of a run: the lazy Dataset, the DataTree, and the outcome."""

    folder: Path
    ds: xr.Dataset
    tree: xr.DataTree
    outcome: Outcome


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: on a network this small more only wait for each other.

    It also makes the result the same whatever the number of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def run(
    out: str | Path, settings: Settings | None = None, *, progress: bool = True, say: Say = print
) -> Run:
    """Run the demo into ``out/<name of the settings>``; a second run reuses every result.

    Parameters
    ----------
    out : path
        Folder for results; it is made when missing.
    settings : Settings
        What to plant, and where.
    progress : bool
        Whether to show progress bars.
    say : callable
        Takes the lines that tell what happens.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        Before work starts, if a setting is out of range.
    """
    settings = settings or Settings()
    _check(settings)
    folder = writable_folder(Path(out) / settings.name, "demo")
    data = plant(digits(per_class=settings.per_class), settings.label, share=settings.share,
                 seed=settings.seed)  # fmt: skip
    say(_planted_text(data, settings))
    key = key_of(data, settings)
    model, score = trained(folder / f"model-{key}.safetensors", data, settings, progress)
    say(f"The network gets {score:.1%} of the test images right.")
    ds = fxrelay.attribute_dataset(
        model, (data.images, data.labels), folder / f"relevance-{key}", composite=COMPOSITE,
        classes=CLASSES, batch_size=250, progress=progress,
    )  # fmt: skip
    tree = analysed(ds, folder, progress)
    outcome = judged(tree, data, score)
    from fxrelay_analysis.ranking import ranking_text

    say("\n" + ranking_text(tree) + "\n\n" + verdict_text(outcome, settings))
    for path in written(folder, ds, tree, outcome):
        say(f"wrote {path}")
    return Run(folder, ds, tree, outcome)


def _check(settings: Settings) -> None:
    faults = [
        (settings.per_class < 11, f"per_class in 11..500; got {settings.per_class}"),
        (not 0 <= settings.seed < 2**63, f"seed in 0..2**63-1; got {settings.seed}"),
        (settings.epochs < 1, f"epochs >= 1; got {settings.epochs}"),
    ]
    wrong = [text for is_wrong, text in faults if is_wrong]
    if wrong:
        raise ValueError(f"demo: needs {'; needs '.join(wrong)}. Change what is named.")


def _planted_text(data: Digits, settings: Settings) -> str:
    if settings.label is None:
        return f"{len(data.labels)} digits, no artefact planted (clean control)."
    n, of = int(data.planted.sum()), int((data.labels == settings.label).sum())
    return (
        f"{len(data.labels)} digits; a watermark of a few pixels is planted in {n} of {of} "
        f"images of class {settings.label}."
    )


def key_of(data: Digits, settings: Settings) -> str:
    """Return a digest of all that decides the network: change any of it, and it is trained anew."""
    recipe = f"{TRAINING} {settings.seed} {settings.epochs} {torch.__version__}"
    hasher = xxhash.xxh3_64(recipe.encode())
    for array in (data.images, data.labels, data.train):
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()


def trained(file: Path, data: Digits, settings: Settings, progress: bool) -> tuple[DigitNet, float]:
    """Return the network of these settings, trained now or read from `file`, and its score."""
    unseen = ~data.train
    x, y = torch.from_numpy(data.images[unseen]), torch.from_numpy(data.labels[unseen])
    if file.is_file():
        model = DigitNet().eval().requires_grad_(False)
        try:
            model.load_state_dict(_intact(file))
        except Exception:  # whatever the damage, training again mends it
            file.unlink()
        else:
            return model, accuracy(model, x, y)
    model, score = train(data, epochs=settings.epochs, seed=settings.seed, progress=progress)
    state = model.state_dict()
    write_atomically(file, lambda p: save_file(state, p, {"digest": _digest(state)}))
    return model, score


def _intact(file: Path) -> dict[str, torch.Tensor]:
    state = load_file(file)
    with safe_open(file, framework="pt") as opened:
        if (opened.metadata() or {}).get("digest") != _digest(state):
            raise ValueError(f"demo: {str(file)!r} is not what was written.")
    return state


def _digest(state: dict[str, torch.Tensor]) -> str:
    hasher = xxhash.xxh3_64()
    for name in sorted(state):
        hasher.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        hasher.update(np.ascontiguousarray(state[name].numpy()).tobytes())
    return hasher.hexdigest()


def analysed(ds: xr.Dataset, folder: Path, progress: bool) -> xr.DataTree:
    """Return the Spectral Relevance Analysis per class, and write it to ``analysis.nc``."""
    from fxrelay_analysis import Store, spray

    tree = spray(ds, store=Store(folder / "cache"), progress=progress)
    write_netcdf(tree, folder / "analysis.nc")
    return tree


def judged(tree: xr.DataTree, data: Digits, score: float) -> Outcome:
    """Return what was found, measured against the planted truth."""
    from fxrelay_analysis.clusters import accused
    from fxrelay_analysis.truth import match

    ranking = tree[schema.RANKING].dataset
    first = str(ranking[schema.CATEGORY].values[0])
    group = tree[first].to_dataset()
    found = match(accused(group).values, data.planted[group[schema.SAMPLE].values])
    return Outcome(
        accuracy=score,
        flagged=tuple(map(str, ranking[schema.CATEGORY].values[ranking["flagged"].values])),
        first=first,
        suspicion=float(ranking[schema.SUSPICION][0]),
        size=found.size,
        purity=found.purity,
        recall=found.recall,
    )


def verdict_text(outcome: Outcome, settings: Settings) -> str:
    """Return what was found in a sentence."""
    accused = ", ".join(outcome.flagged) or "none"
    if settings.label is None:
        return f"Nothing was planted. Classes flagged: {accused}."
    return (
        f"Planted in class {settings.label}; classes flagged: {accused}.\n"
        f"The suspicious cluster of class {outcome.first}: size {outcome.size}, "
        f"purity {outcome.purity:.3f}, recall {outcome.recall:.3f} against the planted truth."
    )


def written(folder: Path, ds: xr.Dataset, tree: xr.DataTree, outcome: Outcome) -> list[Path]:
    """Write the contact sheet of the most suspicious class and the outcome; return the paths."""
    from fxrelay_analysis.clusters import accused_clustering

    group = tree[outcome.first].dataset
    labels, worst = accused_clustering(group).values, int(group["suspicious_cluster"])
    ids = group[schema.SAMPLE].values
    order = sorted(np.unique(labels), key=lambda k: (k != worst, k))
    names = {k: f"cluster {k}" + (", the suspicious one" if k == worst else "") for k in order}
    groups = {names[k]: ids[labels == k] for k in order}
    sheet = contact_sheet(
        ds, groups, title=f"Class {outcome.first}: what each strategy looks at",
        subtitle=f"relevance by {COMPOSITE}, suspicion {outcome.suspicion:.2f}",
    )  # fmt: skip
    text = json.dumps(asdict(outcome), indent=1)
    return [
        save(sheet, folder / "clusters.png"),
        write_atomically(folder / "outcome.json", lambda p: p.write_text(text)),
        folder / "analysis.nc",
    ]
