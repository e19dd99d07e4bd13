"""The small grey picture of any image."""

import numpy as np
import pytest

from carezoo.errors import PixelError
from carezoo.image import Image
from carezoo.pictures.display import preview


class Watched:
    """Pixels that remember how much was read."""

    def __init__(self, pixels):
        self.pixels, self.n_read = pixels, 0
        self.shape, self.dtype = pixels.shape, pixels.dtype

    def __getitem__(self, key):
        read = self.pixels[key]
        self.n_read += read.size
        return read


def test_the_middle_plane_of_the_first_channel_is_shown_and_nothing_else_read():
    pixels = np.zeros((3, 2, 5, 30, 40), np.uint16)
    pixels[0, 0, 2, 10:20, 15:25] = 500
    watched = Watched(pixels)
    shown = preview(Image(watched, "TCZYX"))
    assert (shown.shape, shown.dtype) == ((30, 40), np.uint8)
    assert shown[15, 20] == 255
    assert shown[0, 0] == 0
    assert watched.n_read == 30 * 40


def test_axes_in_any_order_and_large_planes_thinned():
    pixels = np.zeros((700, 900, 3), np.float32)
    pixels[:350, :, 1] = 8.0
    shown = preview(Image(pixels, "XYZ"))
    assert shown.shape == (225, 175)
    assert (shown[:, 0].min(), shown[:, -1].max()) == (255, 0)


def test_lines_points_and_flat_images_have_a_picture_and_nan_has_none():
    assert preview(Image(np.arange(9.0), "X")).shape == (1, 9)
    assert preview(Image(np.full((4, 5), 7, np.uint8), "YX")).tolist() == [[0] * 5] * 4
    with pytest.raises(PixelError, match="dark"):
        preview(Image(np.full((4, 5), np.nan), "YX", name="dark"))
