"""Point spread functions: Gaussian, computed from the optics, or sampled; and the blur they make of an image.

A PSF is meant as it appears in images, pixel integration included: what a sub-resolution bead looks like. It is
either a `Gaussian`, exact at any pixel size, or a `Kernel` of samples.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, signal

from carezoo.errors import DataError, MissingExtraError

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

TRUNCATE = 4.0
"""Gaussians are cut at this many standard deviations (what is left out is below 1e-4)."""


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian of unit integral."""

    sigma_um: tuple[float, ...]
    """Standard deviation along each axis, YX or ZYX; 0: no blur along that axis."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(sigma) and sigma >= 0 for sigma in self.sigma_um):
            raise DataError(f"Gaussian PSF: expected finite widths of 0 or more, found {self.sigma_um} um")


@dataclass(frozen=True, eq=False)
class Kernel:
    """Samples of a PSF: not negative, sum 1, odd sizes, centre in the middle sample. Made by `make_kernel`."""

    values: NDArray[np.float32]
    """YX or ZYX."""
    pixel_size_um: tuple[float, ...]
    """Distance of the samples along each axis."""


Psf = Gaussian | Kernel


def make_kernel(values: NDArray[np.generic], pixel_size_um: tuple[float, ...], name: str = "PSF") -> Kernel:
    """Return `values` as a kernel: checked, made odd (a zero layer behind even sizes), sum 1.

    Parameters
    ----------
    values
        YX or ZYX; the centre is sample ``n // 2`` of each axis.
    pixel_size_um
        Distance of the samples along each axis.
    name
        What messages call it.

    Raises
    ------
    DataError
        If a value is negative, NaN or infinite, if all are zero, or if dimensions do not fit.
    """
    if values.ndim not in {2, 3} or len(pixel_size_um) != values.ndim:
        raise DataError(
            f"{name}: expected axes YX or ZYX and as many pixel sizes, found shape {values.shape} and "
            f"{pixel_size_um} um"
        )
    array = values.astype(np.float64)
    for what, wrong in (("NaN or infinite", ~np.isfinite(array)), ("negative", array < 0)):
        if wrong.any():
            position = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise DataError(
                f"{name}: {int(wrong.sum())} of {array.size} values are {what}, the first at {position}. A PSF is a "
                "share of light: subtract its background and set what remains below 0 to 0"
            )
    if array.sum() <= 0:
        raise DataError(f"{name}: all values are 0")
    array = np.pad(array, [(0, 1 - n % 2) for n in array.shape])
    return Kernel((array / array.sum()).astype(np.float32), pixel_size_um)


def check_fits(psf: Psf, shape: tuple[int, ...], pixel_size_um: tuple[float, ...], name: str = "PSF") -> None:
    """Raise `DataError` if `psf` (a Gaussian: 4 sigma) is larger than an image of `shape` along some axis."""
    if isinstance(psf, Gaussian):
        extent_um = tuple(4.0 * sigma for sigma in psf.sigma_um)
    else:
        extent_um = tuple(n * size for n, size in zip(psf.values.shape, psf.pixel_size_um, strict=True))
    n_axes = len(extent_um)
    field_um = tuple(n * size for n, size in zip(shape[-n_axes:], pixel_size_um[-n_axes:], strict=True))
    if any(psf_um > image_um for psf_um, image_um in zip(extent_um, field_um, strict=True)):
        raise DataError(
            f"{name} of {_format_lengths(extent_um)} is larger than the image of {_format_lengths(field_um)} (shape "
            f"{tuple(shape)}); crop the PSF, or make the image larger"
        )


def _format_lengths(lengths_um: tuple[float, ...]) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths_um) + " um"


def blur(image: NDArray[np.generic], psf: Psf, pixel_size_um: tuple[float, ...]) -> NDArray[np.float32]:
    """Convolve the last axes of `image` with `psf`; the image is reflected at its borders, so they do not darken.

    Parameters
    ----------
    image
        Last axes YX or ZYX, at least as many as the PSF has.
    psf
        A kernel with other pixel sizes is resampled.
    pixel_size_um
        Pixel size along the axes of the PSF.

    Raises
    ------
    DataError
        If the PSF is larger than the image.
    """
    check_fits(psf, image.shape, pixel_size_um)
    if isinstance(psf, Gaussian):
        sigma_px = [sigma / size for sigma, size in zip(psf.sigma_um, pixel_size_um, strict=True)]
        lead = [0.0] * (image.ndim - len(sigma_px))
        blurred: NDArray[np.float32] = ndimage.gaussian_filter(
            image.astype(np.float32), lead + sigma_px, mode="reflect", truncate=TRUNCATE
        )
        return blurred
    values = resample(psf, pixel_size_um).values
    values = values.reshape((1,) * (image.ndim - values.ndim) + values.shape)
    padded = np.pad(image.astype(np.float32), [(n // 2, n // 2) for n in values.shape], mode="symmetric")
    convolved: NDArray[np.float32] = signal.oaconvolve(padded, values, mode="valid")
    return convolved.astype(np.float32)


def resample(psf: Kernel, pixel_size_um: tuple[float, ...]) -> Kernel:
    """Return `psf` with other pixel sizes (cubic spline about the centre; the light stays 1)."""
    ratio = np.array(pixel_size_um) / np.array(psf.pixel_size_um)
    if np.allclose(ratio, 1.0, rtol=1e-6):
        return psf
    half = [int((n // 2) / each + 1e-6) for n, each in zip(psf.values.shape, ratio, strict=True)]
    positions = np.meshgrid(
        *(np.arange(-h, h + 1) * each + n // 2 for h, each, n in zip(half, ratio, psf.values.shape, strict=True)),
        indexing="ij",
    )
    values = ndimage.map_coordinates(psf.values, positions, order=3, mode="constant")
    return make_kernel(np.maximum(values, 0.0), pixel_size_um)


@dataclass(frozen=True, kw_only=True)
class Optics:
    """A widefield microscope, for `compute_psf` and `estimate_sigma_um`."""

    na: float
    """Numerical aperture."""
    wavelength_um: float
    """Emission wavelength in vacuum (excitation, for `sigma_um` of a confocal microscope)."""
    index_immersion: float = 1.515
    """Refractive index of the immersion medium."""
    index_sample: float = 1.47
    """Refractive index around the structure."""
    depth_um: float = 0.0
    """Depth of the structure below the coverslip; with two different indices the PSF becomes asymmetric."""
    model: Literal["vectorial", "gibson-lanni"] = "vectorial"
    """Vectorial (Aguet et al. 2009) or scalar (Gibson and Lanni 1992)."""

    def __post_init__(self) -> None:
        if not 0 < self.na < self.index_immersion:
            raise DataError(
                f"numerical aperture {self.na:g}: expected a number between 0 and the refractive index of the "
                f"immersion medium, {self.index_immersion:g}"
            )
        if not 0.1 < self.wavelength_um < 2:
            raise DataError(f"wavelength {self.wavelength_um:g} um: expected micrometres, such as 0.52")


def compute_psf(optics: Optics, pixel_size_um: tuple[float, ...], *, extent_um: tuple[float, ...]) -> Kernel:
    """Compute the widefield PSF of `optics` with psfmodels.

    Parameters
    ----------
    pixel_size_um
        YX (the focal plane alone) or ZYX; Y and X equal.
    extent_um
        Length of the kernel along each axis; rounded up to an odd number of pixels.

    Raises
    ------
    MissingExtraError
        If psfmodels is not installed.
    """
    try:
        import psfmodels
    except ImportError:
        raise MissingExtraError.of("psfmodels", "simulate", "to compute a PSF from the optics") from None
    if pixel_size_um[-1] != pixel_size_um[-2]:
        raise DataError(f"a computed PSF needs square pixels in Y and X, found {pixel_size_um} um")
    sizes = [2 * math.ceil(length / size / 2) + 1 for length, size in zip(extent_um, pixel_size_um, strict=True)]
    n_planes, step = (sizes[0], pixel_size_um[0]) if len(sizes) == 3 else (1, 1.0)
    values = psfmodels.make_psf(
        z=n_planes,
        nx=max(sizes[-2:]),
        dxy=pixel_size_um[-1],
        dz=step,
        pz=optics.depth_um,
        NA=optics.na,
        wvl=optics.wavelength_um,
        ns=optics.index_sample,
        ni=optics.index_immersion,
        ni0=optics.index_immersion,
        model="vectorial" if optics.model == "vectorial" else "scalar",
    )
    return make_kernel(values if len(sizes) == 3 else values[0], pixel_size_um, f"{optics.model} PSF")


def estimate_sigma_um(optics: Optics, *, is_confocal: bool = False) -> tuple[float, float]:
    """Return the axial and lateral standard deviations of the Gaussian that has the widths of the PSF of `optics`.

    Full widths at half maximum after Wilhelm et al., "Confocal laser scanning microscopy" (Zeiss): lateral
    ``0.51 lambda / NA`` and axial ``0.88 lambda / (n - sqrt(n^2 - NA^2))``; for a confocal microscope with a nearly
    closed pinhole 0.37 and 0.64. Against the vectorial model they are 1 to 4 % (axial) and 3 to 10 % (lateral,
    at high NA) too small.
    """
    lateral, axial = (0.37, 0.64) if is_confocal else (0.51, 0.88)
    n = optics.index_immersion
    fwhm_lateral = lateral * optics.wavelength_um / optics.na
    fwhm_axial = axial * optics.wavelength_um / (n - math.sqrt(n**2 - optics.na**2))
    return fwhm_axial / FWHM_PER_SIGMA, fwhm_lateral / FWHM_PER_SIGMA


def measure_sigma_um(psf: Kernel) -> tuple[float, ...]:
    """Return the standard deviations of Gaussians fitted to the lines through the centre of `psf`, one for each axis.

    Raises
    ------
    DataError
        If no Gaussian can be fitted.
    """
    centre = tuple(n // 2 for n in psf.values.shape)
    widths = []
    for axis, size in enumerate(psf.pixel_size_um):
        line = psf.values[(*centre[:axis], slice(None), *centre[axis + 1 :])].astype(np.float64)
        position = (np.arange(len(line)) - centre[axis]) * size
        above_half = int((line - line.min() >= (line.max() - line.min()) / 2).sum())
        start = (float(np.ptp(line)), 0.0, max(above_half, 1) * size / FWHM_PER_SIGMA, float(line.min()))
        try:
            with warnings.catch_warnings():
                # The covariance, which is not used, cannot be estimated from a line of few samples.
                warnings.simplefilter("ignore", optimize.OptimizeWarning)
                found, _ = optimize.curve_fit(_evaluate_bell, position, line, start)
        except (RuntimeError, TypeError):
            raise DataError(f"no Gaussian fits the PSF along axis {axis}; is a bead in the middle of it?") from None
        widths.append(abs(float(found[2])))
    return tuple(widths)


def _evaluate_bell(
    x: NDArray[np.float64], height: float, centre: float, sigma: float, background: float
) -> NDArray[np.float64]:
    return np.asarray(height * np.exp(-((x - centre) ** 2) / (2.0 * sigma**2)) + background)


def take_anisotropic_part(
    axial_um: float, lateral_um: float, *, width: Literal["physical", "csbdeep"] = "physical"
) -> Gaussian:
    """Return the PSF (YX, degraded axis X) that turns a lateral slice into one that looks axial.

    Variances add when Gaussians are convolved, so a lateral slice, blurred by `lateral_um` already, lacks
    ``sqrt(axial^2 - lateral^2)`` along X and nothing along Y: `physical`. CSBDeep's example uses ``axial - lateral``
    along X and `lateral_um` along Y, which blurs too little along X and once too often along Y: `csbdeep`, for models
    that must be trained as CSBDeep trains them.

    Parameters
    ----------
    axial_um, lateral_um
        Standard deviations of the PSF, from `sigma_um` or from `measure_sigma_um` of a bead (whose size adds to both
        variances and cancels).

    Raises
    ------
    DataError
        If the axial width is smaller than the lateral one.
    """
    if not axial_um >= lateral_um > 0:
        raise DataError(
            f"axial width {axial_um:g} um and lateral width {lateral_um:g} um: expected the axial one to be larger; "
            "with an axial resolution as good as the lateral there is nothing to restore"
        )
    if width == "csbdeep":
        return Gaussian((lateral_um, axial_um - lateral_um))
    return Gaussian((0.0, math.sqrt(axial_um**2 - lateral_um**2)))


def average_bead(
    stack: NDArray[np.generic],
    pixel_size_um: tuple[float, ...],
    *,
    half_size_um: tuple[float, ...],
    min_contrast: float = 0.2,
) -> tuple[Kernel, int]:
    """Average the isolated beads of a stack into a PSF.

    Parameters
    ----------
    stack
        Sub-resolution beads; ZYX, or YX for a single plane.
    pixel_size_um
        Pixel size along each axis.
    half_size_um
        Half the length of the PSF along each axis. Beads closer together than this, or closer to a border, are left
        out: their light would be taken for that of one bead.
    min_contrast
        Beads fainter than this share of the brightest one (noise, debris) are left out; so are beads brighter than 3
        times the median (clumps).

    Returns
    -------
    psf
        Average of the beads, each centred and scaled to the same light; negative values set to 0.
    n_beads
        How many beads it is the average of.

    Raises
    ------
    DataError
        If no bead remains.
    """
    image = stack.astype(np.float32)
    if not np.isfinite(image).all():
        raise DataError(f"bead stack of shape {stack.shape} has NaN or infinite pixels")
    half = tuple(max(1, round(length / size)) for length, size in zip(half_size_um, pixel_size_um, strict=True))
    peaks = _find_isolated_peaks(image, half, min_contrast)
    beads = [bead for bead in (_cut_bead(image, peak, half) for peak in peaks) if bead is not None]
    if not beads:
        raise DataError(
            f"no isolated bead in a stack of shape {stack.shape}: looked for peaks of at least {min_contrast:.0%} of "
            f"the brightest, with no neighbour and no border within {half} pixels; reduce the size of the PSF"
        )
    light = np.array([bead.sum() for bead in beads])
    singles = [bead / each for bead, each in zip(beads, light, strict=True) if each <= 3 * np.median(light)]
    return make_kernel(np.maximum(np.mean(singles, axis=0), 0.0), pixel_size_um, "average bead"), len(singles)


def _find_isolated_peaks(image: NDArray[np.float32], half: tuple[int, ...], min_contrast: float) -> NDArray[np.intp]:
    """Return the positions of peaks that are alone in their box and away from the borders."""
    smooth = ndimage.gaussian_filter(image, 1.0)
    contrast = smooth - np.median(smooth)
    is_peak = (contrast == ndimage.maximum_filter(contrast, size=3)) & (contrast >= min_contrast * contrast.max())
    peaks = np.argwhere(is_peak)
    distance = np.abs(peaks[:, None, :] - peaks[None, :, :])
    n_in_box = (distance <= np.array(half)).all(axis=2).sum(axis=1)
    # One pixel more than the box, for centring.
    is_inside = ((peaks >= np.array(half) + 1) & (peaks < np.array(image.shape) - np.array(half) - 1)).all(axis=1)
    return np.asarray(peaks[(n_in_box == 1) & is_inside])


def _cut_bead(image: NDArray[np.float32], peak: NDArray[np.intp], half: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the box around `peak`, background-subtracted and centred; None if its centre is over a pixel away."""
    box = image[tuple(slice(p - h - 1, p + h + 2) for p, h in zip(peak, half, strict=True))]
    is_shell = np.ones(box.shape, bool)
    is_shell[(slice(1, -1),) * box.ndim] = False
    bead = box - np.median(box[is_shell])
    shift = _measure_offset(bead)
    if np.abs(shift).max() > 1.0:
        return None
    centred: NDArray[np.float32] = ndimage.shift(bead, -shift, order=3, mode="nearest")
    return centred[(slice(1, -1),) * box.ndim]


def _measure_offset(bead: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return where a parabola through the logarithm of three smoothed samples has its vertex, from the middle pixel.

    Exact for a Gaussian, and insensitive to the tails of the PSF and to noise far from the peak.
    """
    smooth = ndimage.gaussian_filter(bead, 1.0)
    middle = tuple(n // 2 for n in bead.shape)
    floor = 1e-3 * float(smooth[middle])
    offset = []
    for axis in range(bead.ndim):
        samples = [smooth[(*middle[:axis], middle[axis] + step, *middle[axis + 1 :])] for step in (-1, 0, 1)]
        before, at, after = np.log(np.maximum(samples, max(floor, 1e-12)))
        curvature = before - 2 * at + after
        offset.append((before - after) / (2 * curvature) if curvature < 0 else np.inf)
    return np.array(offset)
