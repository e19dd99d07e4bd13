from __future__ import annotations

import numpy as np
import pytest

from carezoo.errors import InputError, PixelError
from carezoo.pictures import display


def textured(shape: tuple[int, int], corner: tuple[int, int], size: int = 20) -> np.ndarray:
    """Return a flat plane with a checkerboard at `corner`."""
    plane = np.full(shape, 100, np.float32)
    rows, columns = np.indices((size, size))
    plane[corner[0] : corner[0] + size, corner[1] : corner[1] + size] += 50 * ((rows // 4 + columns // 4) % 2)
    return plane


def test_a_volume_is_shown_as_its_maximum():
    volume = np.random.default_rng(0).integers(0, 99, (5, 8, 9), np.uint16)
    plane, n_planes = display.to_plane(volume, "stack")
    np.testing.assert_array_equal(plane, volume.max(axis=0))
    assert (plane.dtype, n_planes) == (np.float32, 5)


def test_singleton_axes_in_front_are_dropped():
    plane, n_planes = display.to_plane(np.ones((1, 1, 8, 1)), "image")
    assert (plane.shape, n_planes) == ((8, 1), 1)


@pytest.mark.parametrize("shape", [(8,), (2, 3, 8, 8), (0, 8)])
def test_what_is_not_one_channel_is_told(shape):
    with pytest.raises(InputError, match=r"cell\.tif has shape"):
        display.to_plane(np.zeros(shape), "cell.tif")


def test_pixels_that_cannot_be_shown_are_told():
    with pytest.raises(PixelError, match=r"cell\.tif has only NaN"):
        display.to_plane(np.full((8, 8), np.nan), "cell.tif")
    shown, _ = display.to_plane(np.array([[3.0, np.nan, np.inf, 5.0]]), "cell.tif")
    assert shown.tolist() == [[3, 3, 3, 5]]


def test_hot_pixels_do_not_set_the_display_range():
    rng = np.random.default_rng(1)
    plane = rng.uniform(100, 200, (90, 90)).astype(np.float32)
    low, high = display.display_range(plane)
    plane[40, 40] = 60_000
    assert display.display_range(plane)[1] == pytest.approx(high, rel=0.02)
    assert 100 < low < high < 200


def test_structure_sets_the_display_range_of_a_noisy_image():
    rng = np.random.default_rng(2)
    clean = np.full((120, 120), 100, np.float32)
    clean[30:90, 30:90] = 300
    noisy = clean + rng.normal(0, 60, clean.shape).astype(np.float32)
    assert display.display_range(noisy)[1] < np.percentile(noisy, 99.8) - 30


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (50, 4)])
def test_any_plane_has_a_display_range(shape):
    assert display.display_range(np.full(shape, 7, np.float32)) == (7.0, 8.0)


@pytest.mark.parametrize("corner", [(0, 0), (40, 25), (80, 100)])
def test_the_region_with_structure_is_found(corner):
    rows, columns = display.informative_region(textured((100, 120), corner), (20, 20))
    assert (rows.start, columns.start) == pytest.approx(corner, abs=1)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (20, 20)


def test_one_bright_spot_does_not_decide():
    plane = textured((100, 120), (60, 60), 30)
    plane[10, 10] = 1e6
    rows, columns = display.informative_region(plane, (30, 30))
    assert (rows.start, columns.start) == (60, 60)


def test_both_halves_hold_structure_if_asked():
    # Structure at the border can only lie in the left half of a region; the two weaker pieces lie in one half each.
    plane = textured((80, 200), (20, 0), 40)
    plane = np.maximum(plane, textured((80, 200), (30, 120)))
    plane = np.maximum(plane, textured((80, 200), (30, 150)))
    assert display.informative_region(plane, (40, 80))[1].start <= 1
    columns = display.informative_region(plane, (40, 80), in_both_halves=True)[1]
    assert columns.start <= 121
    assert columns.start + 40 in range(139, 152)


def test_a_region_larger_than_the_plane_is_told():
    with pytest.raises(InputError, match="41 x 20 pixels does not fit into 40 x 50"):
        display.informative_region(np.zeros((40, 50), np.float32), (41, 20))


@pytest.mark.parametrize(
    ("width_um", "length_um"), [(100, 20), (80, 20), (79.9, 10), (40, 10), (8.1, 2), (4, 1), (3.9, 0.5), (0.3, 0.05)]
)
def test_scale_bar_is_a_round_length_up_to_a_quarter_of_the_width(width_um, length_um):
    assert display.scale_bar_um(width_um) == pytest.approx(length_um)
