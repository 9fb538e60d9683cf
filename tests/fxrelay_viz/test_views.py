"""What a person sees and chooses of an open class, as plain calls."""

import numpy as np
import xarray as xr

from fxrelay_analysis import stages
from fxrelay_viz.actions import act
from fxrelay_viz.merging import MERGE_TREE
from fxrelay_viz.project import Project
from fxrelay_viz.session import Session
from fxrelay_viz.views import VIEWS
from fxrelay_viz.workspace import Workspace


def html(session: Session, name: str) -> str:
    return VIEWS[name].draw(session)


def test_a_hidden_cluster_is_in_nothing(opened: Session, project: Project):
    act(opened, "everything")
    act(opened, "hide", "0")
    assert opened.state.hidden == [0]
    first = opened.category.clusters("kmeans", 2) == 0
    assert (opened.visible == ~first).all()
    assert (opened.mask == ~first).all()
    assert f"of {int((~first).sum())}" in html(opened, "tools")
    act(opened, "clear")
    assert "Shown clusters" in html(opened, "grid")
    assert set(opened.shown.tolist()) == set(np.flatnonzero(~first).tolist())
    assert 'data-do="show-all"' in html(opened, "legend")
    again = Session(Workspace.of(project))
    again.restore(opened.link)
    assert (again.visible == ~first).all()
    act(opened, "hide", "0")
    assert opened.visible.all()


def test_one_cluster_alone(opened: Session):
    act(opened, "set", "4", "k")
    act(opened, "hide", "2", "add")
    assert opened.state.hidden == [0, 1, 3]
    act(opened, "only", "2")
    assert opened.state.hidden == []
    act(opened, "only", "1")
    act(opened, "set", "3", "k")
    assert opened.state.hidden == []
    act(opened, "hide", "1")
    act(opened, "show-all")
    assert opened.state.hidden == []
    act(opened, "hide", "1")
    act(opened, "odd", "1")
    assert opened.mask.any()
    act(opened, "hide", "1")
    act(opened, "open", "digit 7")
    assert opened.state.hidden == []


def test_a_link_with_a_strange_hidden_cluster_hides_nothing(opened: Session):
    opened.load({"category": "digit 3", "hidden": [7]}, ())
    assert opened.state.hidden == []
    assert "has no hidden" in opened.message


def test_all_that_made_the_data_is_told(data):
    ds, tree = data
    told = tree.copy()
    told.attrs |= {"recipe": '[[steps]]\nname = "<kmeans>"', "left_out": "umap\npca"}
    told["digit 3"].attrs["failed"] = "tsne: too few samples"
    session = Session(Workspace.of(Project(ds, told)))
    assert "&lt;kmeans&gt;" in html(session, "status")
    assert "umap, pca" in html(session, "status")
    assert "too few samples" not in html(session, "status")
    act(session, "open", "digit 3")
    assert "tsne: too few samples" in html(session, "status")


def test_the_pointer_shows_input_and_explanation(opened: Session):
    opened.over = 7
    assert html(opened, "preview").count("<img") == 2
    act(opened, "mode", "input")
    assert html(opened, "preview").count("<img") == 1


def test_a_random_order_is_shuffled(opened: Session):
    assert "shuffle" not in html(opened, "grid")
    act(opened, "set", "random", "order")
    before = opened.shown.tolist()
    assert "shuffle" in html(opened, "grid")
    act(opened, "shuffle")
    assert opened.shown.tolist() != before
    assert sorted(opened.shown.tolist()) == sorted(before)


def test_classes_are_chosen_with_their_size(opened: Session):
    assert "digit 3 (183, flagged)" in html(opened, "choices")


def test_a_merge_tree_is_cut_by_a_click(data):
    ds, tree = data
    groups = {name: tree[name].to_dataset() for name in tree.children}
    one = groups["digit 3"]
    merges = stages.dendrogram(one["embedding_spectral"])
    groups["digit 3"] = one.assign({n: merges[n] for n in merges.data_vars})
    session = Session(Workspace.of(Project(ds, xr.DataTree.from_dict(groups))))
    act(session, "open", "digit 3")
    assert 'aria-label="Cut into 4 clusters"' in html(session, "numbers")
    act(session, "cut", "4")
    assert (session.state.clustering, session.state.k) == (MERGE_TREE, 4)
    assert html(session, "legend").count('data-do="cluster"') == 4
    act(session, "cut", "999")
    act(session, "cut", "x")
    assert session.state.k == 4
    again = Session(Workspace.of(session.project))
    again.restore(session.link)
    assert html(again, "legend") == html(session, "legend")


def test_the_axes_are_chosen_in_the_scatter_matrix(opened: Session):
    assert "matrix" not in html(opened, "choices")
    act(opened, "set", "spectral", "embedding")
    assert html(opened, "choices").count('data-do="axes"') == 6
    act(opened, "axes", "1 3")
    assert (opened.state.x, opened.state.y) == (1, 3)
    act(opened, "axes", "1 99")
    assert (opened.state.x, opened.state.y) == (1, 3)


def test_clusters_that_the_ranking_does_not_name_are_compared_without_scores(opened: Session):
    act(opened, "set", "3", "k")
    act(opened, "tab", "clusters")
    assert "silhouette" not in html(opened, "lower")
    assert html(opened, "lower").count("Mean relevance of") == 3


def test_a_class_without_odd_cluster_says_so(data):
    ds, tree = data
    ranking = tree["ranking"].to_dataset().assign(cluster=("category", [-1] * 10))
    groups = {name: tree[name].to_dataset() for name in tree.children} | {"ranking": ranking}
    session = Session(Workspace.of(Project(ds, xr.DataTree.from_dict(groups))))
    act(session, "open", "digit 7")
    assert "No cluster stands apart" in html(session, "lower")
    assert "<figure" not in html(session, "lower")
    act(session, "odd", "")
    assert not session.mask.any()


def test_a_class_is_shown_by_the_clustering_that_the_ranking_speaks_of(data):
    ds, tree = data
    groups = {name: tree[name].to_dataset() for name in tree.children}
    for name in ("digit 3", "digit 7"):
        one = groups[name]
        groups[name] = one.assign(
            clustering_kmeans_equalized=one["clustering_kmeans"] * 0 + 1,
            embedding_tsne_equalized=one["embedding_tsne"] * 2,
        )
    told = ["kmeans_equalized" if name == "digit 7" else "kmeans"
            for name in groups["ranking"]["category"].values]  # fmt: skip
    groups["ranking"] = groups["ranking"].assign(suspicious_clustering=("category", told))
    session = Session(Workspace.of(Project(ds, xr.DataTree.from_dict(groups))))
    shown = []
    for name in ("digit 7", "digit 3", "digit 7"):
        act(session, "open", name)
        shown.append((session.state.clustering, session.state.embedding))
    other = ("kmeans_equalized", "tsne_equalized")
    assert shown == [other, ("kmeans", "tsne"), other]
    assert " of kmeans equalized" in html(session, "lower")
    act(session, "set", "kmeans", "clustering")
    act(session, "odd", "0")
    assert (session.state.clustering, session.state.embedding) == other
    act(session, "set", "spectral", "embedding")
    act(session, "open", "digit 3")
    assert (session.state.clustering, session.state.embedding) == ("kmeans", "spectral")
