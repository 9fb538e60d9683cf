import base64
import json
import zlib

import numpy as np
import pytest
from scipy import stats

from fxrelay_viz import selection, state
from fxrelay_viz.analysis import Analysis
from fxrelay_viz.category import Category
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.links import MOST_LINK, Links, decode, encode
from fxrelay_viz.notes import Notes
from fxrelay_viz.scales import scale_end
from fxrelay_viz.state import ViewState, oddness, ordered
from fxrelay_viz.workspace import Opened, Workspace


def link(content: object) -> str:
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode()))
    return "v1-" + packed.decode().rstrip("=")


def test_settle_chooses_what_the_category_has(project):
    chosen = ViewState(category="digit 3")
    assert chosen.settle(project) == []
    assert (chosen.embedding, chosen.clustering, chosen.k) == ("tsne", "kmeans", 2)


def test_settle_tells_what_it_replaced(project):
    chosen = ViewState(category="digit 3", embedding="umap", x=9, colour_by="mood")
    messages = chosen.settle(project)
    assert messages == ["digit 3 has no embedding 'umap'.", "digit 3 has no x 9.",
                        "digit 3 has no colour_by 'mood'."]  # fmt: skip
    assert (chosen.x, chosen.y, chosen.colour_by) == (0, 1, "cluster")


def test_settle_goes_back_to_the_ranking_for_an_unknown_category(project):
    chosen = ViewState(category="digit 11")
    assert chosen.settle(project) == ["There is no category 'digit 11'."]
    assert chosen.category == ""


def test_links_round_trip_and_are_short():
    chosen = ViewState(category="digit 3", k=4, mode="heatmap", page=3, scale="page", cmap="hot")
    corners = np.random.default_rng(0).uniform(-50, 50, size=(500, 2))
    recipe = tuple(selection.lasso("add", ("tsne", 0, 1), corners) for _ in range(2))
    text = encode(chosen, recipe)
    values, read = decode(text)
    assert ViewState(**values).param.values() | {"name": ""} == chosen.param.values() | {"name": ""}
    assert read == recipe
    assert len(text) < 2000


def test_the_default_state_needs_no_link():
    assert encode(ViewState(), ()) == ""
    assert decode("") == ({}, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v1-abc", r"link: needs the whole text after 'view='; got 'v1-abc' \(6 characters\)"),
        ("nonsense", "damaged or cut off. Copy it again."),
        ("v1-" + base64.b64encode(zlib.compress(b"0" * 10**7)).decode(), "damaged"),
        (link([1]), "needs version 1"),
        (link({"version": 2}), "Open it with the fxrelay that made it"),
        (link({"version": 1, "state": {"page": -4}, "selection": ""}), "needs JSON"),
        (link({"version": 1, "state": {"page": -4},
               "selection": {"version": 1, "steps": []}}), "needs values in range"),
        (link({"version": 1, "state": {"cmap": "<script>"},
               "selection": {"version": 1, "steps": []}}), "needs values in range"),
        (link({"version": 1, "state": {"k": [1]}, "selection": {"version": 1, "steps": []}}),
         r"link: needs values in range; got k=\[1\], neither a number nor a text\."),
    ],
)  # fmt: skip
def test_bad_links(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        decode(text)


def test_unknown_values_in_a_link_are_left_out():
    text = link({"version": 1, "state": {"zoom": 3, "page": 2},
                 "selection": {"version": 1, "steps": []}})  # fmt: skip
    assert decode(text) == ({"page": 2}, ())


def test_a_long_selection_is_a_short_reference_that_sharing_keeps(tmp_path):
    ids = np.random.default_rng(0).choice(10**6, 5000, replace=False).tolist()
    recipe = (selection.Step("replace", "samples", (), tuple(ids)),)
    chosen = ViewState(category="digit 3")
    links = Links(Notes(tmp_path / "data.notes.json"))
    link = encode(chosen, recipe, links)
    assert link.startswith("r1-")
    assert len(link) < 64
    assert decode(link, links) == ({"category": "digit 3"}, recipe)
    again = Links(Notes(tmp_path / "data.notes.json"))
    with pytest.raises(ValueError, match="made by a server that has ended") as caught:
        decode(link, again)
    assert "Ask for it to be shared again, or for the exported file." in str(caught.value)
    assert links.share(encode(chosen, recipe)) == link
    assert decode(link, again)[1] == recipe
    few = (selection.Step("replace", "samples", (), tuple(ids[:100])),)
    assert encode(chosen, few, links).startswith("v1-")
    assert len(encode(chosen, few, links)) <= MOST_LINK


def test_orders(project):
    category = project.category("digit 3")
    mask = np.zeros(len(category.ids), dtype=bool)
    mask[::3] = True
    chosen = ViewState(category="digit 3")
    chosen.settle(project)
    out = {}
    for order in state.ORDERS:
        chosen.order = order
        out[order] = ordered(chosen, category, mask)
        assert sorted(out[order]) == np.flatnonzero(mask).tolist()
    assert (out["index"] == np.flatnonzero(mask)).all()
    assert (out["centroid"][::-1] == out["extreme"]).all()
    points = category.embeddings["tsne"][mask]
    distance = np.linalg.norm(points - points.mean(0), axis=1)
    assert out["centroid"][0] == np.flatnonzero(mask)[distance.argmin()]
    chosen.order = "random"
    assert (ordered(chosen, category, mask) == out["random"]).all()
    chosen.seed = 1
    assert not (ordered(chosen, category, mask) == out["random"]).all()


def test_a_state_finds_its_project_or_says_what_is_missing(data):
    minus = data[0].assign(relevance=-data[0]["relevance"])
    opened = Opened(
        {"lrp": Explanations(data[0]), "gradient": Explanations(minus)},
        {"spray": Analysis(data[1])},
        usual={"spray": "gradient"},
    )
    workspace = Workspace({"digits": opened})
    chosen = ViewState()
    assert chosen.find(workspace)[0].method == "gradient"
    chosen.param.update(project="digits", method="lrp", analysis="spray")
    found, messages = chosen.find(workspace)
    assert (found.method, found.analysis, messages) == ("lrp", "spray", [])
    chosen.param.update(project="mnist", method="x", analysis="y")
    assert chosen.find(workspace)[1] == ["There is no project 'mnist'.",
                                         "There is no attribution 'x'.",
                                         "There is no analysis 'y'."]  # fmt: skip
    assert chosen.project == chosen.method == chosen.analysis == ""
    with pytest.raises(ValueError, match="viewer: needs at least one project; got none"):
        Workspace({})


@pytest.mark.parametrize("scale", state.SCALES)
def test_a_scale_holds_for_what_it_names(project, scale: str):
    category, chosen = project.category("digit 3"), ViewState(category="digit 3", scale=scale)
    end = scale_end(chosen, project, category, [0, 1, 2])
    if scale == "image":
        assert end is None
        return
    members = [0, 1, 2] if scale == "page" else np.linspace(0, 182, 128).astype(int)
    maps = abs(project.ds["relevance"].values[category.positions[members]].sum(axis=1))
    assert end == pytest.approx(np.percentile(maps, 99.5), rel=5e-3)
    assert scale_end(chosen, project, category, []) == (1.0 if scale == "page" else end)


def test_the_oddest_come_first():
    rng = np.random.default_rng(0)
    knn, lof = rng.random(9), rng.random(9)
    scores = {"outlier_knn": knn, "outlier_lof": lof, "outlier_rank_knn": knn, "degree": knn}
    category = Category("c", np.arange(9), np.arange(9), {}, {}, scores=scores)
    places = sum(stats.rankdata(-score) for score in (knn, lof))
    found = ordered(ViewState(order="odd"), category, np.ones(9, bool))
    assert (np.diff(places[found]) >= 0).all()
    assert oddness(category) == ["outlier_knn", "outlier_lof"]
    plain = Category("c", np.arange(9), np.arange(9), {}, {})
    assert ordered(ViewState(order="odd"), plain, np.ones(9, bool)).tolist() == list(range(9))
