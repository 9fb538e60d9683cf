"""Two analyses side by side: what a correction, a rule or a seed changed."""

import xarray as xr

from fxrelay.schema import CLUSTERING, RANKING, SAMPLE, SUSPICION, describe
from fxrelay_analysis.stages.compare import compare

BEFORE, AFTER = "before", "after"


def compare_analyses(
    before: xr.DataTree, after: xr.DataTree, *, noise: str = compare.noise
) -> xr.DataTree:
    """Compare the clusterings of each category that two analyses share.

    Parameters
    ----------
    before, after : DataTree
        From `spray`, of the same samples; for instance before and after a correction.
    noise : str
        As for `stages.compare`.

    Returns
    -------
    DataTree
        A group per shared category, and in it one per shared clustering, with what
        `stages.compare` returns. The root has `suspicion_before` and `suspicion_after`
        (category,), where both analyses rank; its attributes list categories without common
        samples, `only_before` and `only_after`.

    Raises
    ------
    ValueError
        If no category has samples in both.
    """
    pairs = {n: (t, after.children.get(n)) for n, t in before.children.items() if n != RANKING}
    names = [n for n, (one, other) in pairs.items() if other is not None and _share(one, other)]
    if not names:
        raise ValueError(
            f"compare_analyses: needs a category with samples that both have; got "
            f"{_named(before)} and {_named(after)}. Analyse the same variable of the same samples."
        )
    nodes = {"/": _root(before, after, names)}
    for name in names:
        left, right = before[name].to_dataset(), after[name].to_dataset()
        nodes[f"/{name}"] = xr.Dataset(attrs={"category": name})
        for key in [k for k in map(str, left) if k.startswith(CLUSTERING) and k in right]:
            nodes[f"/{name}/{key}"] = compare(left[key], right[key], noise=noise)
    return xr.DataTree.from_dict(nodes)


def _share(one: xr.DataTree, other: xr.DataTree) -> bool:
    return all(SAMPLE in t.coords for t in (one, other)) and bool(
        one[SAMPLE].isin(other[SAMPLE]).any()
    )


def _named(tree: xr.DataTree) -> list[str]:
    return [str(n) for n in tree.children if n != RANKING]


def _root(before: xr.DataTree, after: xr.DataTree, names: list[str]) -> xr.Dataset:
    only = {
        f"only_{what}": [n for n in _named(tree) if n not in names]
        for what, tree in ((BEFORE, before), (AFTER, after))
    }
    if not all(RANKING in tree.children for tree in (before, after)):
        return xr.Dataset(attrs=only)
    ranks = {
        f"{SUSPICION}_{what}": tree[RANKING][SUSPICION].sel(category=names)
        for what, tree in ((BEFORE, before), (AFTER, after))
    }
    return describe(xr.Dataset(ranks, attrs=only)).drop_vars(SAMPLE, errors="ignore")
