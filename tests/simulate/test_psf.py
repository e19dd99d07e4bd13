"""PSFs: widths as asked, borders that stay bright, nonsense refused; beads averaged to what blurred them."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo.errors import DataError, MissingExtraError
from carezoo.simulate import psf
from carezoo.simulate import psf as psf_
from carezoo.simulate.psf import Gaussian, Kernel, Optics


def bell(sigma_px, half=15):
    axes = np.meshgrid(*(np.arange(-half, half + 1) for _ in sigma_px), indexing="ij")
    return np.exp(-sum((a / s) ** 2 for a, s in zip(axes, sigma_px, strict=True)) / 2)


@settings(deadline=None, max_examples=20)
@given(
    value=st.floats(0.1, 1e4),
    shape=st.tuples(st.integers(20, 60), st.integers(20, 60)),
    sigma=st.floats(0.3, 4),
    is_kernel=st.booleans(),
)
def test_a_constant_image_stays_constant_up_to_the_borders(value, shape, sigma, is_kernel):
    kind = psf.make_kernel(bell((sigma, sigma), half=9), (1.0, 1.0)) if is_kernel else Gaussian((sigma, sigma))
    blurred = psf.blur(np.full(shape, value), kind, (1.0, 1.0))
    assert np.abs(blurred - value).max() < 1e-5 * value


def test_gaussian_and_sampled_gaussian_blur_alike():
    image = np.random.default_rng(0).random((3, 70, 60))
    exact = psf.blur(image, Gaussian((0.3, 0.2)), (0.1, 0.1))
    sampled = psf.blur(image, psf.make_kernel(bell((3, 2)), (0.1, 0.1)), (0.1, 0.1))
    assert np.abs(exact - sampled).max() < 1e-3
    # Planes are blurred one by one.
    assert exact[1] == pytest.approx(psf.blur(image[1], Gaussian((0.3, 0.2)), (0.1, 0.1)), abs=1e-6)


def test_blur_keeps_the_light_of_a_point_and_its_place():
    image = np.zeros((41, 41))
    image[20, 17] = 5.0
    lopsided = bell((2.0, 2.0), half=6)
    lopsided[8, 6] = 3.0
    blurred = psf.blur(image, psf.make_kernel(lopsided, (1.0, 1.0)), (1.0, 1.0))
    assert blurred.sum() == pytest.approx(5.0, rel=1e-5)
    assert np.unravel_index(blurred.argmax(), blurred.shape) == (22, 17)


@pytest.mark.parametrize("pixel", [0.05, 0.1, 0.23])
def test_resampling_keeps_width_and_light(pixel):
    measured = psf.make_kernel(bell((3.0, 3.0), half=14), (0.1, 0.1))
    again = psf.resample(measured, (pixel, pixel))
    assert psf.measure_sigma_um(again) == pytest.approx((0.3, 0.3), rel=0.03)
    assert again.values.sum() == pytest.approx(1.0, abs=1e-5)


def test_an_even_kernel_gets_a_zero_layer_behind():
    made = psf.make_kernel(np.ones((4, 5)), (1.0, 1.0))
    assert made.values.shape == (5, 5)
    assert (made.values[-1] == 0).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1.0, -0.5], [0, 0]]), r"1 of 4 values are negative, the first at \(0, 1\)"),
        (np.array([[1.0, np.nan], [np.inf, 0]]), "2 of 4 values are NaN or infinite"),
        (np.zeros((3, 3)), "all values are 0"),
        (np.ones(5), "expected axes YX or ZYX"),
    ],
)
def test_values_that_are_no_psf_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        psf.make_kernel(values, (1.0, 1.0), "my PSF")


@pytest.mark.parametrize("sigma", [-0.1, np.nan, np.inf])
def test_widths_that_are_no_width_are_refused(sigma):
    with pytest.raises(DataError, match="finite widths of 0 or more"):
        Gaussian((sigma, 0.1))


@pytest.mark.parametrize("kind", [Gaussian((0.5, 3.0)), psf.make_kernel(np.ones((5, 121)), (0.1, 0.1))])
def test_a_psf_larger_than_the_image_is_refused(kind):
    with pytest.raises(DataError, match="is larger than the image of 10 x 10 um"):
        psf.blur(np.ones((100, 100)), kind, (0.1, 0.1))


def test_only_the_axes_of_the_psf_are_compared():
    assert psf.blur(np.ones((2, 100, 100)), Gaussian((0.5, 0.5)), (0.1, 0.1)).shape == (2, 100, 100)


def test_the_physical_anisotropic_part_completes_the_width_and_leaves_y_alone():
    part = psf.take_anisotropic_part(0.8, 0.25)
    assert part.sigma_um[0] == 0
    assert part.sigma_um[1] ** 2 + 0.25**2 == pytest.approx(0.8**2)
    line = np.zeros((1, 401))
    line[0, 200] = 1
    lateral = psf.blur(line, Gaussian((0.0, 0.25)), (0.05, 0.05))
    axial = psf.blur(lateral, part, (0.05, 0.05))[0]
    position = (np.arange(401) - 200) * 0.05
    assert np.sqrt((axial * position**2).sum() / axial.sum()) == pytest.approx(0.8, rel=0.01)


def test_csbdeeps_anisotropic_part_is_its_example():
    assert psf.take_anisotropic_part(3.0, 1.0, width="csbdeep") == Gaussian((1.0, 2.0))


@pytest.mark.parametrize(("axial", "lateral"), [(0.2, 0.3), (0.3, 0.0), (np.nan, 0.1)])
def test_without_anisotropy_there_is_nothing_to_restore(axial, lateral):
    with pytest.raises(DataError, match="expected the axial one to be larger"):
        psf.take_anisotropic_part(axial, lateral)


psfmodels = pytest.importorskip("psfmodels", reason="needs the extra simulate")


@pytest.mark.parametrize(("na", "index"), [(0.5, 1.0), (0.8, 1.0), (1.2, 1.33), (1.4, 1.515)])
@pytest.mark.parametrize("model", ["vectorial", "gibson-lanni"])
def test_widths_from_the_optics_agree_with_the_computed_psf(na, index, model):
    optics = Optics(na=na, wavelength_um=0.52, index_immersion=index, index_sample=index, model=model)
    axial, lateral = psf.estimate_sigma_um(optics)
    size = (axial / 8, lateral / 4, lateral / 4)
    computed = psf.compute_psf(optics, size, extent_um=(8 * axial, 10 * lateral, 10 * lateral))
    centre = tuple(n // 2 for n in computed.values.shape)
    assert computed.values.sum() == pytest.approx(1, abs=1e-5)
    widths = []
    for axis, step in enumerate(size):
        line = computed.values[(*centre[:axis], slice(None), *centre[axis + 1 :])]
        widths.append(np.interp(0.5, line[centre[axis] :][::-1] / line.max(), np.arange(centre[axis], -1, -1)) * step)
    half = psf.FWHM_PER_SIGMA / 2
    assert widths[0] / half == pytest.approx(axial, rel=0.06)
    assert widths[2] / half == pytest.approx(lateral, rel=0.14)


def test_a_closed_pinhole_narrows_both_widths():
    optics = Optics(na=1.2, wavelength_um=0.5, index_immersion=1.33)
    wide, narrow = psf.estimate_sigma_um(optics), psf.estimate_sigma_um(optics, is_confocal=True)
    assert narrow[0] < 0.75 * wide[0]
    assert narrow[1] < 0.75 * wide[1]


def test_in_two_dimensions_the_focal_plane_is_computed():
    optics = Optics(na=1.2, wavelength_um=0.5, index_immersion=1.33, index_sample=1.33)
    plane = psf.compute_psf(optics, (0.1, 0.1), extent_um=(2.0, 2.0))
    assert plane.values.shape == (21, 21)
    assert np.unravel_index(plane.values.argmax(), plane.values.shape) == (10, 10)


def test_psfmodels_missing_is_told_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "psfmodels", None)
    with pytest.raises(MissingExtraError, match=r'pip install "carezoo\[simulate\]"'):
        psf.compute_psf(Optics(na=1.2, wavelength_um=0.5), (0.1, 0.1), extent_um=(1.0, 1.0))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"na": 1.6, "wavelength_um": 0.5}, "between 0 and the refractive index"),
        ({"na": 0.0, "wavelength_um": 0.5}, "between 0"),
        ({"na": 1.2, "wavelength_um": 520.0}, "expected micrometres"),
    ],
)
def test_impossible_optics_are_refused(numbers, message):
    with pytest.raises(DataError, match=message):
        Optics(**numbers)


def test_pixels_must_be_square_for_a_computed_psf():
    with pytest.raises(DataError, match="square pixels"):
        psf.compute_psf(Optics(na=1.2, wavelength_um=0.5), (0.1, 0.2), extent_um=(1.0, 1.0))


def bead_stack(sigma_um=(0.4, 0.15, 0.15), pixel_um=(0.2, 0.08, 0.08), n=14, noise=1.5, seed=2):
    """Point sources at sub-pixel places, by evaluating the Gaussian at the pixel centres."""
    rng = np.random.default_rng(seed)
    shape = (40, 160, 160)
    axes = [np.arange(k) * p for k, p in zip(shape, pixel_um, strict=True)]
    stack = np.full(shape, 20.0)
    for _ in range(n):
        centre = [rng.uniform(0.2, 0.8) * a[-1] for a in axes]
        lines = [np.exp(-((a - c) ** 2) / (2 * s**2)) for a, c, s in zip(axes, centre, sigma_um, strict=True)]
        stack += rng.uniform(300, 600) * lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return rng.normal(stack, noise), pixel_um


def test_averaged_beads_have_the_widths_of_the_psf():
    stack, pixel_um = bead_stack()
    averaged, n_beads = psf_.average_bead(stack, pixel_um, half_size_um=(1.6, 0.7, 0.7))
    assert n_beads >= 5
    assert psf.measure_sigma_um(averaged) == pytest.approx((0.4, 0.15, 0.15), rel=0.05)
    assert isinstance(averaged, Kernel)
    assert averaged.values[0].mean() < 0.01 * averaged.values.max(), "the background is subtracted"
    assert np.unravel_index(averaged.values.argmax(), averaged.values.shape) == tuple(
        n // 2 for n in averaged.values.shape
    )


def test_clumps_and_close_neighbours_are_left_out():
    stack, pixel_um = bead_stack(n=8)
    _, alone = psf_.average_bead(stack, pixel_um, half_size_um=(1.6, 0.7, 0.7))
    crowded, _ = bead_stack(n=300)
    with pytest.raises(DataError, match="no isolated bead"):
        psf_.average_bead(crowded, pixel_um, half_size_um=(3.0, 3.0, 3.0))
    assert alone >= 3


def test_a_stack_with_nan_is_refused():
    stack, pixel_um = bead_stack(n=3)
    stack[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        psf_.average_bead(stack, pixel_um, half_size_um=(1.0, 0.5, 0.5))
