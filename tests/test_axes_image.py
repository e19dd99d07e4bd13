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
    crop = image.cropped({"Z": slice(1, 3), "X": slice(2, None)}).cropped({"Z": slice(1, 2)})
    np.testing.assert_array_equal(crop.array(), array[2:3, :, 2:])
    np.testing.assert_array_equal(crop.pixels[0, 1:3, 1:], array[2, 1:3, 3:])
    assert dict(crop.metadata.origin_um) == {"Z": 4.0, "X": 1.0}


def test_crops_keep_what_belongs_to_their_channels():
    metadata = Metadata(channel_names=("a", "b", "c"), display_ranges=((0, 1), (0, 2), (0, 3)))
    crop = Image(np.zeros((3, 4, 4)), "CYX", metadata=metadata).cropped({"C": slice(1, 3)})
    assert crop.metadata.channel_names == ("b", "c")
    assert crop.metadata.display_ranges == ((0, 2), (0, 3))


@pytest.mark.parametrize("region", [{"Z": slice(0, 5)}, {"Z": slice(2, 2)}, {"T": slice(0, 1)}])
def test_crops_outside_are_refused(region):
    with pytest.raises(InputError, match="crop"):
        Image(np.zeros((4, 5, 6)), "ZYX").cropped(region)
