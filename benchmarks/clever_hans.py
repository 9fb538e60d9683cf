r"""Sweep the demo over seeds, classes and shares: is the Clever Hans caught, are controls clean?

Each seed poisons another class; each control plants nothing. A second call reuses every result.

    python benchmarks/clever_hans.py                     # ten seeds, ten controls
    python benchmarks/clever_hans.py --seeds 3 --classes 2 5 --shares 0.1 0.25 --controls 0 \\
        --no-record
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from record import record, table

from fxrelay.demo.story import Settings, run


def once(out: Path, settings: Settings, *, progress: bool = True) -> dict[str, Any]:
    """One run of the demo as a row of results."""
    result = run(out, settings, progress=progress, say=lambda line: None)
    ranking = result.tree["ranking"].dataset
    found = asdict(result.outcome)
    return asdict(settings) | found | {
        "runner_up": float(ranking["suspicion"][1]),
        "caught": caught(settings, found),
    }  # fmt: skip


def caught(settings: Settings, found: dict[str, Any]) -> bool:
    """Whether the answer is right: the class and its cluster, or nothing in a control."""
    if settings.label is None:
        return not found["flagged"]
    right = found["flagged"] == (str(settings.label),) and found["first"] == str(settings.label)
    return right and min(found["purity"], found["recall"]) >= 0.97


def shown(row: dict[str, Any]) -> dict[str, str]:
    """A row as the README prints it."""
    clean = row["label"] is None
    return {
        "seed": str(row["seed"]),
        "poisoned class": "none" if clean else str(row["label"]),
        "share": "" if clean else f"{row['share']:g}",
        "test accuracy": f"{row['accuracy']:.1%}",
        "most suspicious": row["first"],
        "suspicion": f"{row['suspicion']:.2f}",
        "next class": f"{row['runner_up']:.2f}",
        "flagged": ", ".join(row["flagged"]) or "none",
        "cluster size": "" if clean else str(row["size"]),
        "purity": "" if clean else f"{row['purity']:.3f}",
        "recall": "" if clean else f"{row['recall']:.3f}",
        "right": "yes" if row["caught"] else "NO",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--controls", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--classes", type=int, nargs="+", help="default: seed %% 10")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5])
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    parser.add_argument("--no-record", action="store_true", help="print only")
    parser.add_argument("--section", default="clever_hans", help="where the table goes")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    runs = [
        Settings(seed, label, share, given.per_class)
        for share in given.shares
        for seed in seeds
        for label in given.classes or [seed % 10]
    ]
    controls = range(given.first, given.first + given.controls)
    runs += [Settings(seed, None, 0.5, given.per_class) for seed in controls]
    rows = []
    for settings in runs:
        rows.append(once(given.out, settings, progress=False))
        print(shown(rows[-1]), flush=True)
    text = table([shown(row) for row in rows])
    right = np.mean([row["caught"] for row in rows])
    text += f"\n\n{right:.0%} of {len(rows)} runs right."
    print(text)
    if not given.no_record:
        command = " ".join(["python benchmarks/clever_hans.py", *sys.argv[1:]])
        record(given.section, command, text, rows)


if __name__ == "__main__":
    main()
