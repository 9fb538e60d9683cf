import numpy as np

from fxrelay_viz.palette import GREY, SHADES, colouring, rgb


def test_noise_is_grey_and_changes_no_other_colour():
    with_noise = colouring(np.array([-1, 0, 1, 1]))
    without = colouring(np.array([0, 1, 1]))
    assert with_noise.colours == (GREY, *without.colours)
    assert with_noise.labels == ("noise", "0", "1")
    assert with_noise.counts().tolist() == [1, 1, 2]
    assert with_noise.counts(np.array([True, False, True, False])).tolist() == [1, 0, 1]


def test_a_domain_gives_a_class_the_same_colour_everywhere():
    names = ["cat", "dog", "emu"]
    every = colouring(np.array([0, 1, 2]), names.__getitem__, range(3))
    one = colouring(np.array([2, 2]), names.__getitem__, range(3))
    assert one.colours == (every.colours[2],)
    assert one.labels == ("emu",)


def test_two_hundred_categories_have_two_hundred_colours():
    chosen = colouring(np.arange(200).astype(str))
    assert len(set(chosen.colours)) == 200


def test_numbers_are_on_one_scale_and_gaps_are_grey():
    chosen = colouring(np.array([0.0, 0.5, 1.0, np.nan]))
    assert chosen.limits == (0.0, 1.0)
    assert chosen.codes.tolist() == [0, SHADES // 2, SHADES - 1, SHADES]
    assert chosen.colours[SHADES] == GREY
    assert colouring(np.full(3, np.nan)).codes.tolist() == [SHADES] * 3
    assert colouring(np.full(3, 7.0)).limits == (7.0, 7.0)


def test_many_integers_are_numbers_and_booleans_are_categories():
    assert colouring(np.arange(1000)).limits == (0.0, 999.0)
    assert colouring(np.array([True, False])).labels == ("False", "True")


def test_text_with_gaps_and_mixed_values_are_categories():
    chosen = colouring(np.array(["a", None, 3, np.nan], object))
    assert chosen.labels == ("3", "None", "a", "nan")


def test_rgb_reads_hexadecimal():
    assert rgb(("#000000", "#ff8001")).tolist() == [[0, 0, 0], [255, 128, 1]]
