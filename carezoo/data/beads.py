"""A measured PSF: beads found in a stack, cut out, background-subtracted, centred below a pixel, averaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.data.psf import Kernel, kernel
from carezoo.errors import DataError


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
    peaks = _isolated_peaks(image, half, min_contrast)
    beads = [bead for bead in (_cut(image, peak, half) for peak in peaks) if bead is not None]
    if not beads:
        raise DataError(
            f"no isolated bead in a stack of shape {stack.shape}: looked for peaks of at least {min_contrast:.0%} of "
            f"the brightest, with no neighbour and no border within {half} pixels; reduce the size of the PSF"
        )
    light = np.array([bead.sum() for bead in beads])
    singles = [bead / each for bead, each in zip(beads, light, strict=True) if each <= 3 * np.median(light)]
    return kernel(np.maximum(np.mean(singles, axis=0), 0.0), pixel_size_um, "average bead"), len(singles)


def _isolated_peaks(image: NDArray[np.float32], half: tuple[int, ...], min_contrast: float) -> NDArray[np.intp]:
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


def _cut(image: NDArray[np.float32], peak: NDArray[np.intp], half: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the box around `peak`, background-subtracted and centred; None if its centre is over a pixel away."""
    box = image[tuple(slice(p - h - 1, p + h + 2) for p, h in zip(peak, half, strict=True))]
    is_shell = np.ones(box.shape, bool)
    is_shell[(slice(1, -1),) * box.ndim] = False
    bead = box - np.median(box[is_shell])
    shift = _offset_of_centre(bead)
    if np.abs(shift).max() > 1.0:
        return None
    centred: NDArray[np.float32] = ndimage.shift(bead, -shift, order=3, mode="nearest")
    return centred[(slice(1, -1),) * box.ndim]


def _offset_of_centre(bead: NDArray[np.float32]) -> NDArray[np.float64]:
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
