import numpy as np
import xarray as xr
from scipy.cluster.hierarchy import fcluster
from sklearn.metrics import adjusted_rand_score

from fxrelay_analysis import stages
from fxrelay_viz import markup
from fxrelay_viz.category import category
from fxrelay_viz.merging import MERGE_TREE, MOST_CUT, Merges

RNG = np.random.default_rng(0)
N = 60
POINTS = xr.DataArray(
    RNG.normal(size=(N, 3)) + 9 * (np.arange(N) % 3)[:, None],
    dims=("sample", "component"),
    coords={"sample": np.arange(N) + 100},
    name="embedding_spectral",
)
GROUP = stages.dendrogram(POINTS).assign(embedding_spectral=POINTS)
MERGES = Merges.of(GROUP, N)
TREE = np.stack([GROUP[f"merge_{name}"].values for name in ("left", "right", "height", "size")], 1)


def test_a_cut_is_that_of_scipy():
    for k, labels in MERGES.clusterings().items():
        expected = fcluster(TREE.astype(float), k, "maxclust")
        assert adjusted_rand_score(expected, labels) == 1
        sizes = np.bincount(labels)
        assert len(sizes) == k
        assert (np.diff(sizes) <= 0).all()
    assert list(MERGES.clusterings()) == list(range(2, MOST_CUT + 1))


def test_between_two_heights_lies_one_number_of_clusters():
    top = MERGES.height.max()
    for k in (2, 3, 7):
        low, high = MERGES.band(k)
        middle = (low + high) / 2 * top
        assert len(np.unique(fcluster(TREE.astype(float), middle, "distance"))) == k


def test_joints_are_the_last_merges_and_hang_together():
    joints = MERGES.joints()
    assert [joint.apart for joint in joints] == list(range(1, MOST_CUT))
    assert joints[0].y == 1
    assert all(0 <= end.x <= 1 and end.y <= joint.y for joint in joints for end in joint.ends)
    three = MERGES.cut(3)
    first = {three[end.sample] for joint in joints[:2] for end in joint.ends}
    assert first == {0, 1, 2}
    levels = sorted(joint.y for joint in joints[1:])
    assert sorted(end.y for joint in joints for end in joint.ends if end.y) == levels


def test_a_category_with_merges_can_be_cut():
    one = category("c", GROUP, np.arange(N), {})
    assert list(one.clusterings) == [MERGE_TREE]
    assert (one.clusters(MERGE_TREE, 3) == MERGES.cut(3)).all()
    assert Merges.of(GROUP, N + 1) is None
    assert Merges.of(GROUP.drop_vars("merge_place"), N) is None
    broken = category("c", GROUP.drop_vars("leaf_order"), np.arange(N), {})
    assert (broken.clusters(MERGE_TREE, "") == 0).all()


def test_the_drawing_offers_every_cut():
    bands = [(k, *MERGES.band(k)) for k in range(2, 6)]
    html = markup.dendrogram(MERGES.joints(), bands, 3, lambda sample: "#123456")
    assert html.count("<button") == 4
    assert html.count('aria-pressed="true"') == 1
    assert 'aria-label="Cut into 3 clusters"' in html
    assert "#123456" in html
    assert "#123456" not in markup.dendrogram(
        MERGES.joints(), bands, None, lambda sample: "#123456"
    )
