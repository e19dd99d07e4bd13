"""What a restoration is worth for counting: one fixed segmentation on every image, compared with that of the target.

The segmentation is plain (smooth, Otsu threshold, watershed of the distance to the border), with one parameter, the
diameter of the objects, and the same for all images. It is a yardstick, not a recommendation, and its result on the
target is not a truth made by hand: SEG 1 means that an image leads to the objects its target leads to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError, MissingExtraError

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class SegmentationScores:
    """How the objects of an image agree with those of its target."""

    seg: float
    """SEG of the Cell Tracking Challenge: mean over the target's objects of the Jaccard index with the object that
    covers more than half of them, 0 where there is none. 1 is best."""
    wrong_fraction: float
    """Wrongly identified objects: share of the objects of both images that have no partner with a Jaccard index above
    0.5, a missed one and an invented one counting alike; 0 is best."""
    n_objects: float
    """Objects in this image."""
    n_objects_target: float


def segment(image: NDArray[Any], diameter: float) -> Labels:
    """Return the objects of about `diameter` pixels in an image YX or ZYX: 0 background, 1, 2, ... objects.

    A constant image has none. Objects smaller than a tenth of a disk (ball) of that diameter are dropped.

    Raises
    ------
    InputError
        If the diameter is not at least 3 pixels.
    """
    if not diameter >= 3:
        raise InputError(f"objects to segment need a diameter of at least 3 pixels; found {diameter:g}")
    try:
        from scipy import ndimage
        from skimage.filters import threshold_otsu
        from skimage.measure import label
        from skimage.segmentation import watershed
    except ImportError as error:
        raise MissingExtraError.of("scikit-image", "evaluate", "to segment") from error
    values = np.asarray(image, np.float32)
    smooth = ndimage.gaussian_filter(values, diameter / 10.0)
    if smooth.min() == smooth.max():
        return np.zeros(image.shape, np.int32)
    mask = smooth > threshold_otsu(smooth)
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), diameter / 10.0)
    is_deepest = (ndimage.maximum_filter(depth, size=max(3, round(diameter / 2) | 1)) == depth) & mask
    labels = watershed(-depth, label(is_deepest), mask=mask)
    least = 0.1 * (np.pi / 4 * diameter**2 if image.ndim == 2 else np.pi / 6 * diameter**3)
    sizes = np.bincount(labels.ravel())
    kept = np.flatnonzero(sizes >= least)
    kept = kept[kept > 0]
    renumbered = np.zeros(len(sizes), np.int32)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(renumbered[labels], np.int32)


def compare(found: Labels, true: Labels) -> SegmentationScores:
    """Compare two segmentations of one shape.

    Without objects on one side SEG is 0 and every object of the other side is wrong; without any on both, SEG is 1 and
    none is wrong.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if found.shape != true.shape:
        raise InputError(f"segmentations to compare need one shape; found {found.shape} and {true.shape}")
    n_found, n_true = int(found.max(initial=0)), int(true.max(initial=0))
    if not n_found or not n_true:
        is_same = n_found == n_true
        return SegmentationScores(float(is_same), float(not is_same), n_found, n_true)
    pairs = true.astype(np.int64).ravel() * (n_found + 1) + found.ravel()
    overlap = np.bincount(pairs, minlength=(n_true + 1) * (n_found + 1)).reshape(n_true + 1, n_found + 1)
    of_true, of_found = overlap.sum(axis=1)[1:, np.newaxis], overlap.sum(axis=0)[np.newaxis, 1:]
    both = overlap[1:, 1:]
    jaccard = both / np.maximum(of_true + of_found - both, 1)
    seg = float((jaccard * (2 * both > of_true)).sum(axis=1).mean())
    n_matched = int(np.count_nonzero(jaccard > 0.5))  # above one half, no object has two partners
    return SegmentationScores(seg, 1.0 - n_matched / (n_found + n_true - n_matched), n_found, n_true)
