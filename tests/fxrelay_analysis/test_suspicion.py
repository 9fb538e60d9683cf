"""What suspicion is made of, against closed forms, refits, and what must not matter."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fxrelay_analysis import stages
from fxrelay_analysis.ranking import rank, ranking_text
from fxrelay_analysis.stages.fisher import SHRINKAGE, Frame, distinct, framed, score
from fxrelay_analysis.stages.modes import ceiling, valley_p

K = ("n_clusters", "cluster")


def rows_of(values):
    return xr.DataArray(values, {"sample": np.arange(len(values))}, ("sample", "feature"))


def labels(member):
    values = np.asarray(member, np.int32)[:, None]
    coords = {"sample": np.arange(len(values)), "n_clusters": [2]}
    return xr.DataArray(values, coords, ("sample", "n_clusters"), "clustering_kmeans")


def two(n=400, share=0.1, apart=8.0, d=5, seed=0):
    """Return a normal cloud whose first samples lie `apart` standard deviations away."""
    member = np.arange(n) < round(share * n)
    x = np.random.default_rng(seed).normal(size=(n, d))
    x[member, 0] += apart
    return x, member


def judged(x, member):
    found = stages.fisher(rows_of(x), labels(member))
    return found["separability"].values[0, 1], found["valley"].values[0, 1]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_the_ceiling_lies_above_every_log_concave_density(share):
    q = (np.arange(200_000) + 0.5) / 200_000
    known = [stats.norm, stats.uniform, stats.expon, stats.laplace, stats.logistic, stats.gumbel_r,
             stats.gumbel_l, stats.beta(2, 2), stats.beta(1, 4), stats.gamma(3)]  # fmt: skip
    for density in known:
        t = density.ppf(q)
        r2 = np.corrcoef(t, q > 1 - share)[0, 1] ** 2
        assert r2 / (1 - r2) <= ceiling(share) * 1.001


def test_the_ceiling_has_closed_forms_at_its_ends():
    assert ceiling(0.5) == pytest.approx(3)  # the uniform density, 3 p (1 - p)
    r2 = 0.01 * np.log(0.01) ** 2 / 0.99  # the exponential density
    assert ceiling(0.01) == pytest.approx(r2 / (1 - r2), rel=1e-6)
    assert ceiling(0.3) == pytest.approx(ceiling(0.7))


NONE = (np.zeros((0, 5)), np.zeros(0, int))


def test_held_out_values_are_those_of_refits():
    x, member = two(40, 0.3, 2.0)
    frame = framed(x, *NONE, 0.05)
    y, centred = member.astype(float), x - x.mean(axis=0)
    penalty = 0.05 * np.square(centred).sum() / x.shape[1]
    fitted = frame.own @ (frame.own.T @ (y - y.mean())) + y.mean()
    held_out = (fitted - frame.leverage * y) / (1 - frame.leverage)
    for i in range(len(x)):
        # a refit without sample i, its column of ones unpenalised, the penalty as it was
        a, b = np.delete(centred, i, 0), np.delete(y, i)
        full = np.column_stack([np.ones(len(a)), a])
        w = np.linalg.solve(full.T @ full + penalty * np.diag([0, *[1] * x.shape[1]]), full.T @ b)
        assert held_out[i] == pytest.approx(w[0] + centred[i] @ w[1:])


def test_the_background_enters_the_regression_as_its_scatter_within_categories():
    x, member = two(40, 0.3, 2.0)
    random = np.random.default_rng(1)
    groups = np.repeat(["b", "c", "d"], 7)
    others = random.normal(size=(21, 5)) + np.repeat(random.normal(size=(3, 5)), 7, axis=0) * 9
    frame = framed(x, others, groups, 0.05)
    centred = np.concatenate([others[groups == g] - others[groups == g].mean(0) for g in "bcd"])
    scatter = (x - x.mean(0)).T @ (x - x.mean(0)) + 40 / 21 * centred.T @ centred
    y = member - member.mean()
    w = np.linalg.solve(scatter + 0.05 * np.trace(scatter) / 5 * np.eye(5), (x - x.mean(0)).T @ y)
    np.testing.assert_allclose(frame.own @ (frame.own.T @ y), (x - x.mean(0)) @ w)
    np.testing.assert_allclose(frame.others @ (frame.own.T @ y), (others - x.mean(0)) @ w)


@pytest.mark.parametrize("background", [0, 8])
def test_more_features_than_samples_change_nothing_but_the_formula(background):
    x, member = two(30, 0.3, 3.0, d=20)
    others, groups = np.random.default_rng(1).normal(size=(background, 20)), np.arange(background)
    wide, far = (np.concatenate([part, np.zeros((len(part), 20))], axis=1) for part in (x, others))
    tall, broad = framed(x, others, groups // 4, 0.05), framed(wide, far, groups // 4, 0.1)
    assert score(tall, member) == pytest.approx(score(broad, member))  # one penalty in sum


def test_separability_of_two_normal_clouds_is_their_distance():
    x, member = two(20_000, 0.1, 8.0, d=2)
    f = 0.1 * 0.9 * 8**2
    expected = f / (1 + SHRINKAGE * (1 + f)) / ceiling(0.1)
    value, valley = judged(x, member)
    assert value == pytest.approx(expected, rel=0.03)
    assert valley < 1e-100


def background(x, categories):
    ids = 1000 + np.arange(len(x))
    return rows_of(x).assign_coords(sample=ids, category=("sample", categories))


def test_what_other_categories_have_too_is_not_separable():
    x, member = two(400, 0.3, 8.0)
    shared, _ = two(400, 0.3, 8.0, seed=1)
    plain = np.random.default_rng(2).normal(size=(400, 5))

    def found(*parts):
        names = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        ds = stages.fisher(rows_of(x), labels(member), background(np.concatenate(parts), names))
        return ds["separability"].values[0]

    alone = judged(x, member)[0]
    assert found(plain)[1] > 0.5 * alone
    assert found(shared, plain)[1] < 0.2 * alone
    assert found(plain)[0] < 0.2 * alone  # nor is the rest, which looks like the others


def test_a_background_leaves_out_the_category_itself():
    x, member = two(60, 0.3, 8.0)
    own = rows_of(x).assign_coords(category=("sample", np.zeros(60)))
    found = stages.fisher(rows_of(x), labels(member), own)
    assert found.attrs["n_others"] == 0
    xr.testing.assert_equal(found, stages.fisher(rows_of(x), labels(member)))


def test_a_background_of_other_features_is_refused():
    x, member = two(60, 0.3, 8.0)
    with pytest.raises(ValueError, match=r"fisher: needs a background with the coordinate 'categ"):
        stages.fisher(rows_of(x), labels(member), rows_of(x))
    with pytest.raises(ValueError, match="Take the same step of the pipeline, 'background/<step>'"):
        stages.fisher(rows_of(x), labels(member), background(x[:, :3], np.arange(60)))


def test_one_cloud_reaches_no_more_than_one():
    x = np.random.default_rng(0).normal(size=(2000, 3))
    for share in (0.03, 0.1, 0.5):
        value, valley = judged(x, x[:, 0] > np.quantile(x[:, 0], 1 - share))
        assert value < 1
        assert valley > 0.01


def test_members_with_the_lower_values_are_not_separable():
    values = np.array([[0.1], [0.2], [0.3]] * 4)
    frame = Frame(values, np.full(12, 0.1), np.zeros((0, 1)))
    assert score(frame, np.arange(12) % 3 == 1) == pytest.approx((0, 1), abs=1e-2)


def test_a_valley_is_a_coin_that_shows_one_side_only():
    inside, outside = np.linspace(9, 11, 25), np.linspace(-1, 1, 100)
    # 17 of 25 lie in the middle window, none in the emptiest: 12 places x 2^-17
    assert valley_p(inside, outside) == pytest.approx(12 * 0.5**17)
    assert valley_p(outside, inside) == 1
    assert valley_p(np.full(5, 1.0), np.full(50, 0.0)) == pytest.approx(12 * 0.5**5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.1, 0.5]), st.floats(1e-3, 1e3), st.integers(1, 3))
def test_order_scale_and_copies_do_not_matter(seed, share, scale, copies):
    x, member = two(120, share, 6.0, seed=seed)
    known = judged(x, member)
    order = np.random.default_rng(seed).permutation(np.tile(np.arange(len(x)), copies))
    np.testing.assert_allclose(judged(scale * x[order], member[order]), known, rtol=1e-6)


def test_identical_and_nearly_identical_maps_are_not_separable():
    same = np.tile(np.random.default_rng(0).random(9), (700, 1))
    assert judged(same, np.arange(700) < 350) == (0, 1)
    nearly = same + 1e-9 * np.random.default_rng(0).normal(size=same.shape)
    assert judged(nearly, np.arange(700) < 350) == (0, 1)
    assert len(distinct(np.array([[0.0], [-0.0], [1.0], [1 + 1e-7]]))) == 2
    assert judged(np.zeros((8, 2)), np.arange(8) < 4) == (0, 1)


def test_copies_of_one_sample_are_no_strategy():
    x, _ = two(200, 0.1, 0.0)
    x[:40] = x[0] + 5
    assert judged(x, np.arange(200) < 40) == (0, 1)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_tiny_categories_are_not_judged(n):
    x = np.random.default_rng(0).normal(size=(n, 4))
    assert judged(x, np.arange(n) < 1) == (0, 1)


def test_a_cluster_without_a_rest_has_no_score():
    x = np.random.default_rng(0).normal(size=(9, 4))
    found = stages.fisher(rows_of(x), labels(np.zeros(9)).assign_coords(n_clusters=[1]))
    assert np.isnan(found["separability"]).all()
    assert np.isnan(found["valley"]).all()


def test_equalize_divides_by_the_root_mean_square():
    x = np.array([[3.0, 0.0, 1e-6], [4.0, 0.0, 0.0]])
    size = np.sqrt([12.5, 1, 12.5e-4])  # the last one is floored at a hundredth of the largest
    np.testing.assert_allclose(stages.equalize(rows_of(x), exponent=1), x / size)
    np.testing.assert_allclose(stages.equalize(rows_of(x)), x / size)
    np.testing.assert_allclose(stages.equalize(rows_of(x), exponent=0.5), x / np.sqrt(size))
    np.testing.assert_allclose(stages.equalize(rows_of(x), exponent=0), x)
    assert not stages.equalize(rows_of(0 * x)).any()


def table(values, name):
    coords = {"n_clusters": [2, 3][: len(values)], "cluster": np.arange(len(values[0]))}
    return xr.DataArray(np.array(values, float), coords, K, name)


def verdict(separability, valley, size, surplus, n_others=0, **options):
    scores = xr.Dataset({"separability": table(separability, ""), "valley": table(valley, "")})
    scores.attrs["n_others"] = n_others
    return stages.suspicion(scores, table(size, ""), table(surplus, ""), **options)


SIZE = [[60, 40, np.nan], [50, 30, 20]]
SURPLUS = [[1, 2, np.nan], [2, 1, 3]]


def test_suspicion_takes_the_most_separable_cluster_with_a_valley():
    score = [[4, 4, np.nan], [2, 1, 9]]
    valley = [[1e-5, 1e-5, np.nan], [1, 1, 0.02]]
    found = verdict(score, valley, SIZE, SURPLUS)
    assert found["suspicion"] == 4
    assert found["flagged"]
    assert found["chosen_n_clusters"] == 2
    assert found["suspicious_cluster"] == 1  # both sides of the cut are as separable
    assert found["suspicious_size"] == 40
    assert verdict(score, valley, SIZE, SURPLUS, level=0.05)["suspicion"] == 9
    assert not verdict(score, valley, SIZE, SURPLUS, threshold=4.5)["flagged"]


def test_the_threshold_is_lower_where_others_were_compared():
    score, valley = [[3, 3, np.nan], [2, 1, 1]], [[0, 0, np.nan], [1, 1, 1]]
    alone = verdict(score, valley, SIZE, SURPLUS)
    beside = verdict(score, valley, SIZE, SURPLUS, n_others=9)
    assert (alone["flagged"], alone.attrs["threshold"]) == (False, 3.3)
    assert (beside["flagged"], beside.attrs["threshold"]) == (True, 2.0)


def test_a_verdict_is_the_greatest_suspicion_of_several():
    low, high = ([[value, value, np.nan], [1, 1, 1]] for value in (2.0, 4.0))
    valley = [[0, 0, np.nan], [1, 1, 1]]
    first = verdict(low, valley, SIZE, SURPLUS)
    second = verdict(high, valley, SIZE, SURPLUS, clustering="kmeans_equalized")
    assert stages.verdict(first, second).identical(second)
    assert stages.verdict(first, first.assign_attrs(x=1)).identical(first)
    assert second["suspicious_clustering"] == "kmeans_equalized"
    with pytest.raises(
        ValueError, match="needs judgements with a finite 'suspicion'; got none at all"
    ):
        stages.verdict()
    with pytest.raises(ValueError, match=r"got none in input 1\. Pass results of the stage"):
        stages.verdict(first, xr.Dataset())


def test_without_a_valley_suspicion_is_that_of_one_mode():
    found = verdict([[0.4, 0.4, np.nan], [0.7, 3, 0.6]], [[1, 1, np.nan], [1, 1, 1]], SIZE, SURPLUS)
    assert found["suspicion"] == 1
    assert found["suspicious_cluster"] == 1
    assert not found["flagged"]


def test_without_any_cluster_nothing_is_suspicious():
    found = verdict([[0, 0]], [[1, 1]], [[99, 1]], [[1, 1]], threshold=0.0)
    assert found["suspicion"] == 0
    assert found["suspicious_cluster"] == -1
    assert not found["flagged"]


def test_two_groups_are_flagged_and_a_line_is_not():
    def whole(x):
        features = rows_of(x)
        embedded = stages.spectral_embedding(stages.affinity(stages.neighbours(features)))
        found = stages.kmeans(embedded, n_clusters=range(2, 5))
        parts = stages.sizes(found), stages.surplus(features, found)
        return stages.suspicion(stages.fisher(features, found), *parts)

    x, _ = two(100, 0.4, 20.0)
    found = whole(x)
    assert found["flagged"]
    assert found["chosen_n_clusters"] == 2
    assert found["suspicious_size"] == 40  # the side with the greater values
    line = whole(np.outer(np.random.default_rng(0).uniform(size=400), np.ones(3)))
    assert line["suspicion"] <= 1.2
    assert not line["flagged"]


def test_the_ranking_as_text():
    def group(found, n):
        return found.assign_coords(sample=np.arange(n))

    hit = verdict([[4, 4, np.nan], [2, 1, 9]], [[0, 0, np.nan], [1, 1, 1]], SIZE, SURPLUS)
    clean = verdict([[0.4, 0.4]], [[1, 1]], [[30, 20]], [[1, 2]])
    few = xr.Dataset(coords={"sample": np.arange(3)}, attrs={"not_analysed": "too few"})
    groups = {"a": group(clean, 50), "b": few, "c": group(hit, 100)}
    text = ranking_text(xr.DataTree.from_dict({"/ranking": rank(groups)}))
    assert [line.rstrip() for line in text.splitlines()] == [
        "category  suspicion                clustering  clusters  suspicious cluster  size  of",
        "--------  ---------  ------------  ----------  --------  ------------------  ----  ---",
        "c         4.00       FLAGGED       kmeans      2         1                   40    100",
        "a         0.40                     kmeans      2         1                   20    50",
        "b         nan        not analysed              0         -1                  0     3",
    ]
