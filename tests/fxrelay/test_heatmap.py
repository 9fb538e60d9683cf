import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fxrelay import heatmap as hm
from fxrelay.heatmap.cmaps import nodes

RNG = np.random.default_rng(0)


def attribution(n: int = 6, channels: int = 1, size: int = 8) -> xr.Dataset:
    dims = ("sample", "channel", "y", "x")
    shape = (n, channels, size, size)
    return xr.Dataset(
        {
            "relevance": (dims, RNG.normal(size=shape)),
            "input": (dims, RNG.uniform(size=shape)),
            "label": ("sample", np.arange(n) % 2),
            "prediction": ("sample", np.arange(n) % 3 % 2),
        },
        coords={"sample": np.arange(n) * 10, "class": ["cat", "dog"]},
    )


@pytest.mark.parametrize("name", hm.CMAPS)
def test_every_map_has_256_colours_and_starts_and_ends_as_written(name: str):
    colours = hm.palette(name)
    read = nodes(hm.CMAPS[name].source)
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    assert (read[0][0], read[-1][0]) == (0, 255)
    for index, colour in read:
        assert colours[index].tolist() == list(colour)


@pytest.mark.parametrize(
    ("source", "places"),
    [
        ("0ff,00f,80:000,f00,ff0,fff", [0, 64, 128, 170, 212, 255]),
        ("000,fff", [0, 255]),
        ("20:000,fff", [0, 255]),
        ("000,8:fff,000", [0, 0x88, 255]),
        ("000,80:fff,80:000,fff", [0, 128, 128, 255]),
        ("000,111,222,fff", [0, 85, 170, 255]),
    ],
)
def test_nodes_are_spread_as_the_language_says(source: str, places: list[int]):
    assert [index for index, _ in nodes(source)] == places


def test_a_repeated_index_is_a_hard_edge():
    colours = hm.palette("000,80:000,80:fff,fff")
    assert colours[127].tolist() == [0, 0, 0]
    assert colours[128].tolist() == [255, 255, 255]


def test_short_and_long_colours_are_the_same():
    assert (hm.palette("00f,80:FFF,f00") == hm.palette("0000ff, 80:ffffff, ff0000")).all()


def test_level_saturates_earlier_and_keeps_the_middle():
    plain, strong, weak = (hm.palette("bwr", level) for level in (1.0, 2.0, 0.5))
    assert (plain[128] == strong[128]).all()
    assert (strong[:64] == plain[0]).all()
    assert (weak[0] == plain[64]).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("viridis", "got 'viridis'"),
        ("f00,xyz,12345,fff", "got 'xyz', '12345'"),
        ("fff", "got 1 node"),
        ("", "got ''"),
        ("000,90:fff,80:f00,40:0f0,fff", "got 90 before 80, 80 before 40"),
    ],
)
def test_bad_maps_name_every_offender(source: str, message: str):
    with pytest.raises(ValueError, match=r"^colour map ") as caught:
        hm.palette(source)
    assert message in str(caught.value)


def test_palette_rejects_a_level_that_is_not_positive():
    message = r"^palette: needs level > 0; got 0. Use 1.0 for the map as it is.$"
    with pytest.raises(ValueError, match=message):
        hm.palette("bwr", 0)


@pytest.mark.parametrize("cmap", [n for n, cmap in hm.CMAPS.items() if cmap.signed])
def test_zero_has_the_middle_colour_in_signed_maps(cmap: str):
    middle = hm.palette(cmap)[128]
    assert (hm.heatmap(np.zeros((4, 4)), cmap) == middle).all()
    assert (hm.heatmap(np.array([[-1.0, 0.0, 3.0]]), cmap)[0, 1] == middle).all()


@pytest.mark.parametrize("cmap", [n for n, cmap in hm.CMAPS.items() if not cmap.signed])
def test_zero_has_the_first_colour_in_unsigned_maps(cmap: str):
    first = hm.palette(cmap)[0]
    assert (hm.heatmap(np.zeros((1, 4, 4)), cmap) == first).all()
    assert (hm.heatmap(np.array([[-5.0, 0.0, 3.0]]), cmap)[0, :2] == first).all()


def test_heatmap_sums_over_channels_and_keeps_the_batch():
    relevance = RNG.normal(size=(5, 3, 4, 6))
    colours = hm.heatmap(relevance)
    assert colours.shape == (5, 4, 6, 3)
    assert (colours[2] == hm.heatmap(relevance[2].sum(0))).all()


def test_heatmap_reads_a_dataarray_by_its_names():
    relevance = attribution(channels=3)["relevance"]
    expected = hm.heatmap(relevance.values)
    assert (
        hm.heatmap(relevance.transpose("y", "x", "channel", "sample").transpose("sample", ...))
        == expected
    ).all()
    assert (hm.heatmap(relevance.sum("channel")) == expected).all()


def test_shared_scale_compares_images_and_separate_scales_do_not():
    pair = np.stack([np.full((1, 2, 2), 1.0), np.full((1, 2, 2), 4.0)])
    apart, together = hm.heatmap(pair), hm.heatmap(pair, shared=True)
    assert (apart[0] == apart[1]).all()
    assert not (together[0] == together[1]).all()


def test_limits():
    relevance = np.array([[-1.0, 0.0, 3.0]])
    pick = {
        (): (-3, 3),
        (("symmetric", False),): (-1, 3),
        (("vmax", 2.0),): (-2, 2),
        (("vmin", 0.0), ("vmax", 2.0)): (0, 2),
        (("cmap", "hot"),): (0, 3),
        (("cmap", "hot"), ("symmetric", True)): (-3, 3),
    }
    for keywords, expected in pick.items():
        low, high = hm.limits(relevance, **dict(keywords))
        assert (low.item(), high.item()) == expected


def test_percentile_clips_outliers_but_keeps_a_sparse_map():
    dense = np.append(np.ones(999), 1000.0).reshape(1, 25, 40)
    assert hm.limits(dense, percentile=99)[1].item() == 1
    sparse = np.append(np.zeros(999), 7.0).reshape(1, 25, 40)
    assert hm.limits(sparse, percentile=99)[1].item() == 7


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4), st.sampled_from(list(hm.CMAPS)))
def test_scaling_relevance_never_changes_the_picture_and_never_fails(values, cmap):
    relevance = np.array(values).reshape(1, 2, 2)
    assert (hm.heatmap(relevance, cmap) == hm.heatmap(relevance * 4.0, cmap)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hm.heatmap(np.array([[np.nan, 1.0]])), "needs finite relevance; got 1 NaN"),
        (lambda: hm.heatmap(np.zeros(3)), r"needs an array \(y, x\).*got shape \(3,\)"),
        (lambda: hm.heatmap(np.zeros((2, 1, 0, 4))), "at least one pixel"),
        (lambda: hm.heatmap(xr.DataArray(np.zeros((2, 2)), dims=("a", "x"))), "'y' and 'x'"),
        (lambda: hm.heatmap(np.ones((2, 2)), percentile=0), r"percentile in \(0, 100\]; got 0"),
        (lambda: hm.heatmap(np.ones((2, 2)), vmin=2, vmax=1), "needs vmin < vmax; got 2 and 1"),
        (lambda: hm.to_image(np.full((1, 2, 2), np.inf)), "to_image: needs finite values; got 4"),
        (lambda: hm.overlay(np.ones((2, 2)), np.ones((3, 3))), "of the same size"),
        (lambda: hm.overlay(np.ones((2, 2)), np.ones((2, 2)), blend="x"), "blend in"),
        (lambda: hm.overlay(np.ones((2, 2)), np.ones((2, 2)), alpha=2), r"alpha in \[0, 1\]"),
        (lambda: hm.grid(np.zeros((0, 2, 2, 3), np.uint8)), "n >= 1; got"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([0.0, 2.0, 4.0], [0, 128, 255]),
    ],
)
def test_to_image_guesses_the_range(values, expected):
    assert hm.to_image(np.array([values]))[0, :, 0].tolist() == expected


def test_to_image_channels():
    rgb = RNG.integers(0, 255, size=(2, 3, 4, 5), dtype=np.uint8)
    assert (hm.to_image(rgb) == np.moveaxis(rgb, 1, -1)).all()
    assert hm.to_image(rgb[:, :1]).shape == (2, 4, 5, 3)
    assert (hm.to_image(rgb[:, :2])[..., 0] == np.rint(rgb[:, :2].mean(1))).all()


def test_overlay_shows_the_grey_input_where_relevance_is_zero():
    data = RNG.uniform(size=(1, 4, 4))
    relevance = np.zeros((1, 4, 4))
    assert (hm.overlay(data, relevance) == hm.to_image(data)).all()
    relevance[0, 0, 0] = 1.0
    strong = hm.overlay(data, relevance, alpha=1.0)
    assert strong[0, 0].tolist() == [255, 0, 0]
    assert (strong[1:] == hm.to_image(data)[1:]).all()
    assert (hm.overlay(data, relevance, alpha=1.0, blend="constant") == hm.heatmap(relevance)).all()


def test_grid_puts_every_image_in_its_place():
    images = np.stack([np.full((2, 3, 3), k, np.uint8) for k in range(5)])
    sheet = hm.grid(images, columns=2, gap=1)
    assert sheet.shape == (8, 7, 3)
    assert [sheet[3 * (k // 2), 4 * (k % 2), 0] for k in range(5)] == [0, 1, 2, 3, 4]


def test_contact_sheet_is_written_whole(tmp_path):
    ds = attribution()
    sheet = hm.contact_sheet(ds, {"a": [0, 10, 20], "b": [50], "none": []}, title="t")
    path = hm.save(sheet, tmp_path / "new" / "sheet.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]
    assert sheet.width > 3 * 64


def test_contact_sheet_shows_the_tiles_without_blur():
    ds = attribution()
    sheet = np.asarray(hm.contact_sheet(ds, {"a": [20]}, rows=("heatmap",), size=64))
    tile = np.kron(hm.heatmap(ds["relevance"].values[2]), np.ones((8, 8, 1), np.uint8))
    window = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (64, 64))
    candidates = np.argwhere(
        (window[..., 0, 0] == tile[0, 0, 0]) & (window[..., 63, 63] == tile[63, 63, 0])
    )
    assert any((sheet[y : y + 64, x : x + 64] == tile).all() for y, x in candidates)


def test_contact_sheet_without_inputs_or_labels_shows_heatmaps():
    ds = attribution()[["relevance"]]
    assert hm.contact_sheet(ds, {"a": [0]}, shared=True, cmap="hot").height < 250


def test_contact_sheet_of_large_images_is_reduced():
    assert hm.contact_sheet(attribution(2, 3, 300), {"a": [0, 10]}, size=64).width < 800


@pytest.mark.parametrize(
    ("groups", "keywords", "message"),
    [
        ({"a": [0, 7, 10], "b": [8]}, {}, "got 2 others: 7, 8. Take ids from ds"),
        ({"a": []}, {}, "at least one sample"),
        ({"a": [0]}, {"rows": ("input", "depth")}, r"needs rows in .* Drop depth."),
        ({"a": [0]}, {"rows": ()}, "Name one"),
        ({"a": [0]}, {"columns": 0}, "columns >= 1"),
    ],
)
def test_contact_sheet_bad_input(groups, keywords, message):
    with pytest.raises(ValueError, match=message):
        hm.contact_sheet(attribution(), groups, **keywords)


def test_maps_of_virelay_follow_their_formulas():
    t = (np.arange(256) - 128) / 128
    fire = np.stack([np.clip(t, 0, 0.25) * 4, np.clip(t - 0.25, 0, 0.25) * 4,
                     np.clip(t - 0.5, 0, 0.5) * 2], -1)  # fmt: skip
    fire = fire + np.stack([np.clip(-t - 0.5, 0, 0.5) * 2, np.clip(-t - 0.25, 0, 0.25) * 4,
                            np.clip(-t, 0, 0.25) * 4], -1)  # fmt: skip
    x = np.arange(256) / 255
    afm = np.clip(np.stack([2 * x, 2 * x - 0.5, 2 * x - 1], -1), 0, 1)
    assert abs(hm.palette("black-fire-red") - fire * 255).max() <= 9  # 127 steps up, 128 down
    assert abs(hm.palette("afm-hot") - afm * 255).max() <= 3
