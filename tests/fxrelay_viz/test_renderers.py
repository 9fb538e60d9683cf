import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fxrelay import schema
from fxrelay.heatmap import heatmap, overlay, to_image
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.images import render
from fxrelay_viz.pictures import Picture, layout
from fxrelay_viz.renderers import MODES, RENDERERS, SIZES, Look, draw, encode, kind_of, raster
from fxrelay_viz.renderers.images import enlarged
from fxrelay_viz.renderers.scene import Scene, Text, ink_on, svg
from fxrelay_viz.renderers.tokens import texts, window

RNG = np.random.default_rng(0)
SHAPES = {
    "image": {"channel": 3, "y": 20, "x": 24},
    "video": {"channel": 1, "time": 7, "y": 10, "x": 12},
    "signal": {"channel": 5, "x": 900},
    "tokens": {"token": 40},
    "features": {"feature": 50},
}


def picture(kind: str, words=None) -> Picture:
    dims, shape = list(SHAPES[kind]), tuple(SHAPES[kind].values())
    relevance = xr.DataArray(RNG.normal(size=shape), dims=dims)
    return Picture(relevance, xr.DataArray(RNG.uniform(size=shape), dims=dims), words)


def dataset(kind: str, n: int = 4, **more) -> xr.Dataset:
    dims, shape = ("sample", *SHAPES[kind]), (n, *SHAPES[kind].values())
    ds = xr.Dataset({"relevance": (dims, RNG.normal(size=shape)),
                     "input": (dims, RNG.uniform(size=shape))})  # fmt: skip
    return ds.assign_coords(sample=np.arange(n)).assign(more)


@pytest.mark.parametrize("kind", RENDERERS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_every_row_draws_every_view(kind: str, size: int, mode: str):
    for relevance in (picture(kind), Picture(picture(kind).relevance * 0)):
        drawing = draw(relevance, Look(mode, size=size), (0.0, 1.0))
        body, mime = encode(drawing, size)
        assert len(body) < 200_000
        if mime == "image/svg+xml":
            root = ElementTree.fromstring(body)
            assert root.tag.endswith("svg")
        else:
            assert max(Image.open(io.BytesIO(body)).size) <= max(2 * size, 60)
        pixels = raster(drawing)
        assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    assert kind_of(tuple(SHAPES[kind])) == kind


def test_every_layout_of_the_schema_has_one_row():
    rows = [layout for row in RENDERERS.values() for layout in row.layouts]
    assert sorted(rows) == sorted(schema.LAYOUTS)
    assert all(set(row.modes) <= set(MODES) for row in RENDERERS.values())
    with pytest.raises(ValueError, match=r"needs relevance with dimensions .*; got \('z',\)"):
        kind_of(("z",))


def test_images_are_drawn_by_the_one_module_for_colour():
    one = picture("image")
    relevance, data = one.relevance.values, one.input.values
    look = Look("side", "hot", percentile=90, blend=0.5)
    side = draw(one, look, (0.0, 1.0))
    assert (side[:, :24] == to_image(data, vmin=0, vmax=1)).all()
    assert (side[:, -24:] == heatmap(relevance, "hot", percentile=90)).all()
    mixed = draw(one, Look("overlay", "hot", 0.3, blend=0.5), (0.0, 1.0))
    expected = overlay(data, relevance, "hot", alpha=0.5, input_range=(0.0, 1.0), vmax=0.3)
    assert (mixed == expected).all()


def test_a_layer_is_enlarged_to_the_input():
    layer = xr.DataArray(RNG.normal(size=(8, 5, 6)), dims=["channel", "y", "x"])
    both = Picture(layer, picture("image").input)
    assert draw(both, Look("overlay"), (0.0, 1.0)).shape == (20, 24, 3)
    assert draw(both, Look("heatmap"), (0.0, 1.0)).shape == (5, 6, 3)
    assert enlarged(np.ones((5, 6)), (20, 24)).tolist() == np.ones((20, 24)).tolist()


def test_frames_of_a_video_share_a_scale():
    quiet = picture("video")
    quiet.relevance[:, 3] *= 100
    strip = draw(quiet, Look("heatmap", "wred", size=320), (0.0, 1.0))
    assert (strip[:10, :12] > 200).all()  # the first frame is faint beside the fourth


def test_words_come_from_where_the_dataset_has_them():
    ids = RNG.integers(0, 3, size=(4, 40))
    vocabulary = np.array(["zero", "one", "two"])
    base = dataset("tokens")
    looked_up = base.assign(input=(("sample", "token"), ids)).assign_coords(
        vocabulary=("word", vocabulary)
    )
    assert Explanations(looked_up).pictures([2])[0].words.tolist() == vocabulary[ids[2]].tolist()
    strange = looked_up.assign(input=(("sample", "token"), ids + 2))
    assert "?" in Explanations(strange).pictures([2])[0].words.tolist()
    spelled = vocabulary[ids].astype(object)
    given_ = base.assign(token_text=(("sample", "token"), spelled))
    assert Explanations(given_).pictures([1])[0].words.tolist() == spelled[1].tolist()
    named = dataset("features").assign_coords(feature=[f"age {n}" for n in range(50)])
    assert Explanations(named).pictures([0])[0].words[3] == "age 3"
    assert Explanations(base).pictures([0])[0].words is None


def test_pieces_of_words_join():
    assert texts(np.array(["the", "un", "##real", "##"]), 4) == [
        ("the", True), ("un", True), ("real", False), ("##", True),
    ]  # fmt: skip
    assert texts(np.array(["Ġthe", "re", "▁end"]), 3) == [("the", True), ("re", False),
                                                          ("end", True)]  # fmt: skip
    assert texts(None, 2) == [("1", True), ("2", True)]


def test_a_small_view_shows_the_strongest_token():
    words = [(f"w{n}", True) for n in range(300)]
    values = np.zeros(300)
    values[250] = 3
    first = window(words, values, 100)
    assert first <= 250 < first + 100 / 4
    one = Picture(xr.DataArray(values, dims="token"), None, np.array([w for w, _ in words]))
    assert b">w250<" in encode(draw(one, Look(), (0, 1)), 96)[0]
    assert b">w0<" not in encode(draw(one, Look(), (0, 1)), 96)[0]
    assert b">w0<" in encode(draw(one, Look(size=320), (0, 1)), 320)[0]


@given(st.text(max_size=40), st.sampled_from(list(SIZES)))
def test_hostile_texts_stay_texts(text: str, size: int):
    words = np.array(["<script>alert(1)</script>", text, "]]>", '"onload="x'])
    one = Picture(xr.DataArray(np.arange(4.0), dims="token"), None, words)
    body, _ = encode(draw(one, Look(size=size), (0, 1)), size)
    root = ElementTree.fromstring(body)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "rect", "text"}
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)


def test_other_inputs_targets_and_layers_are_variables():
    ds = dataset("image", relevance_of_audio=(("sample", "channel_audio", "x_audio"),
                                              RNG.normal(size=(4, 2, 90))),
                 input_audio=(("sample", "channel_audio", "x_audio"), RNG.normal(size=(4, 2, 90))),
                 relevance_at_conv1=(("sample", "channel_relevance_at_conv1",
                                      "y_relevance_at_conv1", "x_relevance_at_conv1"),
                                     RNG.normal(size=(4, 8, 5, 6))),
                 relevance_at_odd=(("sample", "axis_0"), np.zeros((4, 3))))  # fmt: skip
    source = Explanations(ds)
    assert source.shown == ("relevance", "relevance_of_audio", "relevance_at_conv1")
    assert layout(ds["relevance_of_audio"]) == ("channel", "x")
    audio = source.pictures([1], "relevance_of_audio")[0]
    assert (audio.input.values == ds["input_audio"].values[1]).all()
    assert render(source, 1, Look(variable="relevance_of_audio"))[1] == "image/svg+xml"
    assert render(source, 1, Look("overlay", variable="relevance_at_conv1"))[1] == "image/png"
    with pytest.raises(ValueError, match="needs a variable of relevance; got 'relevance_at_odd'"):
        source.pictures([0], "relevance_at_odd")


def test_ink_is_readable_and_numbers_are_plain():
    assert (ink_on("#ffffff"), ink_on("#0000ff")) == ("#1d2330", "#ffffff")
    assert b"\x00" not in svg(Scene(9, 9, (Text(0, 0, "a\x00\ud800b"),)))


def test_targets_under_conditions_are_all_drawn():
    values = RNG.normal(size=(4, 2, 3, 3, 20, 24))
    ds = xr.Dataset(
        {"relevance": (("sample", "target", "condition", "channel", "y", "x"), values)},
        coords={"sample": np.arange(4), "condition": ["all", "wheels", "sky"],
                "target": (("sample", "target"), [[1, 0]] * 4), "class": ["cat", "dog"]},
    )  # fmt: skip
    source = Explanations(ds)
    assert source.targets[4] == "target 2, wheels"
    assert source.target_name(0, 4) == "cat, wheels"
    for t in range(6):
        found = source.pictures([2], target=t)[0].relevance.values
        assert (found == values[2, t // 3, t % 3]).all()
    assert (source.pictures([2], target=99)[0].relevance.values == values[2, 1, 2]).all()
    one = Explanations(ds.isel(target=0, condition=[0, 1]).drop_vars(["target", "condition"]))
    assert one.targets == ("condition 1", "condition 2")
