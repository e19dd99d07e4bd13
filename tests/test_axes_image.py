"""Axes strings and images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carezoo import axes
from carezoo.errors import AxesError, InputError
from carezoo.image import Image, Metadata

some_axes = st.permutations(list(axes.LETTERS)).flatmap(
    lambda letters: st.integers(1, 6).map(lambda n: "".join(letters[:n]))
)


@given(source=some_axes, data=st.data())
def test_moving_there_and_back_is_the_identity(source, data):
    shape = tuple(data.draw(st.integers(1, 4)) for _ in source)
    array = np.arange(np.prod(shape)).reshape(shape)
    target = "".join(data.draw(st.permutations(list(axes.LETTERS))))
    moved = axes.move(array, source, target)
    assert moved.shape == tuple(axes.sizes(source, shape).get(letter, 1) for letter in target)
    np.testing.assert_array_equal(axes.move(moved, target, source), array)


def test_moving_never_drops_pixels():
    with pytest.raises(AxesError, match=r"no place in axes YX: \{'Z': 3\}"):
        axes.move(np.zeros((3, 2, 2)), "ZYX", "YX")


@pytest.mark.parametrize(("text", "message"), [("ZYQ", "'Q'"), ("ZYY", "Y more than once")])
def test_wrong_letters_are_named(text, message):
    with pytest.raises(AxesError, match=message):
        axes.parse(text)


def test_the_number_of_letters_must_fit():
    with pytest.raises(AxesError, match=r"axes YX name 2 dimension\(s\), but cell.tif has 3: \(5, 6, 7\)"):
        Image(np.zeros((5, 6, 7)), "YX", name="cell.tif")


def test_empty_and_non_numeric_images_are_refused():
    with pytest.raises(InputError, match="is empty"):
        Image(np.zeros((0, 5)), "YX")
    with pytest.raises(InputError, match="integer or floating-point"):
        Image(np.zeros((5, 5), complex), "YX")


def test_crops_are_lazy_windows_with_a_moved_origin():
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    image = Image(array, "ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5})
    crop = image.crop({"Z": slice(1, 3), "X": slice(2, None)}).crop({"Z": slice(1, 2)})
    np.testing.assert_array_equal(crop.array(), array[2:3, :, 2:])
    np.testing.assert_array_equal(crop.pixels[0, 1:3, 1:], array[2, 1:3, 3:])
    assert dict(crop.metadata.origin_um) == {"Z": 4.0, "X": 1.0}


def test_crops_keep_what_belongs_to_their_channels():
    metadata = Metadata(channel_names=("a", "b", "c"), display_ranges=((0, 1), (0, 2), (0, 3)))
    crop = Image(np.zeros((3, 4, 4)), "CYX", metadata=metadata).crop({"C": slice(1, 3)})
    assert crop.metadata.channel_names == ("b", "c")
    assert crop.metadata.display_ranges == ((0, 2), (0, 3))


@pytest.mark.parametrize("region", [{"Z": slice(0, 5)}, {"Z": slice(2, 2)}, {"T": slice(0, 1)}])
def test_crops_outside_are_refused(region):
    with pytest.raises(InputError, match="crop"):
        Image(np.zeros((4, 5, 6)), "ZYX").crop(region)


@pytest.mark.parametrize(("dtype", "mean_dtype"), [("uint8", "f4"), ("uint16", "f4"), ("int32", "f8"), ("f8", "f8")])
@pytest.mark.parametrize("axes", ["TZYX", "ZYXT", "TYX"])
def test_averages_are_means_of_consecutive_frames_at_the_top_of_the_range(axes, dtype, mean_dtype):
    """Values near the largest of the type: a sum in that type, or in float32, would be another number."""
    lengths = {"T": 11, "Z": 2, "Y": 3, "X": 4}
    shape = tuple(lengths[letter] for letter in axes)
    top = 1e15 if dtype == "f8" else np.iinfo(dtype).max
    array = (top - np.random.default_rng(0).integers(0, 100, shape)).astype(dtype)
    image = Image(array, axes, metadata=Metadata(frame_interval_s=0.5)).average_frames(3)
    t = axes.index("T")
    frames = np.moveaxis(array, t, 0).astype(np.longdouble)
    expected = np.moveaxis(np.stack([frames[3 * i : 3 * i + 3].mean(0) for i in range(3)]), 0, t)
    assert (image.sizes["T"], image.dtype, image.metadata.frame_interval_s) == (3, np.dtype(mean_dtype), 1.5)
    np.testing.assert_allclose(image.array(), expected, rtol=1e-7 if mean_dtype == "f4" else 1e-15)
    key = tuple({"T": slice(1, 3), "Y": 2}.get(letter, slice(None)) for letter in axes)
    np.testing.assert_array_equal(image.pixels[key], image.array()[key])
    last = tuple(-1 if letter == "T" else slice(0, 1) for letter in axes)
    np.testing.assert_array_equal(image.pixels[last], image.array()[last])


def test_averages_read_one_frame_at_a_time_and_nothing_before():
    keys = []

    class Seen:
        shape, dtype = (7, 5, 6), np.dtype(np.uint16)

        def __getitem__(self, key):
            keys.append(key)
            return np.full((2, 6), key[0], np.uint16)

    image = Image(Seen(), "TYX").average_frames(2)
    assert keys == []
    block = image.pixels[slice(1, 3), slice(0, 2), slice(None)]
    assert block.shape == (2, 2, 6)
    np.testing.assert_array_equal(block[:, 0, 0], [2.5, 4.5])
    assert [key[0] for key in keys] == [2, 3, 4, 5]


def test_averages_that_make_no_sense_are_refused_and_one_is_the_image_itself():
    stack = Image(np.zeros((4, 5, 6)), "ZYX", name="cell.tif")
    assert stack.average_frames(1) is stack
    with pytest.raises(AxesError, match=r"cell.tif has axes ZYX \(4, 5, 6\).*--axes\), such as TYX if its planes are"):
        stack.average_frames(2)
    with pytest.raises(AxesError, match=r"axes YX \(4, 5\). Name its axes \(--axes\), or leave the average out"):
        Image(np.zeros((4, 5)), "YX").average_frames(2)
    with pytest.raises(InputError, match=r"average 5: cell.tif has 4 frame\(s\)"):
        Image(np.zeros((4, 5, 6)), "TYX", name="cell.tif").average_frames(5)
    for n in (0, -1, 2.0, "2"):
        with pytest.raises(InputError, match="expected a number of frames"):
            stack.average_frames(n)
